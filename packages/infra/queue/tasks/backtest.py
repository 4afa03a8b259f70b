"""Thin task of the area `backtest`: one long computation, in a process of its own."""

from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

from packages.domain.backtest.run import run_backtest
from packages.infra.queue.celery_app import celery_app
from packages.infra.queue.resources import now, sessions
from packages.infra.queue.retrying import retry_options
from packages.shared_settings import get_worker_cpu_settings

SETTINGS = get_worker_cpu_settings()


@celery_app.task(name="backtest.run", **retry_options(SETTINGS))
def run(job_id: int) -> dict[str, Any]:
    """Run the queued backtest `job_id` and store its result."""
    result = run_backtest(
        sessions(get_worker_cpu_settings),
        job_id=job_id,
        now=now,
        heartbeat_every=timedelta(seconds=SETTINGS.backtest_heartbeat_seconds),
        initial_cash=Decimal(SETTINGS.backtest_initial_cash),
        fee_rate=SETTINGS.fee_rate,
    )
    return {"job_id": job_id, **{name: str(value) for name, value in asdict(result.performance).items()}}
