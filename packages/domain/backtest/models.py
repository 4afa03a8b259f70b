"""Backtests that a person asked for: long work that reports in while it runs."""

import datetime as dt
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from packages.domain.base import Base


class BacktestJob(Base):
    """One run of a strategy over stored bars. A running one renews `heartbeat_at`; `result` is set on success."""

    __tablename__ = "backtest_jobs"
    __table_args__ = (
        CheckConstraint("status IN ('queued', 'running', 'succeeded', 'failed')", name="status_known"),
        Index("ix_backtest_jobs_running", "heartbeat_at", postgresql_where="status = 'running'"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    strategy_id: Mapped[int] = mapped_column(ForeignKey("strategies.id"))
    symbol: Mapped[str]
    timeframe: Mapped[str] = mapped_column(default="1d")
    status: Mapped[str] = mapped_column(default="queued")
    heartbeat_at: Mapped[dt.datetime | None]
    started_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
