"""Rows that the tests of paper trading, approvals and backtests start from, and what they read back."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.accounts.models import User
from packages.domain.market_data.bars import BarValue, upsert_bars
from packages.domain.paper_trading.models import Deployment, Fill, Order, Position, Strategy
from packages.domain.paper_trading.run_deployment import run_deployment
from packages.domain.paper_trading.run_outcome import RunResult
from packages.domain.trade_approval.request import request_approval

NOW = dt.datetime(2026, 11, 2, 15, 0, tzinfo=dt.UTC)
FIRST_BAR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
FEE_RATE = Decimal("0.001")
VALID_FOR = dt.timedelta(minutes=15)
FAST_CROSS = {"fast_bars": 1, "slow_bars": 2, "position_fraction": 0.5}
"""Buys on a rising close and sells on a falling one: a trade is one bar away."""


def bar_at(index: int) -> dt.datetime:
    return FIRST_BAR + dt.timedelta(days=index)


def bar_values(closes: Sequence[int | str], *, first: int = 0) -> list[BarValue]:
    return [
        BarValue(
            opened_at=bar_at(first + index),
            open=Decimal(close),
            high=Decimal(close),
            low=Decimal(close),
            close=Decimal(close),
            volume=Decimal(1),
        )
        for index, close in enumerate(closes)
    ]


def store_closes(session: Session, closes: Sequence[int | str], *, symbol: str = "ABC", first: int = 0) -> None:
    """Daily bars with these closes, the first of them on day `first`."""
    upsert_bars(session, symbol=symbol, timeframe="1d", bars=bar_values(closes, first=first))


def add_user(session: Session, email: str = "ada@example.com", *, is_active: bool = True) -> int:
    user = User(email=email, display_name=email.split("@", maxsplit=1)[0], is_active=is_active)
    session.add(user)
    session.flush()
    return user.id


def add_strategy(session: Session, kind: str = "moving_average_cross", parameters: object = None) -> int:
    count = session.scalar(sa.select(sa.func.count()).select_from(Strategy))
    strategy = Strategy(name=f"strategy {count}", kind=kind, parameters=parameters or FAST_CROSS)
    session.add(strategy)
    session.flush()
    return strategy.id


def add_deployment(session: Session, **columns: Any) -> int:  # noqa: ANN401 - columns of any type
    """A running deployment of 1000 in cash and no limit worth the name; `columns` say what differs."""
    if "user_id" not in columns:
        columns["user_id"] = session.scalar(sa.select(sa.func.min(User.id))) or add_user(session)
    if "strategy_id" not in columns:
        columns["strategy_id"] = session.scalar(sa.select(sa.func.min(Strategy.id))) or add_strategy(session)
    defaults = {"symbol": "ABC", "cash": Decimal(1000), "order_limit": Decimal(10**9)}
    deployment = Deployment(**{**defaults, **columns})
    session.add(deployment)
    session.flush()
    return deployment.id


def run_on(session: Session, deployment_id: int, index: int, *, now: dt.datetime = NOW) -> RunResult:
    """Let the deployment decide on the bar of day `index`, on the usual terms."""
    return run_deployment(
        session,
        deployment_id=deployment_id,
        bar_opened_at=bar_at(index),
        now=now,
        fee_rate=FEE_RATE,
        approval_valid_for=VALID_FOR,
        ask_approval=request_approval,
    )


def deployment_of(session: Session, deployment_id: int) -> Deployment:
    return session.get_one(Deployment, deployment_id, populate_existing=True)


def orders_of(session: Session, deployment_id: int) -> list[Order]:
    return list(session.scalars(sa.select(Order).where(Order.deployment_id == deployment_id).order_by(Order.id)))


def fills_of(session: Session, deployment_id: int) -> list[Fill]:
    query = sa.select(Fill).join(Order, Order.id == Fill.order_id).where(Order.deployment_id == deployment_id)
    return list(session.scalars(query.order_by(Fill.id)))


def position_of(session: Session, deployment_id: int) -> Position | None:
    return session.get(Position, (deployment_id, "ABC"))
