"""Makes messages, and opens the connection anew when the broker had to be asked for one and did not answer.

Making may fail because of the connection, of the broker, or of what this one message asks of the broker or of another
one. Only where the broker is not there other messages are concerned, too. Decides nothing about a fire.
"""

from collections.abc import Callable

from celery.beat import ScheduleEntry
from kombu.exceptions import OperationalError

from packages.infra.beat.messages.message import Message, MessageMaker
from packages.scheduling.plan import Fire


class MakerAwayError(Exception):
    """Its cause says why the broker could not be asked how a message looks, and it is not there."""


class ReconnectingMaker:
    """See `MessageMaker`. `reconnect` opens the connection of `maker` anew; whether the broker is there."""

    def __init__(self, maker: MessageMaker, reconnect: Callable[[BaseException], bool]) -> None:
        self._maker = maker
        self._reconnect = reconnect

    def make(self, fire: Fire, entry: ScheduleEntry, *, term: int, published_at: int, task_id: str) -> Message:
        """See `MessageMaker`; tried once more on another connection.

        Raises:
            MakerAwayError: the broker is not there.
            Exception: this entry cannot be made a message.
        """
        try:
            return self._maker.make(fire, entry, term=term, published_at=published_at, task_id=task_id)
        except OperationalError as error:
            if not self._reconnect(error):
                raise MakerAwayError from error
        return self._maker.make(fire, entry, term=term, published_at=published_at, task_id=task_id)

    def forget(self, name: str) -> None:
        """See `MessageMaker`."""
        self._maker.forget(name)
