"""The demonstration rows: each job finds something to do, and seeding again changes nothing."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.backtest.models import BacktestJob
from packages.domain.backtest.stale_jobs import fail_stale_backtest_jobs
from packages.domain.market_data.models import Subscription
from packages.domain.notifications.models import Notification
from packages.domain.paper_trading.models import Deployment, Order, Strategy
from packages.domain.paper_trading.strategies.registry import make_strategy
from packages.domain.tables import metadata
from packages.domain.trade_approval.expire_pending import expire_pending
from packages.infra.db.seed import SeedReport, seed_demo

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
LATER = NOW + timedelta(hours=2)


def _seed(engine: sa.Engine, now: dt.datetime = NOW) -> SeedReport:
    with Session(engine) as session, session.begin():
        return seed_demo(session, now=now)


def _rows(engine: sa.Engine) -> dict[str, list[str]]:
    with engine.connect() as connection:
        return {
            name: sorted(str(tuple(row)) for row in connection.execute(sa.select(table)))
            for name, table in metadata.tables.items()
        }


def test_the_first_time_adds_rows_and_says_how_many(engine: sa.Engine) -> None:
    report = _seed(engine)
    assert report.added == {
        "users": 5,
        "market_data_subscriptions": 2,
        "strategies": 2,
        "paper_deployments": 4,
        "trade_approvals": 1,
        "backtest_jobs": 1,
        "notification_outbox": 2,
    }
    rows = _rows(engine)
    assert {table: len(rows[table]) for table in report.added} == report.added
    assert str(report).startswith("added 5 users, 2 market_data_subscriptions")


def test_the_second_time_changes_nothing(engine: sa.Engine) -> None:
    _seed(engine)
    before = _rows(engine)
    report = _seed(engine, LATER)
    assert set(report.added.values()) == {0}
    assert str(report) == "was there already"
    assert _rows(engine) == before


def test_what_the_jobs_made_of_the_rows_stays(engine: sa.Engine) -> None:
    _seed(engine)
    with Session(engine) as session, session.begin():
        assert len(expire_pending(session, now=NOW, limit=10)) == 1
        assert len(fail_stale_backtest_jobs(session, now=NOW, stale_after=timedelta(hours=1))) == 1
        session.execute(sa.update(Notification).values(status="sent"))
    before = _rows(engine)
    _seed(engine, LATER)
    assert _rows(engine) == before


def test_two_at_once_add_each_row_once(engine: sa.Engine) -> None:
    with ThreadPoolExecutor(max_workers=2) as pool:
        reports = list(pool.map(lambda _: _seed(engine), range(2)))
    assert sorted(report.added["paper_deployments"] for report in reports) == [0, 4]
    assert len(_rows(engine)["paper_orders"]) == 1


def test_the_rows_fit_what_the_jobs_expect(engine: sa.Engine) -> None:
    _seed(engine)
    with Session(engine) as session:
        strategies = session.scalars(sa.select(Strategy)).all()
        for strategy in strategies:
            assert make_strategy(strategy.kind, strategy.parameters).warm_up_bars > 0
        followed = set(session.scalars(sa.select(Subscription.symbol)))
        deployments = session.scalars(sa.select(Deployment)).all()
        assert {deployment.symbol for deployment in deployments} == followed == {"^GSPC", "^IXIC"}
        assert {deployment.status for deployment in deployments} == {"running"}
        order = session.scalars(sa.select(Order)).one()
        asking = session.get_one(Deployment, order.deployment_id)
        assert order.quantity * order.reference_price > asking.order_limit
        assert session.scalars(sa.select(BacktestJob.heartbeat_at)).one() == NOW - timedelta(hours=5)
