"""How long a message waits in a queue, out of what is known of it. What is not known makes no number."""

from typing import NamedTuple

from packages.scheduling.control.controllers import WaitBasis
from packages.scheduling.readings import QueueReading


class Wait(NamedTuple):
    """`ms` None: without end, as far as one can see. `messages`: how many wait for a worker to begin them."""

    ms: int | None
    basis: WaitBasis
    messages: int


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
