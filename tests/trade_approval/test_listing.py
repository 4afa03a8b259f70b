"""What a person sees of the approvals: those that can still be decided, and on request what became of the others."""

import datetime as dt
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.trade_approval.listing import ListedApproval, list_approvals
from tests.trade_approval.asked import EXPIRES_AT, JUST_BEFORE, SOON, Asked


def listed(engine: sa.Engine, *, now: dt.datetime, decided: bool = False) -> list[ListedApproval]:
    with Session(engine) as session:
        return list_approvals(session, now=now, limit=10, decided=decided)


def test_an_open_approval_is_shown_with_its_order_until_its_end(engine: sa.Engine) -> None:
    asked = Asked(engine)
    [shown] = listed(engine, now=JUST_BEFORE)
    assert (shown.approval_id, shown.status, shown.order_id) == (asked.approval_id, "pending", asked.order_id)
    assert (shown.side, shown.quantity, shown.symbol, shown.reference_price) == ("buy", Decimal(50), "ABC", Decimal(10))
    assert (shown.owner, shown.order_status, shown.expires_at) == ("owner@example.com", "pending_approval", EXPIRES_AT)
    assert listed(engine, now=EXPIRES_AT) == []


def test_one_past_its_end_is_shown_as_expired_before_the_sweep_has_come_by(engine: sa.Engine) -> None:
    Asked(engine)
    [shown] = listed(engine, now=EXPIRES_AT, decided=True)
    assert (shown.status, shown.decided_at, shown.order_status) == ("expired", None, "pending_approval")


def test_a_decided_one_is_shown_on_request_with_who_decided(engine: sa.Engine) -> None:
    asked = Asked(engine)
    with Session(engine) as session, session.begin():
        asked.reject(session)
    assert listed(engine, now=SOON) == []
    [shown] = listed(engine, now=SOON, decided=True)
    assert (shown.status, shown.decided_by, shown.decided_at) == ("rejected", "owner@example.com", SOON)
    assert shown.order_status == "rejected"


def test_a_limit_of_nothing_is_refused(engine: sa.Engine) -> None:
    with Session(engine) as session, pytest.raises(ValueError, match="limit must be above 0"):
        list_approvals(session, now=SOON, limit=0)
