"""Strategies, their paper deployments, and what these did: orders, fills, positions."""

import datetime as dt
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from packages.domain.base import Base


class Strategy(Base):
    """A strategy class by its registered `kind`, with its parameters."""

    __tablename__ = "strategies"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Deployment(Base):
    """A strategy that trades one symbol with paper money.

    `order_limit` is the notional above which an order asks for approval. `last_bar_at` is the bar last decided
    on; a bar at or before it is never traded. `claimed_until` is set while a run of this deployment is out.
    """

    __tablename__ = "paper_deployments"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'paused', 'stopped')", name="status_known"),
        CheckConstraint("cash >= 0", name="cash_not_negative"),
        CheckConstraint("order_limit > 0", name="order_limit_positive"),
        Index("ix_paper_deployments_running", "symbol", "timeframe", postgresql_where="status = 'running'"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    strategy_id: Mapped[int] = mapped_column(ForeignKey("strategies.id"))
    symbol: Mapped[str]
    timeframe: Mapped[str] = mapped_column(default="1d")
    status: Mapped[str] = mapped_column(default="running")
    cash: Mapped[Decimal]
    order_limit: Mapped[Decimal]
    last_bar_at: Mapped[dt.datetime | None]
    claimed_until: Mapped[dt.datetime | None]
    last_error: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Order(Base):
    """What a strategy wanted on one bar. At most one for each bar of a deployment."""

    __tablename__ = "paper_orders"
    __table_args__ = (
        UniqueConstraint("deployment_id", "bar_opened_at"),
        CheckConstraint("side IN ('buy', 'sell')", name="side_known"),
        CheckConstraint("quantity > 0", name="quantity_positive"),
        CheckConstraint("status IN ('pending_approval', 'filled', 'cancelled', 'rejected')", name="status_known"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    deployment_id: Mapped[int] = mapped_column(ForeignKey("paper_deployments.id"))
    bar_opened_at: Mapped[dt.datetime]
    side: Mapped[str]
    quantity: Mapped[Decimal]
    reference_price: Mapped[Decimal]
    status: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[dt.datetime | None]


class Fill(Base):
    """The simulated execution of an order, whole and at one price."""

    __tablename__ = "paper_fills"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("paper_orders.id"), unique=True)
    price: Mapped[Decimal]
    quantity: Mapped[Decimal]
    fee: Mapped[Decimal]
    filled_at: Mapped[dt.datetime]


class Position(Base):
    """What a deployment holds of its symbol. Long only: `quantity` is never negative."""

    __tablename__ = "paper_positions"
    __table_args__ = (CheckConstraint("quantity >= 0", name="quantity_not_negative"),)

    deployment_id: Mapped[int] = mapped_column(ForeignKey("paper_deployments.id"), primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[Decimal]
    average_price: Mapped[Decimal]
    realized_profit: Mapped[Decimal]
    updated_at: Mapped[dt.datetime]
