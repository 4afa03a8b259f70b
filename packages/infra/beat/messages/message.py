"""A fire as a finished message on a Redis-compatible broker, and who makes it. Nothing is sent here."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from celery.beat import ScheduleEntry

from packages.scheduling.plan import Fire


class Route(NamedTuple):
    """The key that a message goes to, whole: a list that is pushed to, or the channel of a fanout.

    `expires` has what kombu renews with each message: keys of queues that expire, with their milliseconds.
    """

    key: str
    is_fanout: bool = False
    expires: tuple[tuple[str, int], ...] = ()


class Push(NamedTuple):
    """One delivery: the bytes as kombu would put them."""

    route: Route
    payload: str


class Message(NamedTuple):
    """One fire, ready to be committed.

    Several `pushes`: more queues than one are bound, or an event tells of the message.
    `accepted` is called once the broker has it, and not before: it tells those who are connected to
    `after_task_publish`. A message without any `pushes` was published by somebody's own code.
    """

    task_id: str
    pushes: tuple[Push, ...]
    accepted: Callable[[], None] | None = None


class MessageMaker(Protocol):
    """Makes the message of a fire out of its entry."""

    def make(self, fire: Fire, entry: ScheduleEntry, *, term: int, published_at: int, task_id: str) -> Message:
        """The message of one fire that is published at the instant `published_at` under the lease's `term`.

        `task_id` is that of the fire; an entry may bring another one along.

        Raises:
            kombu.exceptions.OperationalError: the broker would have to be asked, and is away.
            Exception: the entry cannot be made a message; other entries are not concerned.
        """
        ...

    def forget(self, name: str) -> None:
        """The entry of this name is another one from now on, or no more."""
        ...
