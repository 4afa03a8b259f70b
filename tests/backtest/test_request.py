"""Asking for a backtest: what is refused, what is written, and what becomes of a job that could not be sent."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.accounts.active_user import NoActiveUserError, active_user_id
from packages.domain.backtest.listing import find_backtest, list_backtests
from packages.domain.backtest.models import BacktestJob
from packages.domain.backtest.request import NoBarsError, UnknownStrategyNameError, fail_unsent, request_backtest
from packages.domain.market_data.models import Subscription
from packages.domain.paper_trading.errors import BadParameterError
from tests.paper_trading.trading_world import NOW, add_strategy, add_user, store_closes


def ask(session: Session, *, user_id: int, strategy_name: str = "strategy 0", symbol: str = "ABC") -> int:
    return request_backtest(
        session, user_id=user_id, strategy_name=strategy_name, symbol=symbol, timeframe="1d", now=NOW
    )


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10])
        session.add(Subscription(symbol="ABC", exchange="XNYS"))
        add_strategy(session)
        yield session


def test_a_request_is_a_queued_job(session: Session) -> None:
    job_id = ask(session, user_id=add_user(session))
    job = find_backtest(session, job_id)
    assert job is not None
    assert (job.status, job.strategy, job.symbol, job.timeframe) == ("queued", "strategy 0", "ABC", "1d")
    assert (job.requested_by, job.created_at, job.has_ended) == ("ada@example.com", NOW, False)
    assert find_backtest(session, job_id + 1) is None


def test_what_cannot_be_run_is_refused_and_named(session: Session) -> None:
    user_id = add_user(session)
    with pytest.raises(UnknownStrategyNameError, match="no strategy 'other'; there are: strategy 0"):
        ask(session, user_id=user_id, strategy_name="other")
    with pytest.raises(NoBarsError, match=r"no 1d bar of 'XYZ' is stored; followed are: ABC \(1d\)"):
        ask(session, user_id=user_id, symbol="XYZ")
    add_strategy(session, parameters={"fast_bars": 0})
    with pytest.raises(BadParameterError, match="fast_bars"):
        ask(session, user_id=user_id, strategy_name="strategy 1")
    assert list_backtests(session, limit=10) == []


def test_the_newest_is_listed_first(session: Session) -> None:
    user_id = add_user(session)
    jobs = [ask(session, user_id=user_id) for _ in range(3)]
    assert [job.job_id for job in list_backtests(session, limit=2)] == [jobs[2], jobs[1]]
    with pytest.raises(ValueError, match="limit must be above 0"):
        list_backtests(session, limit=0)


def test_a_job_that_was_not_sent_is_failed_and_one_that_runs_is_left_alone(session: Session) -> None:
    job_id = ask(session, user_id=add_user(session))
    assert fail_unsent(session, job_id=job_id, now=NOW, reason="no broker")
    job = find_backtest(session, job_id)
    assert job is not None
    assert (job.status, job.error, job.finished_at, job.has_ended) == ("failed", "not sent: no broker", NOW, True)
    session.execute(sa.update(BacktestJob).values(status="running"))
    assert not fail_unsent(session, job_id=job_id, now=NOW, reason="no broker")


def test_only_an_active_user_acts(session: Session) -> None:
    user_id = add_user(session)
    add_user(session, "gone@example.com", is_active=False)
    assert active_user_id(session, " Ada@Example.com") == user_id
    with pytest.raises(NoActiveUserError, match="there is no user nobody@"):
        active_user_id(session, "nobody@example.com")
    with pytest.raises(NoActiveUserError, match=r"user gone@example\.com is not active"):
        active_user_id(session, "gone@example.com")
