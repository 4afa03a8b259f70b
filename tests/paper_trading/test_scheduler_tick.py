"""Which deployments are claimed, for which bar, and what two claimers at once do."""

import datetime as dt
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.market_data.models import Bar
from packages.domain.paper_trading.models import Deployment
from packages.domain.paper_trading.scheduler_tick import ClaimedDeployment, claim_due_deployments
from tests.paper_trading.races import give_up_on_locks
from tests.paper_trading.trading_world import (
    NOW,
    add_deployment,
    add_strategy,
    add_user,
    bar_at,
    run_on,
    store_closes,
)

CLAIM_FOR = dt.timedelta(minutes=1)
LATER = NOW + CLAIM_FOR


def claim(session: Session, *, now: dt.datetime = NOW, limit: int = 100) -> list[ClaimedDeployment]:
    return claim_due_deployments(session, now=now, claim_for=CLAIM_FOR, limit=limit)


def claimed_ids(session: Session, *, now: dt.datetime = NOW, limit: int = 100) -> list[int]:
    return [each.deployment_id for each in claim(session, now=now, limit=limit)]


def test_only_running_deployments_with_a_new_bar_and_no_claim_are_due(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [1, 2, 3])
        never_ran = add_deployment(session)
        behind = add_deployment(session, last_bar_at=bar_at(0))
        claim_over = add_deployment(session, claimed_until=NOW)
        add_deployment(session, last_bar_at=bar_at(2))
        add_deployment(session, claimed_until=NOW + dt.timedelta(seconds=1))
        add_deployment(session, status="paused")
        add_deployment(session, status="stopped")
        add_deployment(session, symbol="NO BARS")
        add_deployment(session, timeframe="1h")
    with Session(engine) as session, session.begin():
        assert claim(session) == [
            ClaimedDeployment(deployment_id=deployment_id, bar_opened_at=bar_at(2))
            for deployment_id in (never_ran, behind, claim_over)
        ]
    with Session(engine) as session:
        until = session.scalars(sa.select(Deployment.claimed_until).where(Deployment.id == never_ran)).one()
        assert until == LATER


def test_a_claim_holds_until_it_is_over(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [1])
        deployment = add_deployment(session)
        assert claimed_ids(session) == [deployment]
    with Session(engine) as session, session.begin():
        assert claimed_ids(session, now=LATER - dt.timedelta(microseconds=1)) == []
        assert claimed_ids(session, now=LATER) == [deployment]


def test_a_finished_run_makes_room_for_the_next_bar_alone(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [1, 2])
        deployment = add_deployment(session)
        assert claimed_ids(session) == [deployment]
        run_on(session, deployment, 1)
        assert claimed_ids(session) == []
        store_closes(session, [3], first=2)
        assert claim(session) == [ClaimedDeployment(deployment_id=deployment, bar_opened_at=bar_at(2))]


def test_under_a_limit_those_that_waited_longest_come_first(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [1, 2, 3])
        newer = add_deployment(session, last_bar_at=bar_at(1))
        older = add_deployment(session, last_bar_at=bar_at(0))
        never = add_deployment(session)
        assert claimed_ids(session, limit=2) == [older, never]
        assert claimed_ids(session, limit=2) == [newer]


def test_two_claimers_at_once_share_the_work(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [1])
        for _ in range(6):
            add_deployment(session)
    with Session(engine) as first, Session(engine) as second:
        ours = claimed_ids(first, limit=4)
        # The first has not committed: the second neither waits for its rows nor takes them.
        give_up_on_locks(second)
        theirs = claimed_ids(second)
        assert (len(ours), len(theirs)) == (4, 2)
        assert not set(ours) & set(theirs)
        first.commit()
        second.commit()


def test_a_claim_that_was_rolled_back_was_never_made(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [1])
        deployment = add_deployment(session)
    with Session(engine) as session:
        claim(session)
        session.rollback()
        assert claimed_ids(session) == [deployment]


def test_ten_thousand_deployments_take_one_statement(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        user_id, strategy_id = add_user(session), add_strategy(session)
        symbols = [f"S{index}" for index in range(100)]
        for symbol in symbols:
            store_closes(session, [1, 2], symbol=symbol)
        session.execute(
            sa.insert(Deployment),
            [
                {
                    "user_id": user_id,
                    "strategy_id": strategy_id,
                    "symbol": symbols[index % 100],
                    "cash": Decimal(1),
                    "order_limit": Decimal(1),
                }
                for index in range(10_000)
            ],
        )
    statements: list[str] = []
    with Session(engine) as session, session.begin():
        connection = session.connection()
        sa.event.listen(connection, "before_cursor_execute", lambda *args: statements.append(args[2]))
        claimed = claim(session, limit=10_000)
    assert len(claimed) == len({each.deployment_id for each in claimed}) == 10_000
    assert {each.bar_opened_at for each in claimed} == {bar_at(1)}
    assert len(statements) == 1


def test_the_bars_are_looked_up_by_their_key_not_scanned(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, list(range(1, 3000)))
        add_deployment(session)
        session.execute(sa.text("ANALYZE"))
        plans: list[str] = []

        def explain(
            connection: sa.Connection, _cursor: object, statement: str, parameters: dict[str, object], *_: object
        ) -> None:
            if "FOR UPDATE" in statement and not plans:
                plans.append("")
                rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
                plans[0] = "\n".join(row[0] for row in rows)

        sa.event.listen(session.connection(), "before_cursor_execute", explain)
        claim(session)
    assert f"using pk_{Bar.__tablename__}" in plans[0]
    assert f"Seq Scan on {Bar.__tablename__}" not in plans[0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"claim_for": dt.timedelta(0)}, "claim_for must be above 0"), ({"limit": 0}, "limit must be above 0")],
)
def test_terms_out_of_range_are_refused(engine: sa.Engine, changed: dict[str, object], message: str) -> None:
    terms: dict[str, object] = {"now": NOW, "claim_for": CLAIM_FOR, "limit": 1, **changed}
    with Session(engine) as session, pytest.raises(ValueError, match=message):
        claim_due_deployments(session, **terms)  # type: ignore[arg-type]
