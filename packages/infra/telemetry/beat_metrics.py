"""What beat counts of itself while it runs: plain numbers, written by the loop's thread alone and read by any other.

Nothing is decided or sent here, and no lock is taken: each number is written in one step of the interpreter. They
become metrics when somebody asks for them, in `packages.infra.telemetry.beat_families`.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from packages.infra.beat.standing import Standing, Trouble
from packages.infra.telemetry.buckets import Buckets
from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.model import Criticality

# In milliseconds.
LATENESS_BOUNDS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000)
COMMIT_BOUNDS_MS: Final = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
BATCH_BOUNDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)

# A configuration may make queues without end; a metric must not.
MOST_QUEUES: Final = 100
OTHER_QUEUE: Final = "other"


# What fires have in common that are counted together: verdict, reason, queue, criticality. A bare tuple, since one is
# made for every fire.
FireLabels = tuple[Verdict, Reason, str, Criticality]


class ControlFacts(NamedTuple):
    """Of the adaptive control, while this replica leads and there is one; all bounded in number.

    `rates`: the share of the fires that is let through, by queue and criticality. `waits_s`: by queue, where known.
    `levels`: by objective. `owed`: jobs that owe a fire. `targets`: by task that fails, the share of its fires that
    is let through, or would be while the gate only observes.
    """

    rates: Mapping[tuple[str, Criticality], float] = MappingProxyType({})
    waits_s: Mapping[str, float] = MappingProxyType({})
    levels: Mapping[str, int] = MappingProxyType({})
    owed: Mapping[tuple[str, Criticality], int] = MappingProxyType({})
    targets: Mapping[str, float] = MappingProxyType({})


NO_CONTROL: Final = ControlFacts()


class Facts(NamedTuple):
    """What changes slowly. `clock_distance_ms`: our clock ahead of the broker's, None where nobody knows.

    `days_left`: whole days that are known, by market of a calendar.
    """

    jobs: int = 0
    quarantined: int = 0
    clock_distance_ms: int | None = None
    days_left: Mapping[str, int] = MappingProxyType({})
    control: ControlFacts = NO_CONTROL


class BeatMetrics:
    """Of one beat. Its attributes are for the collector and for the pages on health."""

    def __init__(self) -> None:
        self.fires: dict[FireLabels, int] = {}
        self.messages = {"accepted": 0, "claimed": 0, "refused": 0, "failed": 0}
        self.troubles: dict[Trouble, int] = dict.fromkeys(Trouble, 0)
        self.lateness = Buckets(LATENESS_BOUNDS_MS)
        self.commit_time = Buckets(COMMIT_BOUNDS_MS)
        self.batch_size = Buckets(BATCH_BOUNDS)
        self.ticks = 0
        self.ticked_at_s: float | None = None
        self.pending = 0
        self.standing: Standing | None = None
        self.term = 0
        self.trouble: Trouble | None = None
        self.facts = Facts()
        self._queues: set[str] = set()

    def ticked(self, monotonic_s: float, *, pending: int) -> None:
        """A wake-up is over; `pending` fires wait."""
        self.ticks += 1
        self.pending = pending
        self.ticked_at_s = monotonic_s

    def decided(self, counts: Mapping[FireLabels, int]) -> None:
        """So many nominals were decided so: of a skip its `count`, of any other decision one.

        A `collections.Counter` over the fires of a tick makes this cheaply.
        """
        for labels, count in counts.items():
            known = self._bounded(labels)
            self.fires[known] = self.fires.get(known, 0) + count

    def late(self, lateness_ms: Iterable[int]) -> None:
        """The fires that were published: each one's instant of publishing minus the planned one."""
        self.lateness.add(lateness_ms)

    def committed(
        self, *, seconds: float, accepted: int = 0, claimed: int = 0, refused: int = 0, failed: int = 0
    ) -> None:
        """One commit of fires is over, after so long: what became of them."""
        messages = self.messages
        messages["accepted"] += accepted
        messages["claimed"] += claimed
        messages["refused"] += refused
        messages["failed"] += failed
        self.commit_time.add_one(seconds * 1000)
        self.batch_size.add_one(accepted + claimed + refused + failed)

    def troubled(self, trouble: Trouble) -> None:
        """A commit failed for this, or the try whether the broker takes one again."""
        self.troubles[trouble] += 1

    def stands(self, standing: Standing, *, term: int, trouble: Trouble | None = None) -> None:
        """Where this replica stands from now on. `term`: of its own lease, or of its last one; 0 for none."""
        self.term, self.trouble = term, trouble
        self.standing = standing

    def tell(self, facts: Facts) -> None:
        """What changes slowly is so from now on."""
        self.facts = facts

    def _bounded(self, labels: FireLabels) -> FireLabels:
        verdict, reason, queue, criticality = labels
        if queue in self._queues:
            return labels
        if len(self._queues) < MOST_QUEUES:
            self._queues.add(queue)
            return labels
        return verdict, reason, OTHER_QUEUE, criticality
