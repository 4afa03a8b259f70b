"""What one run decides and writes: each outcome, on a real database."""

from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.notifications.models import Notification
from packages.domain.paper_trading.run_outcome import RunOutcome
from packages.domain.trade_approval.models import TradeApproval
from tests.paper_trading.trading_world import (
    NOW,
    VALID_FOR,
    add_deployment,
    add_user,
    bar_at,
    deployment_of,
    fills_of,
    orders_of,
    position_of,
    run_on,
    store_closes,
)


def test_a_buy_and_a_sale_write_order_fill_position_and_cash(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10, 5])
        deployment_id = add_deployment(session, claimed_until=NOW + VALID_FOR, last_error="from before")
        bought = run_on(session, deployment_id, 1)
    with Session(engine) as session, session.begin():
        assert bought.outcome is RunOutcome.TRADED
        assert bought.reason == "up-trend: the 1-bar average 10.00, the 2-bar average 9.00"
        deployment = deployment_of(session, deployment_id)
        assert deployment.cash == Decimal("499.5")
        assert (deployment.last_bar_at, deployment.claimed_until, deployment.last_error) == (bar_at(1), None, None)
        (order,) = orders_of(session, deployment_id)
        assert (order.id, order.side, order.status, order.quantity) == (bought.order_id, "buy", "filled", Decimal(50))
        assert (order.bar_opened_at, order.reference_price) == (bar_at(1), Decimal(10))
        assert (order.created_at, order.closed_at, order.reason) == (NOW, NOW, bought.reason)
        (fill,) = fills_of(session, deployment_id)
        assert (fill.price, fill.quantity, fill.fee) == (Decimal(10), Decimal(50), Decimal("0.5"))
        position = position_of(session, deployment_id)
        assert position is not None
        assert (position.quantity, position.average_price) == (Decimal(50), Decimal(10))
        assert position.realized_profit == Decimal("-0.5")
        assert run_on(session, deployment_id, 2).outcome is RunOutcome.TRADED
    with Session(engine) as session:
        assert [order.side for order in orders_of(session, deployment_id)] == ["buy", "sell"]
        assert deployment_of(session, deployment_id).cash == Decimal("749.25")
        position = position_of(session, deployment_id)
        assert position is not None
        assert (position.quantity, position.average_price) == (Decimal(0), Decimal(0))
        assert position.realized_profit == Decimal("-250.75")


def test_the_same_bar_again_and_an_older_one_change_nothing(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10])
        deployment_id = add_deployment(session)
        run_on(session, deployment_id, 1)
        held_for_another_bar = NOW + VALID_FOR
        deployment_of(session, deployment_id).claimed_until = held_for_another_bar
    for index in (1, 0):
        with Session(engine) as session, session.begin():
            assert run_on(session, deployment_id, index).outcome is RunOutcome.ALREADY_DONE
            assert len(fills_of(session, deployment_id)) == 1
            deployment = deployment_of(session, deployment_id)
            assert (deployment.cash, deployment.last_bar_at) == (Decimal("499.5"), bar_at(1))
            assert deployment.claimed_until == held_for_another_bar


def test_behind_last_bar_at_the_unique_order_keeps_a_bar_from_being_traded_twice(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10])
        deployment_id = add_deployment(session)
        run_on(session, deployment_id, 1)
        deployment = deployment_of(session, deployment_id)
        deployment.last_bar_at = None
        position = position_of(session, deployment_id)
        assert position is not None
        position.quantity = Decimal(0)
    with Session(engine) as session, session.begin():
        result = run_on(session, deployment_id, 1)
        assert (result.outcome, result.reason) == (
            RunOutcome.ALREADY_DONE,
            "an order for this bar is there already",
        )
        assert len(fills_of(session, deployment_id)) == 1
        assert deployment_of(session, deployment_id).last_bar_at == bar_at(1)


def test_no_cross_is_no_trade(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [10, 8])
        deployment_id = add_deployment(session)
        assert run_on(session, deployment_id, 1).outcome is RunOutcome.NO_TRADE
        assert deployment_of(session, deployment_id).last_bar_at == bar_at(1)
        assert orders_of(session, deployment_id) == []


