"""Writes a message into the outbox, in the transaction of the event that caused it. Never sends, never commits."""

import datetime as dt

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from packages.domain.notifications.models import Notification


def enqueue(  # noqa: PLR0913 - each is a column of the row, all by name
    session: Session,
    *,
    idempotency_key: str,
    channel: str,
    recipient: str | None,
    subject: str,
    body: str,
    now: dt.datetime,
) -> bool:
    """Queue one message, due at once. False when a message with this key is there already; that one is left alone.

    The caller commits: no event without its message, no message without its event. When another transaction is
    writing the same key, this call waits until that one has ended.
    """
    statement = (
        insert(Notification)
        .values(
            idempotency_key=idempotency_key,
            channel=channel,
            recipient=recipient,
            subject=subject,
            body=body,
            next_attempt_at=now,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=[Notification.idempotency_key])
        .returning(Notification.id)
    )
    return session.scalar(statement) is not None
