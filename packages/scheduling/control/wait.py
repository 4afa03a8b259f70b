"""How long a message waits in a queue, out of what is known of it. What is not known makes no number."""

from typing import NamedTuple

from packages.scheduling.control.controllers import WaitBasis
from packages.scheduling.readings import QueueReading


class Wait(NamedTuple):
    """`ms` None: without end, as far as one can see; by length, not known. `messages`: how many wait to be begun."""

    ms: int | None
    basis: WaitBasis
    messages: int


def tells_more_than_length(reading: QueueReading) -> bool:
    """Whether a reading tells how long the messages wait that there are, or at which pace they are taken."""
    is_pace_known = reading.completed is not None and reading.over_ms > 0
    return is_pace_known or bool((reading.ready or reading.reserved) and reading.oldest_ms is not None)


def wait_by_length(reading: QueueReading) -> Wait | None:
    """What a length alone says of the wait, for want of anything else: that there are messages. None if nothing does.

    No pace is made up. A queue that does not shrink may stand still, or be filled as fast as it is emptied.
    """
    messages = None if reading.ready is None else reading.ready + (reading.reserved or 0)
    return None if not messages else Wait(None, WaitBasis.LENGTH, messages)


def estimated_wait(reading: QueueReading) -> Wait | None:
    """The wait in a queue; None if nobody can tell.

    What the oldest message says is the truth, and counts where it is known. Else W = L / mu (Little, 1961): messages
    that wait, over runs completed in a unit of time. Runs under way are not in L: a long one is no queue. Messages that
    wait while nothing is completed wait without end.
    """
    if reading.ready is None:
        return None
    messages = reading.ready + (reading.reserved or 0)
    if not messages:
        return Wait(0, WaitBasis.EMPTY, 0)
    if reading.oldest_ms is not None:
        return Wait(reading.oldest_ms, WaitBasis.OLDEST, messages)
    if reading.completed is None or not reading.over_ms:
        return None
    if not reading.completed:
        return Wait(None, WaitBasis.STUCK, messages)
    return Wait(messages * reading.over_ms // reading.completed, WaitBasis.ESTIMATE, messages)
