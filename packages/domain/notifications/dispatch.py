"""Sends what is due in the outbox, one message after the other. Decides what each outcome means for its row.

    taken by the channel                       sent
    TransientSendError, or an unknown error    pending again after a backoff; dead after the last try
    PermanentSendError                         dead at once

No transaction is open while a message is being sent. Several dispatchers may run at once, in any number of
processes: each message is taken by one of them. It is at least once, never exactly once; the idempotency key
travels with the message so that a receiver can drop the second copy (see `claims`).
"""

import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from packages.domain.notifications.backoff import retry_delay
from packages.domain.notifications.claims import (
    ClaimedMessage,
    bury_exhausted,
    claim_next,
    record_dead,
    record_retry,
    record_sent,
)
from packages.domain.notifications.sender import PermanentSendError, Sender, TransientSendError

log = logging.getLogger(__name__)

Outcome = Literal["sent", "retried", "dead", "overtaken"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DispatchResult:
    """How many messages ended how. `overtaken`: sent or failed here, after another dispatcher took the row over."""

    sent: int
    retried: int
    dead: int
    overtaken: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Policy:
    max_attempts: int
    backoff_base: dt.timedelta
    backoff_cap: dt.timedelta
    interrupts: tuple[type[BaseException], ...]


def dispatch_pending(  # noqa: PLR0913 - each comes from a setting, all by name
    session_factory: Callable[[], Session],
    *,
    sender: Sender,
    now: Callable[[], dt.datetime],
    batch_size: int,
    max_attempts: int,
    backoff_base: dt.timedelta,
    backoff_cap: dt.timedelta,
    claim_for: dt.timedelta,
    run_for: dt.timedelta = dt.timedelta(minutes=5),
    interrupts: tuple[type[BaseException], ...] = (),
) -> DispatchResult:
    """Send due messages until none is left, `batch_size` were tried, or `run_for` is over.

    `now` is the clock. `claim_for` must exceed the longest time one send may take: a message that takes longer may
    be sent by another dispatcher as well. Exceptions of the types `interrupts` end the run wherever they come: they
    are the caller's way to stop it, not a failure of a message.

    Raises:
        ValueError: a size or limit below 1, or a duration that makes no sense.
    """
    if batch_size < 1 or max_attempts < 1:
        raise ValueError(f"batch_size and max_attempts must be at least 1: {batch_size}, {max_attempts}")
    if claim_for <= dt.timedelta(0) or backoff_base <= dt.timedelta(0) or backoff_cap < backoff_base:
        raise ValueError(
            f"claim_for and backoff_base must be above 0, backoff_cap at least the base: "
            f"{claim_for}, {backoff_base}, {backoff_cap}"
        )
    policy = _Policy(
        max_attempts=max_attempts, backoff_base=backoff_base, backoff_cap=backoff_cap, interrupts=interrupts
    )
    started = now()
    with session_factory() as session, session.begin():
        buried = bury_exhausted(session, now=started, max_attempts=max_attempts)
    for row_id in buried:
        log.error("notification_dead", extra={"notification_id": row_id, "reason": "no tries left"})
    counts: Counter[Outcome] = Counter({"dead": len(buried)})
    for _ in range(batch_size):
        instant = now()
        if instant - started >= run_for:
            break
        with session_factory() as session, session.begin():
            message = claim_next(session, now=instant, max_attempts=max_attempts, claim_for=claim_for)
        if message is None:
            break
        counts[_send_one(session_factory, message, sender, now, policy)] += 1
    return DispatchResult(
        sent=counts["sent"], retried=counts["retried"], dead=counts["dead"], overtaken=counts["overtaken"]
    )


def _send_one(
    session_factory: Callable[[], Session],
    message: ClaimedMessage,
    sender: Sender,
    now: Callable[[], dt.datetime],
    policy: _Policy,
) -> Outcome:
    error, is_final = _try(message, sender, policy.interrupts)
    is_last = message.attempt >= policy.max_attempts
    outcome: Outcome
    with session_factory() as session, session.begin():
        if error is None:
            outcome, written = "sent", record_sent(session, message, now=now())
        elif is_final or is_last:
            outcome, written = "dead", record_dead(session, message, error=error)
        else:
            delay = retry_delay(
                row_id=message.id, attempt=message.attempt, base=policy.backoff_base, cap=policy.backoff_cap
            )
            outcome, written = "retried", record_retry(session, message, error=error, next_attempt_at=now() + delay)
    if not written:
        outcome = "overtaken"
    _log(message, outcome, error)
    return outcome


def _try(
    message: ClaimedMessage, sender: Sender, interrupts: tuple[type[BaseException], ...]
) -> tuple[str | None, bool]:
    """The error's text, None when there is none, and whether it is final."""
    try:
        sender.send(
            channel=message.channel,
            recipient=message.recipient,
            subject=message.subject,
            body=message.body,
            idempotency_key=message.idempotency_key,
        )
    except interrupts:
        raise
    except PermanentSendError as error:
        return str(error), True
    except TransientSendError as error:
        return str(error), False
    except Exception as error:
        # One message must not stop the others. This text is not ours, so it may hold a secret: the row keeps the
        # type only.
        log.exception("notification_sender_crashed", extra={"notification_id": message.id})
        return f"unexpected {type(error).__name__} of the sender", False
    return None, False


def _log(message: ClaimedMessage, outcome: Outcome, error: str | None) -> None:
    fields: dict[str, Any] = {
        "notification_id": message.id,
        "channel": message.channel,
        "attempt": message.attempt,
        "outcome": outcome,
    }
    if error is not None:
        fields["error"] = error
    level = {"sent": logging.INFO, "dead": logging.ERROR}.get(outcome, logging.WARNING)
    log.log(level, "notification_dispatched", extra=fields)
