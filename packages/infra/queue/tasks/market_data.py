"""Thin task of the area `market_data`: it keeps the active subscriptions up to date."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from packages.domain.market_data.refresh import RefreshFailedError
from packages.domain.market_data.refresh import refresh_active_subscriptions as refresh
from packages.infra.queue.celery_app import celery_app
from packages.infra.queue.ports import provider
from packages.infra.queue.resources import now, sessions
from packages.infra.queue.retrying import INTERRUPTS, has_retries_left, retry_after, retry_options
from packages.shared_settings import get_worker_io_settings

if TYPE_CHECKING:
    from celery import Task

SETTINGS = get_worker_io_settings()


@celery_app.task(name="market_data.refresh_active_subscriptions", bind=True, **retry_options(SETTINGS))
def refresh_active_subscriptions(self: "Task[Any, Any]") -> dict[str, Any]:
    """Store the bars since the last stored one for each active symbol; a failing symbol does not stop the others.

    When all fail it is tried again, unless the provider refuses: a wrong key is not mended by asking again.
    """
    try:
        result = refresh(sessions(), provider=provider(), now=now, interrupts=INTERRUPTS)
    except RefreshFailedError as error:
        if not error.retryable or not has_retries_left(self):
            raise
        raise retry_after(self, timedelta(seconds=SETTINGS.celery_task_retry_backoff_seconds), error) from error
    return {
        "bars": result.bars,
        "left": result.left,
        "symbols": {
            f"{outcome.symbol} {outcome.timeframe}": outcome.error or outcome.bars for outcome in result.outcomes
        },
    }
