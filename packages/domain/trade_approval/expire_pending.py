"""Ends approvals that nobody decided in time. Never decides one that still has time, never commits.

    pending --expires_at reached--> expired, its order cancelled, its owner told: one transaction
    pending --decided in time-----> approved or rejected, see `decide`

Both take the approval's row first, under the guard `status = 'pending'`: whoever comes second finds it decided.
"""

import datetime as dt
import logging

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from packages.domain.accounts.models import User
from packages.domain.notifications.outbox import enqueue
from packages.domain.paper_trading.models import Deployment, Order
from packages.domain.trade_approval.models import TradeApproval
from packages.domain.trade_approval.request import describe
from packages.shared_settings.workers import EMAIL

log = logging.getLogger(__name__)


def expire_pending(session: Session, *, now: dt.datetime, limit: int) -> list[int]:
    """Expire up to `limit` approvals with `expires_at <= now`, oldest first; their ids in ascending order.

    Each one's order is cancelled and its owner gets a message, in the caller's transaction. An approval that is being
    decided at this moment is left to that decision; should it be undone, the next call expires it.

    Raises:
        ValueError: `limit` is not above zero.
    """
    if limit <= 0:
        raise ValueError(f"limit must be above 0: {limit}")
    expired = _expire(session, now=now, limit=limit)
    if not expired:
        return []
    _cancel_orders(session, order_ids=list(expired.values()), now=now)
    _tell_owners(session, expired, now=now)
    approval_ids = sorted(expired)
    log.info("trade_approvals_expired", extra={"approval_ids": approval_ids})
    return approval_ids


def _expire(session: Session, *, now: dt.datetime, limit: int) -> dict[int, int]:
    """The order's id of each approval that was expired, by the approval's id."""
    due = (
        select(TradeApproval.id)
        .where(TradeApproval.status == "pending", TradeApproval.expires_at <= now)
        .order_by(TradeApproval.expires_at, TradeApproval.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    expire = (
        update(TradeApproval)
        .where(TradeApproval.id == due.c.id)
        .values(status="expired", decided_at=now)
        .returning(TradeApproval.id, TradeApproval.order_id)
        .execution_options(synchronize_session=False)
    )
    return dict(session.execute(expire).all())


def _cancel_orders(session: Session, *, order_ids: list[int], now: dt.datetime) -> None:
    session.execute(
        update(Order)
        .where(Order.id.in_(order_ids), Order.status == "pending_approval")
        .values(status="cancelled", closed_at=now, reason=Order.reason + "; cancelled: the approval expired")
        .execution_options(synchronize_session=False)
    )


def _tell_owners(session: Session, expired: dict[int, int], *, now: dt.datetime) -> None:
    rows = session.execute(
        select(TradeApproval.id, Order, Deployment.symbol, User.email)
        .join(Order, Order.id == TradeApproval.order_id)
        .join(Deployment, Deployment.id == Order.deployment_id)
        .join(User, User.id == Deployment.user_id)
        .where(TradeApproval.id.in_(expired))
        .order_by(TradeApproval.id)
        .execution_options(populate_existing=True)
    )
    for approval_id, order, symbol, email in rows:
        enqueue(
            session,
            idempotency_key=f"approval-expired:{approval_id}",
            channel=EMAIL,
            recipient=email,
            subject=f"Your {order.side} order of {symbol} was cancelled",
            body=f"{describe(order, symbol)}\nNobody decided on approval {approval_id} in time.\n",
            now=now,
        )
