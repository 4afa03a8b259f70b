"""The backtests as a person wants to see them: who asked for what, and what came of it. Changes nothing."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from packages.domain.accounts.models import User
from packages.domain.backtest.models import BacktestJob
from packages.domain.paper_trading.models import Strategy


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedBacktest:
    """A job by its columns, with the names of its user and its strategy. `result` is set on success only."""

    job_id: int
    status: str
    strategy: str
    symbol: str
    timeframe: str
    requested_by: str
    created_at: dt.datetime
    started_at: dt.datetime | None
    heartbeat_at: dt.datetime | None
    finished_at: dt.datetime | None
    result: dict[str, Any] | None
    error: str | None

    @property
    def has_ended(self) -> bool:
        """True when nothing can change it any more."""
        return self.status in {"succeeded", "failed"}


def list_backtests(session: Session, *, limit: int) -> list[ListedBacktest]:
    """The newest `limit` jobs, newest first.

    Raises:
        ValueError: `limit` is not above zero.
    """
    if limit <= 0:
        raise ValueError(f"limit must be above 0: {limit}")
    query = _jobs().order_by(BacktestJob.id.desc()).limit(limit)
    return [_listed(*row) for row in session.execute(query)]


def find_backtest(session: Session, job_id: int) -> ListedBacktest | None:
    """The job as it is stored now; None when there is none."""
    query = _jobs().where(BacktestJob.id == job_id).execution_options(populate_existing=True)
    row = session.execute(query).one_or_none()
    return None if row is None else _listed(*row)


def _jobs() -> Select[BacktestJob, str, str]:
    return (
        select(BacktestJob, Strategy.name, User.email)
        .join(Strategy, Strategy.id == BacktestJob.strategy_id)
        .join(User, User.id == BacktestJob.user_id)
    )


def _listed(job: BacktestJob, strategy: str, email: str) -> ListedBacktest:
    return ListedBacktest(
        job_id=job.id,
        status=job.status,
        strategy=strategy,
        symbol=job.symbol,
        timeframe=job.timeframe,
        requested_by=email,
        created_at=job.created_at,
        started_at=job.started_at,
        heartbeat_at=job.heartbeat_at,
        finished_at=job.finished_at,
        result=job.result,
        error=job.error,
    )
