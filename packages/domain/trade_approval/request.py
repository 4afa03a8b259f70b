"""Asks a person to approve an order: the question and the message to the owner. Never fills, never commits.

Provides paper trading's port `AskApproval`; whoever runs a deployment passes `request_approval` to it.
"""

import datetime as dt

from sqlalchemy.orm import Session

from packages.domain.accounts.models import User
from packages.domain.notifications.outbox import enqueue
from packages.domain.paper_trading.models import Deployment, Order
from packages.domain.trade_approval.models import TradeApproval
from packages.shared_settings.workers import EMAIL


def request_approval(
    session: Session, *, order: Order, deployment: Deployment, now: dt.datetime, expires_at: dt.datetime
) -> None:
    """Write a pending approval of `order` and a message to the deployment's owner, in the caller's transaction."""
    approval = TradeApproval(order_id=order.id, requested_at=now, expires_at=expires_at)
    session.add(approval)
    session.flush()
    owner = session.get_one(User, deployment.user_id)
    enqueue(
        session,
        idempotency_key=f"approval-requested:{order.id}",
        channel=EMAIL,
        recipient=owner.email,
        subject=f"Approve a {order.side} order of {deployment.symbol}?",
        body=(
            f"{describe(order, deployment.symbol)}\n"
            f"Why: {order.reason}\n"
            f"It is above the limit of deployment {deployment.id}. Approval {approval.id} waits for your decision "
            f"until {expires_at:%Y-%m-%d %H:%M:%S %Z}; after that the order is cancelled.\n"
        ),
        now=now,
    )


def describe(order: Order, symbol: str) -> str:
    """The order in one sentence, for a message."""
    quantity, price = order.quantity.normalize(), order.reference_price.normalize()
    return f"Order {order.id}: {order.side} {quantity:f} {symbol}, {price:f} each when it was made."
