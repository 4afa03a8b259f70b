"""Thin task of the area `backtest`: one long computation, in a process of its own."""

from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from packages.domain.backtest.claim import NotClaimed, claim_backtest
from packages.domain.backtest.run import run_backtest
from packages.infra.queue.celery_app import celery_app
from packages.infra.queue.resources import now, sessions
from packages.infra.queue.retrying import DATABASE_AWAY, has_retries_left, retry_after
from packages.shared_settings import get_worker_cpu_settings

if TYPE_CHECKING:
    from celery import Task

SETTINGS = get_worker_cpu_settings()


# Only what comes before the claim is tried again: an error after it has failed the job, and is told as it is.
@celery_app.task(name="backtest.run", bind=True, max_retries=SETTINGS.celery_task_max_retries)
def run(self: "Task[Any, Any]", job_id: int) -> dict[str, Any]:
    """Run the queued backtest `job_id` and store its result.

    A message that comes again after its worker was lost finds the job running. It waits until the lost run must have
    been silent for long enough, and takes the job over. A job that goes on elsewhere is a result, not an error.
    """
    session_factory = sessions(get_worker_cpu_settings)
    heartbeat_every = timedelta(seconds=SETTINGS.backtest_heartbeat_seconds)
    try:
        claim = claim_backtest(session_factory, job_id=job_id, now=now(), heartbeat_every=heartbeat_every)
    except DATABASE_AWAY as error:
        if not has_retries_left(self):
            raise
        raise retry_after(self, timedelta(seconds=SETTINGS.celery_task_retry_backoff_seconds), error) from error
    if isinstance(claim, NotClaimed):
        if claim.status == "running" and has_retries_left(self):
            raise retry_after(self, claim.silent_after)
        where = "running elsewhere" if claim.status == "running" else f"{claim.status} already"
        return {"job_id": job_id, "outcome": where}
    result = run_backtest(
        session_factory,
        claim=claim,
        now=now,
        initial_cash=Decimal(SETTINGS.backtest_initial_cash),
        fee_rate=SETTINGS.fee_rate,
    )
    figures = {name: str(value) for name, value in asdict(result.performance).items()}
    return {"job_id": job_id, "outcome": "succeeded", **figures}
