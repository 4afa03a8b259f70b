"""How one message of the outbox is taken, and how its outcome is written. Sends nothing.

A row is `pending` until it is `sent` or `dead`. Taking it counts the try and sets `claimed_until`; both in one short
transaction that skips rows another dispatcher is taking. The number of the try is the claim's ticket: an outcome is
written only while the row is still pending at that very try, so a dispatcher whose claim ran out and was taken over
changes nothing.

A dispatcher that dies between sending and writing leaves a claim that runs out, and the message is sent again: at
least once. A message that kills its dispatcher on every try runs out of tries like any other.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, case, or_, select, update
from sqlalchemy.orm import Session

from packages.domain.notifications.models import Notification

NO_OUTCOME = "the last try ended without an outcome: its worker was lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedMessage:
    """One message to send, at its try number `attempt` (from 1)."""

    id: int
    attempt: int
    idempotency_key: str
    channel: str
    recipient: str | None
    subject: str
    body: str


def bury_exhausted(session: Session, *, now: dt.datetime, max_attempts: int) -> list[int]:
    """Mark as dead the due rows that have no try left, and give their ids.

    They are those whose last try was never written, and those above a limit that was lowered.
    """
    exhausted = (
        select(Notification.id)
        .where(*_due(now), Notification.attempts >= max_attempts)
        .order_by(Notification.id)
        .with_for_update(skip_locked=True)
    )
    # An outcome that was written has ended its claim; a claim that is still there was never followed by one.
    reason = case((Notification.claimed_until.is_not(None), NO_OUTCOME), else_=Notification.last_error)
    buried = session.scalars(
        update(Notification)
        .where(Notification.id.in_(exhausted.scalar_subquery()), Notification.status == "pending")
        .values(status="dead", claimed_until=None, last_error=reason)
        .returning(Notification.id)
        .execution_options(synchronize_session=False)
    )
    return sorted(buried)


def claim_next(
    session: Session, *, now: dt.datetime, max_attempts: int, claim_for: dt.timedelta
) -> ClaimedMessage | None:
    """Take the message that has been due longest, until `now + claim_for`; None when none is due."""
    row = session.scalars(
        select(Notification)
        .where(*_due(now), Notification.attempts < max_attempts)
        .order_by(Notification.next_attempt_at, Notification.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        return None
    row.attempts += 1
    row.claimed_until = now + claim_for
    session.flush()
    return ClaimedMessage(
        id=row.id,
        attempt=row.attempts,
        idempotency_key=row.idempotency_key,
        channel=row.channel,
        recipient=row.recipient,
        subject=row.subject,
        body=row.body,
    )


def record_sent(session: Session, message: ClaimedMessage, *, now: dt.datetime) -> bool:
    """Write that the message went out. False when the claim was taken over."""
    return _record(session, message, status="sent", sent_at=now, last_error=None)


def record_retry(session: Session, message: ClaimedMessage, *, error: str, next_attempt_at: dt.datetime) -> bool:
    """Write that the try failed and when the next one is due. False when the claim was taken over."""
    return _record(session, message, next_attempt_at=next_attempt_at, last_error=error)


def record_dead(session: Session, message: ClaimedMessage, *, error: str) -> bool:
    """Write that the message will not be tried again. False when the claim was taken over."""
    return _record(session, message, status="dead", last_error=error)


def _record(session: Session, message: ClaimedMessage, **values: object) -> bool:
    result = session.execute(
        update(Notification)
        .where(
            Notification.id == message.id,
            Notification.status == "pending",
            Notification.attempts == message.attempt,
        )
        .values(claimed_until=None, **values)
        .execution_options(synchronize_session=False)
    )
    return cast("CursorResult[Any]", result).rowcount == 1


def _due(now: dt.datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        Notification.status == "pending",
        Notification.next_attempt_at <= now,
        or_(Notification.claimed_until.is_(None), Notification.claimed_until <= now),
    )