def test_no_cash_is_no_trade(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10])
        deployment_id = add_deployment(session, cash=Decimal(0))
        result = run_on(session, deployment_id, 1)
        assert result.outcome is RunOutcome.NO_TRADE
        assert result.reason.endswith("less than one step of quantity to trade")


def test_too_few_bars_settle_the_bar(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [8])
        deployment_id = add_deployment(session)
        result = run_on(session, deployment_id, 0)
        assert result.outcome is RunOutcome.TOO_FEW_BARS
        assert result.reason == "moving_average_cross needs 2 bars, stored: 1"
        assert deployment_of(session, deployment_id).last_bar_at == bar_at(0)


def test_later_bars_are_not_looked_at(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10, 1])
        deployment_id = add_deployment(session)
        run_on(session, deployment_id, 1)
        (order,) = orders_of(session, deployment_id)
        assert (order.side, order.reference_price) == ("buy", Decimal(10))


def test_a_bar_that_is_not_stored_is_not_settled(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10])
        deployment_id = add_deployment(session, claimed_until=NOW + VALID_FOR)
        result = run_on(session, deployment_id, 5)
        assert (result.outcome, result.reason) == (RunOutcome.BAR_MISSING, "no bar of ABC opened then is stored")
        deployment = deployment_of(session, deployment_id)
        assert (deployment.last_bar_at, deployment.claimed_until) == (None, None)


@pytest.mark.parametrize("status", ["paused", "stopped"])
def test_only_a_running_deployment_trades(engine: sa.Engine, status: str) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10])
        deployment_id = add_deployment(session, status=status, claimed_until=NOW + VALID_FOR)
        result = run_on(session, deployment_id, 1)
        assert (result.outcome, result.reason) == (RunOutcome.NOT_RUNNING, f"the deployment is {status}")
        deployment = deployment_of(session, deployment_id)
        assert (deployment.last_bar_at, deployment.claimed_until) == (None, None)


def test_a_deployment_that_is_gone_is_not_running(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        result = run_on(session, 7, 0)
        assert (result.outcome, result.reason) == (RunOutcome.NOT_RUNNING, "there is no deployment 7")


def test_an_order_above_the_limit_asks_its_owner_and_moves_no_money(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10, 12])
        user_id = add_user(session, "owner@example.com")
        deployment_id = add_deployment(session, user_id=user_id, order_limit=Decimal("499.99"))
        result = run_on(session, deployment_id, 1)
    with Session(engine) as session, session.begin():
        assert result.outcome is RunOutcome.ASKED_FOR_APPROVAL
        assert result.reason.startswith("the order is above the limit of 499.99; up-trend")
        (order,) = orders_of(session, deployment_id)
        assert (order.id, order.status, order.closed_at) == (result.order_id, "pending_approval", None)
        approval = session.scalars(sa.select(TradeApproval)).one()
        assert (approval.order_id, approval.status) == (order.id, "pending")
        assert (approval.requested_at, approval.expires_at) == (NOW, NOW + VALID_FOR)
        message = session.scalars(sa.select(Notification)).one()
        assert (message.channel, message.recipient) == ("email", "owner@example.com")
        assert message.idempotency_key == f"approval-requested:{order.id}"
        assert message.subject == "Approve a buy order of ABC?"
        assert f"Order {order.id}: buy 50 ABC, 10 each when it was made." in message.body
        assert "until 2026-11-02 15:15:00 UTC" in message.body
        assert fills_of(session, deployment_id) == []
        deployment = deployment_of(session, deployment_id)
        assert (deployment.cash, deployment.last_bar_at) == (Decimal(1000), bar_at(1))
        # While it waits, the next bar makes no other order.
        waiting = run_on(session, deployment_id, 2)
        assert (waiting.outcome, waiting.order_id) == (RunOutcome.APPROVAL_PENDING, None)
        assert len(orders_of(session, deployment_id)) == 1
        assert deployment_of(session, deployment_id).last_bar_at == bar_at(2)


def test_an_order_at_the_limit_needs_no_approval(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10])
        deployment_id = add_deployment(session, order_limit=Decimal(500))
        assert run_on(session, deployment_id, 1).outcome is RunOutcome.TRADED
