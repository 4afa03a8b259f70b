"""A deployment that asked for an approval, and what can become of it."""

import datetime as dt
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.paper_trading.models import Order
from packages.domain.paper_trading.run_outcome import RunOutcome
from packages.domain.trade_approval.decide import Decision, approve, reject
from packages.domain.trade_approval.expire_pending import expire_pending
from packages.domain.trade_approval.models import TradeApproval
from tests.paper_trading.trading_world import (
    FEE_RATE,
    NOW,
    VALID_FOR,
    add_deployment,
    add_user,
    fills_of,
    run_on,
    store_closes,
)

SOON = NOW + dt.timedelta(minutes=1)
EXPIRES_AT = NOW + VALID_FOR
JUST_BEFORE = EXPIRES_AT - dt.timedelta(microseconds=1)


class Asked:
    """A deployment of 1000 that wants to buy 50 at 10 and was asked to wait."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        with Session(engine) as session, session.begin():
            store_closes(session, [8, 10])
            self.user_id = add_user(session, "owner@example.com")
            self.deployment_id = add_deployment(session, user_id=self.user_id, order_limit=Decimal(100))
            result = run_on(session, self.deployment_id, 1)
            assert result.outcome is RunOutcome.ASKED_FOR_APPROVAL
            assert result.order_id is not None
            self.order_id = result.order_id
            self.approval_id = session.scalars(sa.select(TradeApproval.id)).one()

    def approve(self, session: Session, now: dt.datetime = SOON) -> Decision:
        return approve(session, approval_id=self.approval_id, by_user_id=self.user_id, now=now, fee_rate=FEE_RATE)

    def reject(self, session: Session, now: dt.datetime = SOON) -> Decision:
        return reject(session, approval_id=self.approval_id, by_user_id=self.user_id, now=now)

    def expire(self, session: Session, now: dt.datetime = EXPIRES_AT) -> list[int]:
        return expire_pending(session, now=now, limit=10)

    def state(self) -> tuple[str, str, int]:
        """The approval's status, its order's, and the number of fills."""
        with Session(self.engine) as session:
            approval = session.get_one(TradeApproval, self.approval_id)
            order = session.get_one(Order, self.order_id)
            return approval.status, order.status, len(fills_of(session, self.deployment_id))
