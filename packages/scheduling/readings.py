"""What probes tell of queues, tasks and objectives. None is what nobody knows, and never stands for zero."""

from typing import NamedTuple


class QueueReading(NamedTuple):
    """One queue.

    `ready`: messages that wait at the broker, with those that have expired: most brokers keep them until a worker takes
    and drops them. `oldest_ms`: for how long the oldest of them has waited, if it says. `reserved`: messages that a
    worker has taken and not begun; `running`: begun and not ended. `completed`: runs that ended in the last `over_ms`,
    well or not. `consumers`: workers that live and serve it; 0 only if the broker counts none, or if one is known to
    have served it and none says so now. `group`: the queues that its workers serve, with itself; one object for all
    queues that have the same.
    """

    ready: int | None = None
    oldest_ms: int | None = None
    reserved: int | None = None
    running: int | None = None
    completed: int | None = None
    over_ms: int = 0
    consumers: int | None = None
    group: frozenset[str] = frozenset()


class TaskReading(NamedTuple):
    """One task: `runs` that ended lately, and how many of them did what they should."""

    runs: int
    succeeded: int


class WindowCount(NamedTuple):
    """Of an objective, in the last `window_ms`: `total` events, of which `bad` missed it."""

    window_ms: int
    bad: int
    total: int


ObjectiveReading = tuple[WindowCount, ...]
