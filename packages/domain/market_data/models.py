"""Which symbols are followed, and the bars stored for them."""

import datetime as dt
from decimal import Decimal

from sqlalchemy import CheckConstraint, Identity, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from packages.domain.base import Base


class Subscription(Base):
    """A symbol to keep up to date. `exchange` is a MIC code such as XNYS, or `24/7`.

    `last_error` is the text of the last failed refresh, None after a good one.
    """

    __tablename__ = "market_data_subscriptions"
    __table_args__ = (UniqueConstraint("symbol", "timeframe"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    symbol: Mapped[str]
    timeframe: Mapped[str] = mapped_column(default="1d")
    exchange: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)
    last_refreshed_at: Mapped[dt.datetime | None]
    last_error: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Bar(Base):
    """One price bar. `opened_at` is the start of the bar; prices are in the symbol's currency."""

    __tablename__ = "market_data_bars"
    __table_args__ = (
        CheckConstraint("low <= least(open, close) AND high >= greatest(open, close)", name="prices_in_range"),
        CheckConstraint("volume >= 0", name="volume_not_negative"),
    )

    symbol: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    opened_at: Mapped[dt.datetime] = mapped_column(primary_key=True)
    open: Mapped[Decimal]
    high: Mapped[Decimal]
    low: Mapped[Decimal]
    close: Mapped[Decimal]
    volume: Mapped[Decimal]
    stored_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
