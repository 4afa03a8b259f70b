"""Who wins when two come to one approval at the same time."""

from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.paper_trading.models import Deployment
from packages.domain.paper_trading.run_outcome import RunOutcome
from packages.domain.trade_approval.errors import ApprovalAlreadyDecidedError
from tests.paper_trading.races import give_up_on_locks, race
from tests.paper_trading.trading_world import (
    orders_of,
    run_on,
    store_closes,
)
from tests.trade_approval.asked import JUST_BEFORE, Asked


@pytest.fixture
def asked(engine: sa.Engine) -> Asked:
    return Asked(engine)


def test_an_expiry_that_came_first_beats_the_approval(engine: sa.Engine, asked: Asked) -> None:
    expired, approval = race(engine, first=asked.expire, second=lambda session: asked.approve(session, JUST_BEFORE))
    assert expired == [asked.approval_id]
    error = approval.exception()
    assert isinstance(error, ApprovalAlreadyDecidedError)
    assert (error.approval_id, error.status) == (asked.approval_id, "expired")
    assert asked.state() == ("expired", "cancelled", 0)


def test_when_the_expiry_is_undone_the_approval_wins(engine: sa.Engine, asked: Asked) -> None:
    _, approval = race(
        engine,
        first=asked.expire,
        second=lambda session: asked.approve(session, JUST_BEFORE),
        first_commits=False,
    )
    assert approval.result().order_status == "filled"
    assert asked.state() == ("approved", "filled", 1)


def test_an_approval_that_came_first_beats_the_expiry(engine: sa.Engine, asked: Asked) -> None:
    with Session(engine) as deciding, Session(engine) as sweeping:
        asked.approve(deciding, JUST_BEFORE)
        # The sweep neither waits nor takes what is being decided.
        give_up_on_locks(sweeping)
        assert asked.expire(sweeping) == []
        deciding.commit()
        assert asked.expire(sweeping) == []
        sweeping.commit()
    assert asked.state() == ("approved", "filled", 1)


def test_when_the_approval_is_undone_the_next_sweep_expires_it(engine: sa.Engine, asked: Asked) -> None:
    with Session(engine) as deciding, Session(engine) as sweeping:
        asked.approve(deciding, JUST_BEFORE)
        give_up_on_locks(sweeping)
        assert asked.expire(sweeping) == []
        deciding.rollback()
        assert asked.expire(sweeping) == [asked.approval_id]
        sweeping.commit()
    assert asked.state() == ("expired", "cancelled", 0)


def test_two_sweeps_at_once_expire_each_approval_once(engine: sa.Engine, asked: Asked) -> None:
    with Session(engine) as first, Session(engine) as second:
        assert asked.expire(first) == [asked.approval_id]
        give_up_on_locks(second)
        assert asked.expire(second) == []
        first.commit()
        assert asked.expire(second) == []


def test_of_an_approval_and_a_rejection_at_once_the_first_stands(engine: sa.Engine, asked: Asked) -> None:
    _, rejection = race(engine, first=asked.approve, second=asked.reject)
    error = rejection.exception()
    assert isinstance(error, ApprovalAlreadyDecidedError)
    assert error.status == "approved"
    assert asked.state() == ("approved", "filled", 1)


def test_of_two_approvals_at_once_one_fills(engine: sa.Engine, asked: Asked) -> None:
    _, second = race(engine, first=asked.approve, second=asked.approve)
    assert isinstance(second.exception(), ApprovalAlreadyDecidedError)
    assert asked.state() == ("approved", "filled", 1)


def test_a_run_waits_for_a_decision_and_counts_with_its_cash(engine: sa.Engine, asked: Asked) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [5], first=2)
    _, run = race(engine, first=asked.approve, second=lambda session: run_on(session, asked.deployment_id, 2))
    # Approved at the latest close of 5, 50 units: the run finds them and, on the fall, wants them sold.
    assert run.result().outcome is RunOutcome.ASKED_FOR_APPROVAL
    with Session(engine) as session:
        assert session.get_one(Deployment, asked.deployment_id).cash == Decimal("749.75")
        sale = orders_of(session, asked.deployment_id)[-1]
        assert (sale.side, sale.quantity) == ("sell", Decimal(50))


def test_a_decision_waits_for_a_run_of_its_deployment(engine: sa.Engine, asked: Asked) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [12], first=2)
    run, approval = race(engine, first=lambda session: run_on(session, asked.deployment_id, 2), second=asked.approve)
    assert run.outcome is RunOutcome.APPROVAL_PENDING
    assert approval.result().order_status == "filled"
    assert asked.state() == ("approved", "filled", 1)
