"""Thin task of the area `market_data`: it keeps the active subscriptions up to date."""

from typing import Any

from packages.domain.market_data.refresh import RefreshFailedError
from packages.domain.market_data.refresh import refresh_active_subscriptions as refresh
from packages.infra.queue.celery_app import celery_app
from packages.infra.queue.ports import provider
from packages.infra.queue.resources import now, sessions
from packages.infra.queue.retrying import retry_options
from packages.shared_settings import get_worker_io_settings


@celery_app.task(
    name="market_data.refresh_active_subscriptions", **retry_options(get_worker_io_settings(), RefreshFailedError)
)
def refresh_active_subscriptions() -> dict[str, Any]:
    """Store the bars since the last stored one for each active symbol; a failing symbol does not stop the others."""
    result = refresh(sessions(), provider=provider(), now=now())
    return {
        "bars": result.bars,
        "symbols": {
            f"{outcome.symbol} {outcome.timeframe}": outcome.error or outcome.bars for outcome in result.outcomes
        },
    }
