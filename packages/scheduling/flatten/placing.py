"""Which of its places each job takes, so that the peak of its queue is low: a deterministic search.

    for each queue
        the jobs as they stand, improved one by one                      ─┐
        all taken out and put back, the one with most work first, then   ─┴─> the better one ─> moves that do not
        improved one by one, and two at once                                                    count are taken back

It is the offset assignment of Grenier, Havet and Navet ("Pushing the limits of CAN", ERTS 2008), which puts one
periodic stream after the other where the circle is least loaded, in the order of Graham's longest processing time first
(1969), followed by a local search. Of places with one peak that with the least sum of squares of all load is taken, the
measure of Burgess and Killebrew for levelling (1962); of those the first.

The search looks at the most that can be in a slot wherever the jitter puts the runs, so that no place is better by the
luck of one week. What is gained is then measured on the load itself: a queue keeps its places unless its peak falls by
a stated share, or a job leaves a place where it should not be. No peak rises: neither that of a queue nor that of all
together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, permutations
from typing import TYPE_CHECKING, Final, NamedTuple

from packages.scheduling.flatten.load import Load, LoadError, Slots, summed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Of so many jobs of a queue two are moved at once; beyond it takes long, and chance evens the load out.
_MOST_IN_PAIRS: Final = 12
# Each round lowers the cost, so there is an end; this one is for what nobody waits for.
_MOST_ROUNDS: Final = 50
_PERCENT: Final = 100


class Place(NamedTuple):
    """A place of a job: its load there, and the most that can be in each slot, wherever the jitter puts the runs."""

    load: Load
    most: Load


@dataclass(frozen=True, slots=True)
class Placeable:
    """A job and its places: the present one first, then in the order in which one prefers them.

    A job that must stay has one place. `is_misplaced`: it should not be where it is.

    Raises:
        LoadError: there is no place.
    """

    name: str
    queue: str
    places: Sequence[Place]
    is_misplaced: bool = False

    def __post_init__(self) -> None:
        if not self.places:
            raise LoadError(f"job {self.name} has no place at all")


class Peak(NamedTuple):
    """The most work in a slot, in ms, and the first slot that has it; 0 where there is none."""

    work_ms: int
    slot: int


class QueuePeak(NamedTuple):
    """The peak of a queue as it stands and after the moves."""

    queue: str
    before: Peak
    after: Peak

    def pays(self, least_gain_percent: float, *, or_only_not_rises: bool) -> bool:
        """Whether the peak falls by so much; or, if that is enough, does not rise."""
        gained = self.before.work_ms - self.after.work_ms
        if gained > 0 and gained * _PERCENT >= least_gain_percent * self.before.work_ms:
            return True
        return or_only_not_rises and gained >= 0


class Placing(NamedTuple):
    """The result. moves: by job the number of its new place, without the jobs that stay. Queues by name."""

    moves: Mapping[str, int]
    queues: tuple[QueuePeak, ...]
    together: QueuePeak


class _Cost(NamedTuple):
    """Lower is better, the first part first. `rises`: a peak is above what it was."""

    rises: bool
    misplaced: int
    peak: int
    peak_together: int
    squares: int


def place(jobs: Sequence[Placeable], slots: Slots, *, least_gain_percent: float) -> Placing:
    """The places that lower the peak of each queue by at least `least_gain_percent` of it.

    Raises:
        LoadError: two jobs have one name.
    """
    if len({job.name for job in jobs}) < len(jobs):
        raise LoadError("two jobs have one name")
    ordered = sorted(jobs, key=lambda job: (job.queue, job.name))
    stay = [0] * len(ordered)
    load, most = _load(ordered, stay, slots), _most(ordered, stay, slots)
    before, limit = _peak(load), int(most.max())
    moves: dict[str, int] = {}
    queues: list[QueuePeak] = []
    for queue, group in groupby(ordered, key=lambda job: job.queue):
        members = list(group)
        stay = [0] * len(members)
        own = _load(members, stay, slots)
        chosen = _Search(members, slots, most - _most(members, stay, slots), together_limit=limit).best()
        peaks = QueuePeak(queue, _peak(own), _peak(_load(members, chosen, slots)))
        after = load - own + _load(members, chosen, slots)
        leaves = any(at and job.is_misplaced for job, at in zip(members, chosen, strict=True))
        if int(after.max()) <= before.work_ms and peaks.pays(least_gain_percent, or_only_not_rises=leaves):
            moves |= {job.name: at for job, at in zip(members, chosen, strict=True) if at}
            most += _most(members, chosen, slots) - _most(members, stay, slots)
            load = after
        else:
            peaks = peaks._replace(after=peaks.before)
        queues.append(peaks)
    return Placing(moves, tuple(queues), QueuePeak("", before, _peak(load)))


def _load(jobs: Sequence[Placeable], chosen: Sequence[int], slots: Slots) -> "npt.NDArray[np.int64]":
    return summed((job.places[at].load for job, at in zip(jobs, chosen, strict=True)), slots)


def _most(jobs: Sequence[Placeable], chosen: Sequence[int], slots: Slots) -> "npt.NDArray[np.int64]":
    return summed((job.places[at].most for job, at in zip(jobs, chosen, strict=True)), slots)


def _peak(work: "npt.NDArray[np.int64]") -> Peak:
    slot = int(work.argmax())
    return Peak(int(work[slot]), slot)


class _Search:
    """The places of one queue's jobs, while all others stay as they are: `others` is the most that these can be."""

    def __init__(
        self, jobs: Sequence[Placeable], slots: Slots, others: "npt.NDArray[np.int64]", *, together_limit: int
    ) -> None:
        self._jobs = jobs
        self._slots = slots
        self._others = others
        self._stay = [0] * len(jobs)
        self._limit = int(_most(jobs, self._stay, slots).max())
        self._together_limit = together_limit
        # Those with most work are the hardest to place, so they come first.
        work = [job.places[0].load.total_ms for job in jobs]
        self._free = sorted(
            (at for at, job in enumerate(jobs) if len(job.places) > 1), key=lambda at: (-work[at], jobs[at].name)
        )

    def best(self) -> list[int]:
        """The number of each job's place."""
        if not self._free:
            return self._stay
        found = min((self._improved(start) for start in (self._stay, self._constructed())), key=self._cost)
        return self._needed(found)

    def _cost(self, chosen: Sequence[int]) -> _Cost:
        own = _most(self._jobs, chosen, self._slots)
        both = own + self._others
        peak, peak_together = int(own.max()), int(both.max())
        return _Cost(
            peak > self._limit or peak_together > self._together_limit,
            sum(job.is_misplaced and not at for job, at in zip(self._jobs, chosen, strict=True)),
            peak,
            peak_together,
            # In Python's integers, which do not overflow.
            sum(work * work for work in both.tolist()),
        )

    def _constructed(self) -> list[int]:
        chosen = list(self._stay)
        own = _most(self._jobs, chosen, self._slots)
        for at in self._free:
            self._add(own, at, chosen[at], -1)
        for at in self._free:
            chosen[at] = self._put(own, at)
        return chosen

    def _improved(self, start: Sequence[int]) -> list[int]:
        """Job by job, then two at once, until neither gains anything."""
        chosen, cost = list(start), self._cost(start)
        for _ in range(_MOST_ROUNDS):
            for changed in self._neighbours(chosen):
                if (changed_cost := self._cost(changed)) < cost:
                    chosen, cost = changed, changed_cost
                    break
            else:
                break
        return chosen

    def _neighbours(self, chosen: Sequence[int]) -> Iterator[list[int]]:
        """What comes of taking jobs out and putting them back where it is best: each one in turn, then pairs."""
        swept = list(chosen)
        for at in self._free:
            swept = self._put_again(swept, (at,))
        yield swept
        if len(self._free) <= _MOST_IN_PAIRS:
            for pair in permutations(self._free, 2):
                yield self._put_again(chosen, pair)

    def _put_again(self, chosen: Sequence[int], out: Sequence[int]) -> list[int]:
        changed = list(chosen)
        own = _most(self._jobs, chosen, self._slots)
        for at in out:
            self._add(own, at, chosen[at], -1)
        for at in out:
            changed[at] = self._put(own, at)
        return changed

    def _put(self, own: "npt.NDArray[np.int64]", at: int) -> int:
        """Add a job to `own` at its best place, whose number is returned."""
        both = own + self._others
        peak, peak_together = int(own.max()), int(both.max())

        def cost(number: int) -> _Cost:
            load = self._jobs[at].places[number].most
            if not len(load.slots):
                return _Cost(rises=False, misplaced=0, peak=peak, peak_together=peak_together, squares=0)
            above, beside = own[load.slots] + load.work, both[load.slots]
            highest = max(peak, int(above.max()))
            highest_together = max(peak_together, int((beside + load.work).max()))
            return _Cost(
                highest > self._limit or highest_together > self._together_limit,
                int(self._jobs[at].is_misplaced and number == 0),
                highest,
                highest_together,
                # By how much the sum of squares rises.
                int((load.work * (2 * beside + load.work)).sum()),
            )

        number = min(range(len(self._jobs[at].places)), key=cost)
        self._add(own, at, number, 1)
        return number

    def _needed(self, chosen: Sequence[int]) -> list[int]:
        """The same without the moves that the queue's peak does not need; those of least work are taken back first."""
        kept, cost = list(chosen), self._cost(chosen)
        for at in reversed(self._free):
            if kept[at]:
                back = [*kept[:at], 0, *kept[at + 1 :]]
                without = self._cost(back)
                # Whoever moves a job wants more for it than an evener load.
                if (without.rises, without.misplaced, without.peak) <= (cost.rises, cost.misplaced, cost.peak):
                    kept, cost = back, without
        return kept

    def _add(self, own: "npt.NDArray[np.int64]", at: int, number: int, sign: int) -> None:
        load = self._jobs[at].places[number].most
        own[load.slots] += sign * load.work
