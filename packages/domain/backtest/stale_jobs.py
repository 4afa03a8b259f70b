"""Decides which running backtests have gone silent, and fails them. Never stops a process and never runs one.

A job that reports in at the same moment is not lost. Its heartbeat is an UPDATE guarded by `status = 'running'`,
as is the one here, and the row lock puts the two in an order. Under READ COMMITTED, PostgreSQL's default, the
one that waited looks at the row again as the first has left it:

- heartbeat first: the row is no longer silent, and this statement passes it by;
- this statement first: the row is no longer running, the heartbeat changes nothing, and the run stops itself.
"""

import logging
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from packages.domain.backtest.models import BacktestJob

log = logging.getLogger(__name__)


def fail_stale_backtest_jobs(session: Session, *, now: datetime, stale_after: timedelta) -> list[int]:
    """Fail the running jobs whose last sign of life is more than `stale_after` before `now`.

    The last sign of life is the heartbeat, else the start, else the creation. Returns the ids, ascending. The
    caller commits.

    Raises:
        ValueError: `stale_after` is not positive.
    """
    if stale_after <= timedelta(0):
        raise ValueError(f"stale_after is {stale_after}; it must be positive.")
    last_seen_at = func.coalesce(BacktestJob.heartbeat_at, BacktestJob.started_at, BacktestJob.created_at)
    is_stale = (BacktestJob.status == "running", last_seen_at < now - stale_after)
    # Locking in the order of the ids keeps two sweeps from a deadlock. A lock that another holds is waited for.
    locked = select(BacktestJob.id).where(*is_stale).order_by(BacktestJob.id).with_for_update().cte("stale")
    statement = (
        update(BacktestJob)
        .where(BacktestJob.id == locked.c.id, *is_stale)
        .values(status="failed", finished_at=now, error=f"No heartbeat for more than {_in_words(stale_after)}.")
        .returning(BacktestJob.id)
        # Rows that the session has loaded keep their old values until it refreshes them.
        .execution_options(synchronize_session=False)
    )
    failed = sorted(session.scalars(statement))
    if failed:
        log.warning(
            "backtest_jobs_failed_as_stale",
            extra={"backtest_ids": failed, "stale_after_s": stale_after.total_seconds()},
        )
    return failed


def _in_words(duration: timedelta) -> str:
    minutes, seconds = divmod(duration.total_seconds(), 60)
    return f"{minutes:.0f} min" if minutes and not seconds else f"{duration.total_seconds():g} s"
