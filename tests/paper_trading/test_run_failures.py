"""What a run does with a strategy, a question or terms that cannot be used."""

import datetime as dt
import logging
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.paper_trading.errors import UnusablePriceError
from packages.domain.paper_trading.models import Order, Strategy
from packages.domain.paper_trading.run_deployment import run_deployment
from packages.domain.paper_trading.run_outcome import RunOutcome
from packages.domain.trade_approval.request import request_approval
from tests.paper_trading.trading_world import (
    FEE_RATE,
    NOW,
    VALID_FOR,
    add_deployment,
    add_strategy,
    bar_at,
    deployment_of,
    orders_of,
    run_on,
    store_closes,
)


@pytest.mark.parametrize(
    ("kind", "parameters", "error"),
    [
        ("astrology", {"sign": "leo"}, "strategy kind 'astrology' is not known; allowed: moving_average_cross"),
        ("mean_reversion", {"window_bars": 1}, "strategy mean_reversion: parameter 'window_bars' is 1; allowed"),
    ],
)
def test_bad_parameters_are_shown_settle_the_bar_and_can_be_mended(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture, kind: str, parameters: dict[str, Any], error: str
) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10, 12])
        strategy_id = add_strategy(session, kind, parameters)
        deployment_id = add_deployment(session, strategy_id=strategy_id)
    with caplog.at_level(logging.INFO), Session(engine) as session, session.begin():
        assert run_on(session, deployment_id, 1).outcome is RunOutcome.STRATEGY_FAILED
        deployment = deployment_of(session, deployment_id)
        assert deployment.status == "running"
        assert deployment.last_bar_at == bar_at(1)
        assert deployment.last_error is not None
        assert deployment.last_error.startswith(error)
    (record,) = [each for each in caplog.records if each.message == "paper_trading_deployment_run"]
    assert (record.levelno, record.__dict__["outcome"]) == (logging.WARNING, "strategy_failed")
    with Session(engine) as session, session.begin():
        strategy = session.get_one(Strategy, strategy_id)
        strategy.kind = "moving_average_cross"
        strategy.parameters = {"fast_bars": 1, "slow_bars": 2, "position_fraction": 1}
        session.flush()
        assert run_on(session, deployment_id, 2).outcome is RunOutcome.TRADED
        assert deployment_of(session, deployment_id).last_error is None


def test_a_price_below_zero_is_the_deployments_error_not_the_tasks(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [-40, -37])
        deployment_id = add_deployment(session)
        result = run_on(session, deployment_id, 1)
        assert result.outcome is RunOutcome.STRATEGY_FAILED
        assert "a price of -37" in result.reason
        assert deployment_of(session, deployment_id).last_error == result.reason


def test_an_interrupt_is_no_error_of_the_strategy(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [-40, -37])
        deployment_id = add_deployment(session)
    with pytest.raises(UnusablePriceError), Session(engine) as session, session.begin():
        run_deployment(
            session,
            deployment_id=deployment_id,
            bar_opened_at=bar_at(1),
            now=NOW,
            fee_rate=FEE_RATE,
            approval_valid_for=VALID_FOR,
            ask_approval=request_approval,
            interrupts=(UnusablePriceError,),
        )
    with Session(engine) as session:
        deployment = deployment_of(session, deployment_id)
        assert (deployment.last_bar_at, deployment.last_error) == (None, None)


def test_a_question_that_cannot_be_asked_leaves_no_order(engine: sa.Engine) -> None:
    class RefusedError(Exception):
        pass

    def refuse(session: Session, **_: object) -> None:
        assert session.scalars(sa.select(Order.status)).one() == "pending_approval"
        raise RefusedError

    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10])
        deployment_id = add_deployment(session, order_limit=Decimal(1))
    with pytest.raises(RefusedError), Session(engine) as session, session.begin():
        run_deployment(
            session,
            deployment_id=deployment_id,
            bar_opened_at=bar_at(1),
            now=NOW,
            fee_rate=FEE_RATE,
            approval_valid_for=VALID_FOR,
            ask_approval=refuse,
        )
    with Session(engine) as session:
        assert orders_of(session, deployment_id) == []
        assert deployment_of(session, deployment_id).last_bar_at is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fee_rate": Decimal(1)}, "fee_rate must lie in"),
        ({"approval_valid_for": dt.timedelta(0)}, "approval_valid_for must be above 0"),
        ({"now": NOW.replace(tzinfo=None)}, "must carry a time zone"),
        ({"bar_opened_at": NOW.replace(tzinfo=None)}, "must carry a time zone"),
    ],
)
def test_terms_out_of_range_are_refused(engine: sa.Engine, changed: dict[str, Any], message: str) -> None:
    terms: dict[str, Any] = {
        "deployment_id": 1,
        "bar_opened_at": NOW,
        "now": NOW,
        "fee_rate": FEE_RATE,
        "approval_valid_for": VALID_FOR,
        "ask_approval": request_approval,
    }
    with Session(engine) as session, pytest.raises(ValueError, match=message):
        run_deployment(session, **{**terms, **changed})
