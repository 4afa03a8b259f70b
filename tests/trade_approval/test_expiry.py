"""What an expiry writes, and which approvals it takes."""

import datetime as dt
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.notifications.models import Notification
from packages.domain.paper_trading.models import Order
from packages.domain.trade_approval.expire_pending import expire_pending
from packages.domain.trade_approval.models import TradeApproval
from tests.paper_trading.trading_world import (
    NOW,
    add_deployment,
    run_on,
    store_closes,
)
from tests.trade_approval.asked import EXPIRES_AT, JUST_BEFORE, Asked


@pytest.fixture
def asked(engine: sa.Engine) -> Asked:
    return Asked(engine)


def test_what_is_past_due_expires_with_its_order_and_a_message(engine: sa.Engine, asked: Asked) -> None:
    with Session(engine) as session, session.begin():
        assert asked.expire(session, JUST_BEFORE) == []
        assert asked.expire(session) == [asked.approval_id]
        assert asked.expire(session) == []
    assert asked.state() == ("expired", "cancelled", 0)
    with Session(engine) as session:
        approval = session.get_one(TradeApproval, asked.approval_id)
        assert (approval.decided_at, approval.decided_by_user_id) == (EXPIRES_AT, None)
        order = session.get_one(Order, asked.order_id)
        assert order.closed_at == EXPIRES_AT
        assert order.reason.startswith("up-trend")
        assert order.reason.endswith("; cancelled: the approval expired")
        query = sa.select(Notification).where(Notification.idempotency_key == f"approval-expired:{asked.approval_id}")
        message = session.scalars(query).one()
        assert (message.recipient, message.subject) == (
            "owner@example.com",
            "Your buy order of ABC was cancelled",
        )


def test_the_limit_takes_the_longest_overdue_first(engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10])
        for delay in (3, 1, 2):
            deployment_id = add_deployment(session, order_limit=Decimal(1))
            run_on(session, deployment_id, 1, now=NOW + dt.timedelta(minutes=delay))
        ids = list(session.scalars(sa.select(TradeApproval.id).order_by(TradeApproval.id)))
        late = NOW + dt.timedelta(days=1)
        assert expire_pending(session, now=late, limit=2) == [ids[1], ids[2]]
        assert expire_pending(session, now=late, limit=2) == [ids[0]]


def test_a_limit_of_zero_is_refused(engine: sa.Engine) -> None:
    with Session(engine) as session, pytest.raises(ValueError, match="limit must be above 0"):
        expire_pending(session, now=NOW, limit=0)
