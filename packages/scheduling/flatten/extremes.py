"""Where the load is highest and lowest: which jobs meet in the heaviest slots, and the hour that is quietest."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from packages.scheduling.flatten.load import Load, Slots, summed
from packages.scheduling.flatten.placing import Peak
from packages.scheduling.instants import DAY_MS, HOUR_MS
from packages.scheduling.model import Job


class Meeting(NamedTuple):
    """Jobs of one queue that have work in the same slots: the heaviest of these, how many there are, and what is in it.

    `work` has the jobs with their work in ms in that slot, the most first.
    """

    queue: str
    heaviest: Peak
    slots: int
    work: tuple[tuple[str, int], ...]


class QueueLoad(NamedTuple):
    """One queue: its peak, and the hour of the UTC day with the least work, with its mean work in ms an hour."""

    queue: str
    peak: Peak
    quietest_hour: int
    quietest_ms: int


def meetings(jobs: Sequence[Job], loads: Mapping[str, Load], slots: Slots, *, most: int) -> list[Meeting]:
    """The heaviest ones, each combination of jobs once, the heaviest first."""
    import numpy as np

    found: list[Meeting] = []
    for queue, names in _by_queue(jobs):
        work = np.zeros((len(names), slots.count), dtype=np.int64)
        for row, name in enumerate(names):
            work[row, loads[name].slots] = loads[name].work
        total = work.sum(axis=0)
        patterns, of_slot = np.unique(work > 0, axis=1, return_inverse=True)
        of_slot = of_slot.reshape(-1)
        for pattern in range(patterns.shape[1]):
            members = np.flatnonzero(of_slot == pattern)
            slot = int(members[total[members].argmax()])
            parts = [(name, int(work[row, slot])) for row, name in enumerate(names) if work[row, slot]]
            if parts:
                parts.sort(key=lambda part: (-part[1], part[0]))
                found.append(Meeting(queue, Peak(int(total[slot]), slot), len(members), tuple(parts)))
    found.sort(key=lambda meeting: (-meeting.heaviest.work_ms, meeting.queue, meeting.heaviest.slot))
    return found[:most]


def queue_loads(jobs: Sequence[Job], loads: Mapping[str, Load], slots: Slots) -> list[QueueLoad]:
    """The queues by name."""
    return [load_of_all(queue, [loads[name] for name in names], slots) for queue, names in _by_queue(jobs)]


def load_of_all(queue: str, loads: Sequence[Load], slots: Slots) -> QueueLoad:
    """What some loads are together, under the name `queue`."""
    import numpy as np

    work = summed(loads, slots)
    slot = int(work.argmax())
    starts = slots.start + slots.length_ms * np.arange(slots.count, dtype=np.int64)
    hours = starts % DAY_MS // HOUR_MS
    there = np.bincount(hours, minlength=24)
    # How often the hour was there, in whole hours; one that was never there is no quiet one.
    mean = np.bincount(hours, weights=work, minlength=24) * HOUR_MS / np.maximum(there * slots.length_ms, 1)
    mean[there == 0] = np.inf
    quietest = int(mean.argmin())
    return QueueLoad(queue, Peak(int(work[slot]), slot), quietest, round(float(mean[quietest])))


def _by_queue(jobs: Sequence[Job]) -> list[tuple[str, list[str]]]:
    ordered = sorted(jobs, key=lambda job: (job.queue, job.name))
    return [(queue, [job.name for job in group]) for queue, group in groupby(ordered, key=lambda job: job.queue)]
