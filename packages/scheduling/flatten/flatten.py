"""Which jobs should stand elsewhere, so that the peak of each queue is lower; by previews of what they could be.

Each place of a job is previewed by the code that decides live, jitter, windows and trading hours included, so the load
that is compared is the load that the changed schedule has.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packages.scheduling.decision import Verdict
from packages.scheduling.flatten.load import Load, Slots, load_of
from packages.scheduling.flatten.placing import Place, Placeable, Placing, place
from packages.scheduling.flatten.variants import OffPeakTimes, Variants, variants_of
from packages.scheduling.model import Job
from packages.scheduling.preview import preview
from packages.scheduling.preview_columns import Preview
from packages.scheduling.snapshot import Snapshot

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Freedom:
    """Which jobs may be moved, by name, and which of them may be given a window; and where heavy work may be done."""

    movable: Collection[str]
    windowed: Collection[str]
    times: OffPeakTimes
    least_gain_percent: float


@dataclass(frozen=True, slots=True)
class Flattened:
    """What is proposed. moved: the jobs as they should be. misplaced: those that were at a time that is not allowed."""

    moved: tuple[Job, ...]
    misplaced: tuple[str, ...]
    placing: Placing


def flatten(
    jobs: Sequence[Job], snapshot: Snapshot, slots: Slots, *, work_ms: Mapping[str, int], freedom: Freedom
) -> Flattened:
    """The moves that pay. `work_ms`: what a run of each job takes, by name.

    Raises:
        LoadError: the work of a job is negative, or two jobs have one name.
    """
    variants = [_variants(job, work_ms[job.name], slots, freedom) for job in jobs]
    placeable = [
        Placeable(
            job.name,
            job.queue,
            [_place(each, snapshot, slots, work_ms[job.name]) for each in found.jobs],
            is_misplaced=found.is_misplaced,
        )
        for job, found in zip(jobs, variants, strict=True)
    ]
    placing = place(placeable, slots, least_gain_percent=freedom.least_gain_percent)
    by_name = {found.jobs[0].name: found for found in variants}
    return Flattened(
        moved=tuple(by_name[name].jobs[at] for name, at in placing.moves.items()),
        misplaced=tuple(name for name, found in by_name.items() if found.is_misplaced),
        placing=placing,
    )


def loads_of(found: Preview, slots: Slots, work_ms: Mapping[str, int]) -> dict[str, Load]:
    """The load of each job of a preview."""
    return {
        job.name: load_of(found.at[is_fire(found) & (found.job == at)], work_ms[job.name], slots)
        for at, job in enumerate(found.jobs)
    }


def _place(job: Job, snapshot: Snapshot, slots: Slots, work_ms: int) -> Place:
    import numpy as np

    found = preview([job], snapshot, start=slots.start, end=slots.end)
    fires = is_fire(found)
    load = load_of(found.at[fires], work_ms, slots)
    sway_ms = job.policies.jitter_ms - 1
    if sway_ms < 1:
        return Place(load, load)
    # What had to wait goes out when it may, wherever its jitter had put it.
    is_planned = found.at[fires] == found.planned[fires]
    begins = np.where(is_planned, found.nominal[fires], found.at[fires])
    return Place(load, load_of(begins, work_ms, slots, sway_ms=np.where(is_planned, sway_ms, 0)))


def is_fire(found: Preview) -> "npt.NDArray[np.bool_]":
    """Which rows of a preview are fires."""
    import numpy as np

    fires: npt.NDArray[np.bool_] = np.array([kind.verdict is Verdict.FIRE for kind in found.kinds], dtype=bool)
    return fires[found.kind]


def _variants(job: Job, work_ms: int, slots: Slots, freedom: Freedom) -> Variants:
    if job.name not in freedom.movable:
        return Variants((job,))
    wants_window = job.name in freedom.windowed
    return variants_of(job, freedom.times, work_ms=work_ms, slot_ms=slots.length_ms, wants_window=wants_window)
