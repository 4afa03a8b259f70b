"""A person's decision on an approval, and what it does to the order. Never asks, never expires, never commits.

One guarded update (`status = 'pending'` and still in time) takes the approval's row and decides it. A decision or an
expiry that holds the row is waited for; when it commits, the guard fails and this decision has lost. Then the
deployment is locked, as every run of it does; no run waits for an approval, so the two cannot block each other.
"""

import datetime as dt
import logging
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from packages.domain.accounts.models import User
from packages.domain.market_data.bars import stored_bars
from packages.domain.paper_trading.errors import PaperTradingError
from packages.domain.paper_trading.models import Order
from packages.domain.paper_trading.settlement import lock_deployment, settle
from packages.domain.trade_approval.errors import ApprovalAlreadyDecidedError, UnknownApprovalError, UnknownDeciderError
from packages.domain.trade_approval.models import TradeApproval

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What became of the order: `order_status` is filled or rejected, `reason` says why."""

    approval_id: int
    order_id: int
    order_status: str
    reason: str


def approve(session: Session, *, approval_id: int, by_user_id: int, now: dt.datetime, fee_rate: Decimal) -> Decision:
    """Approve, and fill the order at the symbol's latest stored close, in the caller's transaction.

    The approval stands even when the order cannot be filled: a deployment that is not running, no bar, too little
    cash or position for the present price reject the order, with the reason in it. `fee_rate` is in [0, 1).

    Raises:
        UnknownApprovalError, UnknownDeciderError: no such approval; no such active user.
        ApprovalAlreadyDecidedError: another decision came first, or `now` is at or after `expires_at`.
    """
    order = _take(session, approval_id=approval_id, by_user_id=by_user_id, now=now, status="approved")
    problem = _fill(session, order, fee_rate=fee_rate, now=now)
    if problem is not None:
        _close_rejected(order, f"approved, but not filled: {problem}", now)
    return _decided(session, order, approval_id=approval_id, by_user_id=by_user_id)


def reject(session: Session, *, approval_id: int, by_user_id: int, now: dt.datetime) -> Decision:
    """Reject: the order is closed unfilled, in the caller's transaction. Raises as `approve` does."""
    order = _take(session, approval_id=approval_id, by_user_id=by_user_id, now=now, status="rejected")
    _close_rejected(order, f"rejected by user {by_user_id}", now)
    return _decided(session, order, approval_id=approval_id, by_user_id=by_user_id)


def _take(session: Session, *, approval_id: int, by_user_id: int, now: dt.datetime, status: str) -> Order:
    """Decide the approval and give its order; the approval's row stays locked until the transaction ends."""
    active = session.scalar(select(User.is_active).where(User.id == by_user_id))
    if not active:
        raise UnknownDeciderError(approval_id=approval_id, user_id=by_user_id)
    order_id = session.scalar(
        update(TradeApproval)
        .where(TradeApproval.id == approval_id, TradeApproval.status == "pending", TradeApproval.expires_at > now)
        .values(status=status, decided_at=now, decided_by_user_id=by_user_id)
        .returning(TradeApproval.order_id)
        .execution_options(synchronize_session=False)
    )
    if order_id is None:
        raise _lost(session, approval_id)
    query = select(Order).where(Order.id == order_id).with_for_update()
    return session.scalars(query, execution_options={"populate_existing": True}).one()


def _lost(session: Session, approval_id: int) -> UnknownApprovalError | ApprovalAlreadyDecidedError:
    status = session.scalar(select(TradeApproval.status).where(TradeApproval.id == approval_id))
    if status is None:
        return UnknownApprovalError(approval_id=approval_id)
    # Still pending and yet refused: its time is over and the sweep has not come by.
    return ApprovalAlreadyDecidedError(approval_id=approval_id, status="expired" if status == "pending" else status)


def _fill(session: Session, order: Order, *, fee_rate: Decimal, now: dt.datetime) -> str | None:
    """Fill the order; the problem in words when it cannot be."""
    if order.status != "pending_approval":
        return f"the order is {order.status}"
    deployment = lock_deployment(session, order.deployment_id)
    if deployment is None or deployment.status != "running":
        return f"deployment {order.deployment_id} is not running"
    latest = stored_bars(session, symbol=deployment.symbol, timeframe=deployment.timeframe, limit=1)
    if not latest:
        return f"no bar of {deployment.symbol} is stored"
    try:
        settle(session, deployment=deployment, order=order, price=latest[-1].close, fee_rate=fee_rate, now=now)
    except PaperTradingError as error:
        return str(error)
    return None


def _close_rejected(order: Order, why: str, now: dt.datetime) -> None:
    if order.status != "pending_approval":
        # Ended by hand meanwhile; an end is never written over.
        return
    order.status = "rejected"
    order.closed_at = now
    order.reason = f"{order.reason}; {why}"


def _decided(session: Session, order: Order, *, approval_id: int, by_user_id: int) -> Decision:
    session.flush()
    log.info(
        "trade_approval_decided",
        extra={
            "approval_id": approval_id,
            "user_id": by_user_id,
            "order_id": order.id,
            "order_status": order.status,
            "reason": order.reason,
        },
    )
    return Decision(approval_id=approval_id, order_id=order.id, order_status=order.status, reason=order.reason)
