"""The full path of a message: Celery builds it through everything that anybody hooked in, and it is kept, not sent.

From `apply_entry` over the task's or the scheduler's own methods, routers, receivers and serializers to kombu's
bindings. `after_task_publish` waits until the broker has the message.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from celery import signals
from celery.beat import ScheduleEntry
from kombu.exceptions import OperationalError

from packages.infra.beat.celery_host import CeleryHost
from packages.infra.beat.messages.capture import captured
from packages.infra.beat.messages.held_signals import HeldCall, held
from packages.infra.beat.messages.message import MakerAwayError, Message
from packages.infra.beat.messages.publishing import stamped
from packages.scheduling.decision import Decision
from packages.scheduling.instants import to_datetime

# Sent when the broker has a message; the second one is what Celery had before the first.
SENT_AFTER: Final = (signals.after_task_publish, signals.task_sent)


class Asked(NamedTuple):
    """A fire that is to be made a message, published at an instant under a term."""

    decision: Decision
    entry: ScheduleEntry
    term: int
    published_at: int


def built_by_celery(host: CeleryHost, asked: Asked) -> Message:
    """The message as Celery builds it now; tried once more on another connection.

    That it fails may be because of the connection, of the broker, or of what this one message asks of the broker or of
    another one. Only where the broker is not there other messages are concerned, too.

    Raises:
        MakerAwayError: the broker is not there.
        Exception: what was in the way, whoever raised it.
    """
    try:
        return _built(host, asked)
    except OperationalError as error:
        if not host.reconnect(error):
            raise MakerAwayError from error
    return _built(host, asked)


def _built(host: CeleryHost, asked: Asked) -> Message:
    given: Any = stamped(asked.entry, asked.decision, to_datetime(asked.published_at), term=asked.term)
    calls: Sequence[HeldCall] = ()
    with captured(host.producer) as capture:
        if any(signal.receivers for signal in SENT_AFTER):
            with held(SENT_AFTER, lambda: bool(capture.pushes)) as calls:
                error = host.publish(given)
        else:
            error = host.publish(given)
    if error is not None:
        raise error
    accepted = partial(_make, tuple(calls)) if calls else None
    return Message(str(given.options["task_id"]), tuple(capture.pushes), accepted)


def _make(calls: Sequence[HeldCall]) -> None:
    for call in calls:
        call()
