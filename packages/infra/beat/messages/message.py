"""A fire as a finished message on a Redis-compatible broker, and who makes it. Nothing is sent here."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from celery.beat import ScheduleEntry

from packages.scheduling.plan import Fire


class MakerAwayError(Exception):
    """Its cause says why the broker could not be asked how a message looks, and it is not there."""


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


class Pieces(NamedTuple):
    """One fire's message in pieces, for one list: most of it is the same for many fires, and sent once for all of them.

    `head` is the job's, `fire` that of its instants. `frame` has the rest, in five parts with the id of the fire
    between them: one object for all messages of one template that are published together.
    """

    route: Route
    head: str
    fire: str
    frame: tuple[str, str, str, str, str]

    def whole(self, task_id: str) -> "Message":
        """The same in one piece."""
        return Message(task_id, (Push(self.route, f"{self.head}{self.fire}{task_id.join(self.frame)}"),))


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

    def make(self, fire: Fire, entry: ScheduleEntry, *, term: int, published_at: int, task_id: str) -> Message | Pieces:
        """The message of one fire that is published at the instant `published_at` under the lease's `term`.

        `task_id` is that of the fire; an entry may bring another one along, and then it is a whole message.

        Raises:
            MakerAwayError: the broker would have to be asked, and is away.
            Exception: the entry cannot be made a message; other entries are not concerned.
        """
        ...

    def prepare(self, name: str, entry: ScheduleEntry, *, now: int) -> None:
        """A fire of this entry is near, and there is time: make what its next messages have in common, if it is needed.

        Raises:
            MakerAwayError: see `make`.
            Exception: see `make`; it is raised again when the message is made.
        """
        ...

    def forget(self, name: str) -> None:
        """The entry of this name is another one from now on, or no more."""
        ...
