"""What a decision on an approval writes, and when it comes too late."""

from collections.abc import Callable
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.paper_trading.models import Deployment, Order
from packages.domain.paper_trading.run_outcome import RunOutcome
from packages.domain.trade_approval.decide import Decision, reject
from packages.domain.trade_approval.errors import ApprovalAlreadyDecidedError, UnknownApprovalError, UnknownDeciderError
from packages.domain.trade_approval.models import TradeApproval
from tests.paper_trading.trading_world import (
    add_user,
    fills_of,
    orders_of,
    position_of,
    run_on,
    store_closes,
)
from tests.trade_approval.asked import EXPIRES_AT, JUST_BEFORE, SOON, Asked


@pytest.fixture
def asked(engine: sa.Engine) -> Asked:
    return Asked(engine)


def test_an_approved_order_is_filled_at_the_latest_close(engine: sa.Engine, asked: Asked) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [12], first=2)
        decision = asked.approve(session)
    assert (decision.approval_id, decision.order_id, decision.order_status) == (
        asked.approval_id,
        asked.order_id,
        "filled",
    )
    assert asked.state() == ("approved", "filled", 1)
    with Session(engine) as session:
        approval = session.get_one(TradeApproval, asked.approval_id)
        assert (approval.decided_at, approval.decided_by_user_id) == (SOON, asked.user_id)
        assert session.get_one(Order, asked.order_id).closed_at == SOON
        (fill,) = fills_of(session, asked.deployment_id)
        assert (fill.price, fill.quantity, fill.fee, fill.filled_at) == (Decimal(12), Decimal(50), Decimal("0.6"), SOON)
        assert session.get_one(Deployment, asked.deployment_id).cash == Decimal("399.4")
        position = position_of(session, asked.deployment_id)
        assert position is not None
        assert (position.quantity, position.average_price) == (Decimal(50), Decimal(12))


def test_after_the_decision_the_deployment_trades_again(engine: sa.Engine, asked: Asked) -> None:
    with Session(engine) as session, session.begin():
        asked.approve(session)
        store_closes(session, [1], first=2)
        assert run_on(session, asked.deployment_id, 2).outcome is RunOutcome.TRADED
        assert [order.side for order in orders_of(session, asked.deployment_id)] == ["buy", "sell"]


def test_a_rejected_order_moves_nothing(engine: sa.Engine, asked: Asked) -> None:
    with Session(engine) as session, session.begin():
        decision = asked.reject(session)
    assert decision.order_status == "rejected"
    assert decision.reason.endswith(f"; rejected by user {asked.user_id}")
    assert asked.state() == ("rejected", "rejected", 0)
    with Session(engine) as session:
        assert session.get_one(Order, asked.order_id).closed_at == SOON
        assert session.get_one(Deployment, asked.deployment_id).cash == Decimal(1000)


@pytest.mark.parametrize(
    ("make_unfillable", "why"),
    [
        ("UPDATE market_data_bars SET high = 21, close = 21", "the order costs 1051.05000000, there is 1000"),
        ("UPDATE market_data_bars SET low = -1, close = -1", "a price of -1.00000000 cannot be traded at"),
        ("DELETE FROM market_data_bars", "no bar of ABC is stored"),
        ("UPDATE paper_deployments SET status = 'paused'", "is not running"),
        (
            "UPDATE paper_orders SET side = 'sell'",
            "the order sells 50.00000000, 0 is held",
        ),
    ],
)
def test_an_approved_order_that_cannot_be_filled_is_rejected_with_the_reason(
    engine: sa.Engine, asked: Asked, make_unfillable: str, why: str
) -> None:
    with Session(engine) as session, session.begin():
        session.execute(sa.text(make_unfillable))
    with Session(engine) as session, session.begin():
        decision = asked.approve(session)
    assert decision.order_status == "rejected"
    assert "; approved, but not filled: " in decision.reason
    assert why in decision.reason
    assert asked.state() == ("approved", "rejected", 0)
    with Session(engine) as session:
        assert session.get_one(Deployment, asked.deployment_id).cash == Decimal(1000)


@pytest.mark.parametrize("decide", [Asked.approve, Asked.reject])
def test_an_order_that_was_ended_by_hand_stays_as_it_is(
    engine: sa.Engine, asked: Asked, decide: Callable[..., Decision]
) -> None:
    with Session(engine) as session, session.begin():
        session.execute(sa.text("UPDATE paper_orders SET status = 'cancelled'"))
    with Session(engine) as session, session.begin():
        assert decide(asked, session).order_status == "cancelled"
    assert asked.state()[1:] == ("cancelled", 0)


@pytest.mark.parametrize("decide", [Asked.approve, Asked.reject])
def test_a_decision_at_the_expiry_is_too_late_though_no_sweep_has_run(
    engine: sa.Engine, asked: Asked, decide: Callable[..., Decision]
) -> None:
    with Session(engine) as session, pytest.raises(ApprovalAlreadyDecidedError) as raised:
        decide(asked, session, EXPIRES_AT)
    assert (raised.value.approval_id, raised.value.status) == (asked.approval_id, "expired")
    with Session(engine) as session, session.begin():
        assert decide(asked, session, JUST_BEFORE).order_id == asked.order_id


def test_a_second_decision_loses_and_says_to_which(engine: sa.Engine, asked: Asked) -> None:
    with Session(engine) as session, session.begin():
        asked.reject(session)
    with Session(engine) as session, pytest.raises(ApprovalAlreadyDecidedError, match="is rejected already"):
        asked.approve(session)
    assert asked.state() == ("rejected", "rejected", 0)


def test_an_approval_that_is_not_there(engine: sa.Engine, asked: Asked) -> None:
    with Session(engine) as session, pytest.raises(UnknownApprovalError, match="there is no approval 99"):
        reject(session, approval_id=99, by_user_id=asked.user_id, now=SOON)


def test_only_an_active_user_decides(engine: sa.Engine, asked: Asked) -> None:
    with Session(engine) as session, session.begin():
        gone = add_user(session, "gone@example.com", is_active=False)
    for user_id in (gone, 12345):
        with Session(engine) as session, pytest.raises(UnknownDeciderError, match=f"no active user {user_id}"):
            reject(session, approval_id=asked.approval_id, by_user_id=user_id, now=SOON)
    assert asked.state()[0] == "pending"
