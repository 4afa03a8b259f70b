"""Thin task of the area `trade_approval`: it expires what nobody decided in time."""

from typing import Any

from packages.domain.trade_approval.expire_pending import expire_pending as expire
from packages.infra.queue.celery_app import celery_app
from packages.infra.queue.resources import now, sessions
from packages.infra.queue.retrying import retry_options
from packages.shared_settings import get_worker_io_settings

SETTINGS = get_worker_io_settings()


@celery_app.task(name="trade_approval.expire_pending", **retry_options(SETTINGS))
def expire_pending() -> dict[str, Any]:
    """Expire the past-due approvals and cancel their orders."""
    with sessions().begin() as session:
        expired = expire(session, now=now(), limit=SETTINGS.trading_approval_expire_batch_size)
    return {"expired": expired}
