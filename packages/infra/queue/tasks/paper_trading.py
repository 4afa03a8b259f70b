"""Thin tasks of the area `paper_trading`: the tick that hands out due deployments, and the run of one."""

from datetime import datetime, timedelta
from typing import Any

from packages.domain.paper_trading.run_deployment import run_deployment as run
from packages.domain.paper_trading.scheduler_tick import claim_due_deployments
from packages.domain.trade_approval.request import request_approval
from packages.infra.queue.celery_app import celery_app
from packages.infra.queue.resources import now, sessions
from packages.infra.queue.retrying import INTERRUPTS, retry_options
from packages.shared_settings import get_worker_io_settings

SETTINGS = get_worker_io_settings()


@celery_app.task(name="paper_trading.scheduler_tick", **retry_options(SETTINGS))
def scheduler_tick() -> dict[str, Any]:
    """Claim the deployments whose bar is due and send one run for each.

    The claims are committed before the messages are sent. A message that is lost is sent again when its claim is
    over, and one that is delivered twice finds its bar decided.
    """
    claim_for = timedelta(seconds=SETTINGS.paper_trading_claim_seconds)
    with sessions().begin() as session:
        claimed = claim_due_deployments(
            session, now=now(), claim_for=claim_for, limit=SETTINGS.paper_trading_batch_size
        )
    for deployment in claimed:
        run_deployment.apply_async(
            args=(deployment.deployment_id, deployment.bar_opened_at.isoformat()),
            expires=SETTINGS.paper_trading_claim_seconds,
        )
    return {"sent": [deployment.deployment_id for deployment in claimed]}


@celery_app.task(name="paper_trading.run_deployment", **retry_options(SETTINGS))
def run_deployment(deployment_id: int, bar_opened_at: str) -> dict[str, Any]:
    """Let one deployment decide on one bar; `bar_opened_at` is RFC 3339."""
    with sessions().begin() as session:
        result = run(
            session,
            deployment_id=deployment_id,
            bar_opened_at=datetime.fromisoformat(bar_opened_at),
            now=now(),
            fee_rate=SETTINGS.fee_rate,
            approval_valid_for=timedelta(minutes=SETTINGS.trading_approval_valid_minutes),
            ask_approval=request_approval,
            interrupts=INTERRUPTS,
        )
    return {
        "deployment_id": deployment_id,
        "bar_opened_at": bar_opened_at,
        "outcome": result.outcome.value,
        "reason": result.reason,
        "order_id": result.order_id,
    }
