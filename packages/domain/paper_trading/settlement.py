"""Writes what a filled order changes: fill, position, cash, the order's end. Computes nothing, never commits.

The caller holds the lock on the deployment's row; that one lock guards its cash and its position.
"""

import datetime as dt
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from packages.domain.paper_trading.execution import ZERO, Execution, Portfolio, Side, execute
from packages.domain.paper_trading.models import Deployment, Fill, Order, Position


def lock_deployment(session: Session, deployment_id: int) -> Deployment | None:
    """The deployment as it is once every other transaction on it has ended, locked until this one ends."""
    query = select(Deployment).where(Deployment.id == deployment_id).with_for_update()
    return session.scalars(query, execution_options={"populate_existing": True}).one_or_none()


def load_portfolio(session: Session, deployment: Deployment) -> Portfolio:
    """What the deployment owns. Call it with the deployment locked."""
    position = _position(session, deployment)
    if position is None:
        return Portfolio(cash=deployment.cash)
    return Portfolio(
        cash=deployment.cash,
        quantity=position.quantity,
        average_price=position.average_price,
        realized_profit=position.realized_profit,
    )


def settle(  # noqa: PLR0913 - the rows, the price and the terms of one fill, all by name
    session: Session,
    *,
    deployment: Deployment,
    order: Order,
    price: Decimal,
    fee_rate: Decimal,
    now: dt.datetime,
) -> Execution:
    """Fill `order` whole at `price` and write the result. Nothing is written when it raises.

    Raises:
        InsufficientCashError, InsufficientPositionError, UnusablePriceError: the order cannot be filled at this price.
    """
    execution = execute(
        load_portfolio(session, deployment),
        side=Side(order.side),
        quantity=order.quantity,
        price=price,
        fee_rate=fee_rate,
    )
    session.add(Fill(order_id=order.id, price=price, quantity=order.quantity, fee=execution.fee, filled_at=now))
    order.status = "filled"
    order.closed_at = now
    _write(session, deployment, execution.portfolio, now)
    session.flush()
    return execution


def _write(session: Session, deployment: Deployment, portfolio: Portfolio, now: dt.datetime) -> None:
    position = _position(session, deployment)
    if position is None:
        position = Position(deployment_id=deployment.id, symbol=deployment.symbol, quantity=ZERO)
        session.add(position)
    deployment.cash = portfolio.cash
    position.quantity = portfolio.quantity
    position.average_price = portfolio.average_price
    position.realized_profit = portfolio.realized_profit
    position.updated_at = now


def _position(session: Session, deployment: Deployment) -> Position | None:
    key = (deployment.id, deployment.symbol)
    return session.get(Position, key, populate_existing=True)
