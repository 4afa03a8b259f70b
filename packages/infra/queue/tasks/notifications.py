"""Thin task of the area `notifications`: it sends what waits in the outbox."""

from datetime import timedelta
from typing import Any

from packages.domain.notifications.dispatch import dispatch_pending as dispatch
from packages.infra.queue.celery_app import celery_app
from packages.infra.queue.ports import sender
from packages.infra.queue.resources import now, sessions
from packages.infra.queue.retrying import INTERRUPTS, retry_options
from packages.shared_settings import get_worker_io_settings

SETTINGS = get_worker_io_settings()


@celery_app.task(name="notifications.dispatch_pending", **retry_options(SETTINGS))
def dispatch_pending() -> dict[str, Any]:
    """Send the due messages of the outbox."""
    result = dispatch(
        sessions(),
        sender=sender(),
        now=now,
        batch_size=SETTINGS.notifications_batch_size,
        max_attempts=SETTINGS.notifications_max_attempts,
        backoff_base=timedelta(seconds=SETTINGS.notifications_backoff_seconds),
        backoff_cap=timedelta(seconds=SETTINGS.notifications_backoff_cap_seconds),
        claim_for=timedelta(seconds=SETTINGS.notifications_claim_seconds),
        interrupts=INTERRUPTS,
    )
    return {"sent": result.sent, "retried": result.retried, "dead": result.dead, "overtaken": result.overtaken}
