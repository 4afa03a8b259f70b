"""Readings of queues, made by hand or of any kind, and the rates that follow when they are the same for a while."""

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from packages.scheduling.control.backlog import step_queues
from packages.scheduling.control.controllers import QueueControl
from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.model import Criticality
from packages.scheduling.readings import QueueReading
from packages.scheduling.snapshot import Reading
from tests.scheduling.jobs import MIDNIGHT

ALL = (Criticality.SHEDDABLE, Criticality.SHEDDABLE_PLUS, Criticality.CRITICAL, Criticality.CRITICAL_PLUS)
INTERVAL_MS = 5_000
STALE_MS = 30_000
# A wait above the target must have stood for a minute: the first and twelve more readings.
UNTIL_STANDING = 13


def waiting(oldest_ms: int, *, messages: int = 10, completed: int = 0, consumers: int | None = 1) -> QueueReading:
    return QueueReading(ready=messages, oldest_ms=oldest_ms, completed=completed, over_ms=30_000, consumers=consumers)


EMPTY = QueueReading(ready=0, completed=0, over_ms=30_000, consumers=1)
_maybe = st.none() | st.integers(0, 10**6)
_any_reading = st.builds(
    QueueReading,
    ready=_maybe,
    oldest_ms=_maybe,
    reserved=_maybe,
    running=_maybe,
    completed=_maybe,
    over_ms=st.sampled_from([0, 30_000]),
    consumers=st.none() | st.integers(0, 3),
    group=st.sampled_from([frozenset(), frozenset({"area", "other"}), frozenset({"area", "other", "gone"})]),
)
histories = st.lists(
    st.dictionaries(st.sampled_from(["area", "other", "unknown"]), _any_reading, max_size=3), max_size=60
)


class Stepped:
    """The control of some queues, stepped once an interval."""

    def __init__(
        self,
        policy: BacklogPolicy | None = None,
        present: Mapping[str, Sequence[Criticality]] | None = None,
    ) -> None:
        self.policy = policy or BacklogPolicy()
        self.present = present or {"area": ALL}
        self.now = MIDNIGHT
        self.queues: dict[str, QueueControl] = {}

    def step(self, intervals: int = 1, **readings: QueueReading) -> dict[str, QueueControl]:
        """So many intervals with these readings, each taken anew; a queue that is not named has none."""
        for _ in range(intervals):
            taken = {queue: Reading(reading, self.now) for queue, reading in readings.items()}
            self.queues = step_queues(self.queues, taken, self.policy, self.present, self.now, stale_ms=STALE_MS)
            self.now += INTERVAL_MS
        return self.queues

    def step_on(self, old: Mapping[str, Reading[QueueReading]]) -> None:
        """An interval later, with readings that are too old to count."""
        self.now += INTERVAL_MS
        self.queues = step_queues(self.queues, old, self.policy, self.present, self.now, stale_ms=0)

    def rate(self, criticality: Criticality, queue: str = "area") -> int:
        return self.queues[queue].rates.get(criticality, 1_000_000)
