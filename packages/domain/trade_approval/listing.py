"""The approvals as a person wants to see them: what is asked, by when, and what came of it. Decides nothing."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from packages.domain.accounts.models import User
from packages.domain.paper_trading.models import Deployment, Order
from packages.domain.trade_approval.models import TradeApproval


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedApproval:
    """An approval with its order. One that is past its end is `expired`, also before the sweep has come by.

    `decided_by` is the address of who decided; `decided_at` has the instant of the sweep for one that it expired.
    """

    approval_id: int
    status: str
    deployment_id: int
    owner: str
    order_id: int
    side: str
    quantity: Decimal
    symbol: str
    reference_price: Decimal
    order_status: str
    reason: str
    requested_at: dt.datetime
    expires_at: dt.datetime
    decided_at: dt.datetime | None
    decided_by: str | None


def list_approvals(session: Session, *, now: dt.datetime, limit: int, decided: bool = False) -> list[ListedApproval]:
    """Up to `limit` approvals that wait for a decision, the next to expire first.

    With `decided` also those that are decided or past their end: the newest `limit` of all, newest first.

    Raises:
        ValueError: `limit` is not above zero.
    """
    if limit <= 0:
        raise ValueError(f"limit must be above 0: {limit}")
    decider = aliased(User)
    query = (
        select(TradeApproval, Order, Deployment.symbol, User.email, decider.email)
        .join(Order, Order.id == TradeApproval.order_id)
        .join(Deployment, Deployment.id == Order.deployment_id)
        .join(User, User.id == Deployment.user_id)
        .outerjoin(decider, decider.id == TradeApproval.decided_by_user_id)
        .limit(limit)
    )
    if decided:
        query = query.order_by(TradeApproval.id.desc())
    else:
        # `expires_at` is exclusive, as it is for a decision.
        query = query.where(TradeApproval.status == "pending", TradeApproval.expires_at > now)
        query = query.order_by(TradeApproval.expires_at, TradeApproval.id)
    return [_listed(*row, now=now) for row in session.execute(query)]


def _listed(  # noqa: PLR0913 - the columns of one row
    approval: TradeApproval, order: Order, symbol: str, owner: str, decided_by: str | None, *, now: dt.datetime
) -> ListedApproval:
    is_over = approval.status == "pending" and approval.expires_at <= now
    return ListedApproval(
        approval_id=approval.id,
        status="expired" if is_over else approval.status,
        deployment_id=order.deployment_id,
        owner=owner,
        order_id=order.id,
        side=order.side,
        quantity=order.quantity.normalize(),
        symbol=symbol,
        reference_price=order.reference_price.normalize(),
        order_status=order.status,
        reason=order.reason,
        requested_at=approval.requested_at,
        expires_at=approval.expires_at,
        decided_at=approval.decided_at,
        decided_by=decided_by,
    )
