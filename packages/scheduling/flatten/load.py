"""The load that runs put on a queue: seconds of work in each slot of time, on a circle.

A run that is published at an instant is taken to begin there, as with a worker that has a process to spare: the load is
what the schedule asks for, whatever the workers make of it. What reaches beyond the end of the period counts at its
start, as if the period came round again: so nothing is gained by moving work to an edge of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class LoadError(ValueError):
    """A load cannot be computed from what was given; the text names what."""


@dataclass(frozen=True, slots=True)
class Slots:
    """`count` slots of `length_ms` from the instant `start` on.

    Raises:
        LoadError: there is no slot, or one has no length.
    """

    start: int
    length_ms: int
    count: int

    def __post_init__(self) -> None:
        if self.length_ms < 1 or self.count < 1:
            raise LoadError(f"a load needs slots: {self.count} of {self.length_ms} ms are none")

    @property
    def end(self) -> int:
        """The instant at which the last one ends (exclusive)."""
        return self.start + self.length_ms * self.count

    def start_of(self, slot: int) -> int:
        """The instant at which a slot begins."""
        return self.start + self.length_ms * slot


class Load(NamedTuple):
    """Work in ms, above zero, in some of the slots: the numbers of these, rising, and how much in each."""

    slots: "npt.NDArray[np.int64]"
    work: "npt.NDArray[np.int64]"

    @property
    def total_ms(self) -> int:
        """All of it."""
        return int(self.work.sum())


def load_of(
    instants: "npt.NDArray[np.int64]", work_ms: int, slots: Slots, *, sway_ms: "int | npt.NDArray[np.int64]" = 0
) -> Load:
    """The load of runs that begin at `instants`, each of which takes `work_ms`.

    With `sway_ms`, of one run or of each, it is the most that can be in a slot when a run begins up to so much later:
    for the slot [s, e) and a run that begins in [a, b] that is min(work, e - s, e - a, b + work - s), if above zero.

    Raises:
        LoadError: the work of a run, or the sway, is negative.
    """
    import numpy as np

    sway = np.broadcast_to(np.asarray(sway_ms, dtype=np.int64), instants.shape)
    if work_ms < 0 or (sway < 0).any():
        raise LoadError(f"work and sway are no less than 0 ms, not {work_ms} and {int(np.min(sway, initial=0))}")
    work = np.zeros(slots.count, dtype=np.int64)
    first, into = np.divmod((instants - slots.start) % (slots.end - slots.start), slots.length_ms)
    reach = into + sway + work_ms
    most = min(work_ms, slots.length_ms)
    for step in range(-(-int(reach.max(initial=0)) // slots.length_ms)):
        behind = reach - step * slots.length_ms
        ahead = (step + 1) * slots.length_ms - into
        np.add.at(work, (first + step) % slots.count, np.minimum(np.minimum(ahead, behind), most).clip(0))
    used = np.flatnonzero(work)
    return Load(used, work[used])


def summed(loads: Iterable[Load], slots: Slots) -> "npt.NDArray[np.int64]":
    """The work in each slot of all of them together."""
    import numpy as np

    work = np.zeros(slots.count, dtype=np.int64)
    for load in loads:
        work[load.slots] += load.work
    return work
