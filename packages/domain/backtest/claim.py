"""Who runs a backtest job: decides whether this run may, and guards every write of the run by that claim.

    queued -------------------claim--> running
    running, silent for long --claim--> running, by another run (a take-over)

The instant of the claim is stored as `started_at` and is its ticket: a write changes the row only while that stands
and the job is `running`. So a run whose job was failed as stale, or taken over, learns it at its next write and
changes nothing. Claims are decided by the row's lock: of two at once one is given.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session, sessionmaker

from packages.domain.backtest.errors import BacktestLostError, UnknownBacktestError
from packages.domain.backtest.models import BacktestJob

# A run reports in between two bars only, so one slow bar must not make it look dead.
SILENT_PERIODS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The proof that a job is this run's: nobody else started it at this instant. It is to report in so often."""

    job_id: int
    started_at: dt.datetime
    heartbeat_every: dt.timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class NotClaimed:
    """The job is another run's: `status` is running, succeeded or failed.

    A running one can be taken over after `silent_after`, should its run not report in any more.
    """

    job_id: int
    status: str
    silent_after: dt.timedelta


def claim_backtest(
    session_factory: sessionmaker[Session], *, job_id: int, now: dt.datetime, heartbeat_every: dt.timedelta
) -> Claim | NotClaimed:
    """Start the job `job_id` in a transaction of its own when it is queued, or running without a sign of life.

    A running job may be without one for `SILENT_PERIODS` times `heartbeat_every` before it is taken over.

    Raises:
        UnknownBacktestError: there is no such job.
        ValueError: `heartbeat_every` is not above 0.
    """
    if heartbeat_every <= dt.timedelta(0):
        raise ValueError(f"heartbeat_every must be above 0: {heartbeat_every}")
    silent_after = SILENT_PERIODS * heartbeat_every
    last_seen_at = func.coalesce(BacktestJob.heartbeat_at, BacktestJob.started_at, BacktestJob.created_at)
    is_silent = and_(BacktestJob.status == "running", last_seen_at <= now - silent_after)
    with session_factory.begin() as session:
        claimed = session.scalar(
            update(BacktestJob)
            .where(BacktestJob.id == job_id, or_(BacktestJob.status == "queued", is_silent))
            .values(status="running", started_at=now, heartbeat_at=now)
            .returning(BacktestJob.id)
            .execution_options(synchronize_session=False)
        )
        if claimed is not None:
            return Claim(job_id=job_id, started_at=now, heartbeat_every=heartbeat_every)
        status = session.scalar(select(BacktestJob.status).where(BacktestJob.id == job_id))
    if status is None:
        raise UnknownBacktestError(job_id=job_id)
    return NotClaimed(job_id=job_id, status=status, silent_after=silent_after)


def write_claimed(session_factory: sessionmaker[Session], claim: Claim, **columns: Any) -> None:  # noqa: ANN401 - column values
    """Write these columns of the claimed job, in a transaction of its own.

    Raises:
        BacktestLostError: the job is no longer the claim's; nothing was written.
    """
    with session_factory.begin() as session:
        written = session.scalar(
            update(BacktestJob)
            .where(
                BacktestJob.id == claim.job_id,
                BacktestJob.status == "running",
                BacktestJob.started_at == claim.started_at,
            )
            .values(**columns)
            .returning(BacktestJob.id)
            .execution_options(synchronize_session=False)
        )
    if written is None:
        raise BacktestLostError(job_id=claim.job_id)
