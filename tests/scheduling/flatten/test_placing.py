"""The search for places: against all there are, on small cases, and what it never does."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.scheduling.flatten.load import LoadError, Slots, load_of, summed
from packages.scheduling.flatten.placing import Peak, Place, Placeable, Placing, place

LENGTH_MS = 10
RING = Slots(0, LENGTH_MS, 12)


def every(period: int, phase: int, work_ms: int) -> Place:
    """A run every so many slots."""
    begins = LENGTH_MS * np.arange(phase, RING.count, period, dtype=np.int64)
    load = load_of(begins, work_ms, RING)
    return Place(load, load)


def a_job(name: str, period: int, work_ms: int, *, phase: int = 0, queue: str = "area") -> Placeable:
    """A job that may have any phase; the present one is first."""
    return Placeable(name, queue, [every(period, (phase + shift) % period, work_ms) for shift in range(period)])


def peak_of(jobs: Sequence[Placeable], chosen: Sequence[int]) -> int:
    loads = (job.places[at].load for job, at in zip(jobs, chosen, strict=True))
    return int(summed(loads, RING).max())


def after(found: Placing, queue: str = "area") -> int:
    return next(peaks.after.work_ms for peaks in found.queues if peaks.queue == queue)


jobs_of_a_queue = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 4, 6]), st.integers(0, 25), st.integers(0, 5)), min_size=1, max_size=4
).map(
    lambda drawn: [
        a_job(f"job_{at}", period, work_ms, phase=phase % period) for at, (period, work_ms, phase) in enumerate(drawn)
    ]
)


@given(jobs_of_a_queue)
def test_it_is_as_good_as_all_that_can_be_tried_or_nearly(jobs: list[Placeable]) -> None:
    found = place(jobs, RING, least_gain_percent=0)
    least = min(peak_of(jobs, chosen) for chosen in product(*(range(len(job.places)) for job in jobs)))
    assert least <= after(found) <= least * 1.1


@given(jobs_of_a_queue, st.floats(0, 60))
def test_no_peak_rises_and_what_is_moved_pays(jobs: list[Placeable], percent: float) -> None:
    found = place(jobs, RING, least_gain_percent=percent)
    chosen = [found.moves.get(job.name, 0) for job in jobs]
    [peaks] = found.queues
    assert peaks.before.work_ms == peak_of(jobs, [0] * len(jobs))
    assert peaks.after.work_ms == peak_of(jobs, chosen) == found.together.after.work_ms
    if found.moves:
        assert (peaks.before.work_ms - peaks.after.work_ms) * 100 >= percent * peaks.before.work_ms
        assert peaks.after.work_ms < peaks.before.work_ms
    else:
        assert peaks.after == peaks.before


@given(jobs_of_a_queue, jobs_of_a_queue)
def test_no_queue_gains_at_the_cost_of_all_together(first: list[Placeable], second: list[Placeable]) -> None:
    others = [Placeable(f"other_{job.name}", "other", job.places) for job in second]
    found = place([*first, *others], RING, least_gain_percent=0)
    assert all(peaks.after.work_ms <= peaks.before.work_ms for peaks in (*found.queues, found.together))
    assert found == place([*others, *reversed(first)], RING, least_gain_percent=0)


@given(jobs_of_a_queue)
def test_each_move_is_needed(jobs: list[Placeable]) -> None:
    found = place(jobs, RING, least_gain_percent=0)
    for name in found.moves:
        chosen = [0 if job.name == name else found.moves.get(job.name, 0) for job in jobs]
        assert peak_of(jobs, chosen) > after(found)


@pytest.mark.parametrize(
    ("jobs", "peak"),
    [
        ([a_job("a", 2, 10), a_job("b", 2, 10)], 10),
        ([a_job("a", 3, 10), a_job("b", 3, 8), a_job("c", 3, 6)], 10),
        # The one with most work first, without a search after it, comes to 19.
        ([a_job("a", 2, 12, phase=1), a_job("b", 6, 5), a_job("c", 4, 14), a_job("d", 2, 2)], 17),
        ([a_job("a", 12, 60), a_job("b", 12, 60)], 10),
    ],
)
def test_known_cases(jobs: list[Placeable], peak: int) -> None:
    found = place(jobs, RING, least_gain_percent=5)
    assert after(found) == peak


def test_of_equal_places_the_first_is_taken_and_a_job_with_one_place_stays() -> None:
    fixed = Placeable("fixed", "area", [every(12, 0, 10)])
    free = Placeable("free", "area", [every(12, 0, 10), every(12, 5, 10), every(12, 7, 10)])
    assert place([free, fixed], RING, least_gain_percent=5).moves == {"free": 1}


def test_a_gain_below_the_margin_moves_nothing() -> None:
    jobs = [Placeable("fixed", "area", [every(12, 0, 10)]), a_job("small", 12, 1)]
    assert place(jobs, RING, least_gain_percent=9).moves == {"small": 1}
    stays = place(jobs, RING, least_gain_percent=10)
    assert stays.moves == {}
    assert stays.queues[0].after == stays.queues[0].before == Peak(11, 0)


def test_a_job_leaves_a_place_where_it_should_not_be_unless_a_peak_rises() -> None:
    busy = Placeable("busy", "area", [every(12, 3, 10)])
    for places, moves in (([every(12, 0, 5), every(12, 1, 5)], {"heavy": 1}), ([every(12, 0, 5), every(12, 3, 5)], {})):
        heavy = Placeable("heavy", "area", places, is_misplaced=True)
        assert place([busy, heavy], RING, least_gain_percent=5).moves == moves


def test_a_place_is_not_better_by_luck() -> None:
    # Its jitter keeps it out of the slot of the fixed one this time, and will not always.
    lucky = Place(every(12, 1, 10).load, every(4, 0, 10).load)
    jobs = [
        Placeable("fixed", "area", [every(12, 0, 10)]),
        Placeable("swaying", "area", [every(12, 0, 10), lucky]),
    ]
    assert place(jobs, RING, least_gain_percent=5).moves == {}


def test_contradictions_are_refused() -> None:
    with pytest.raises(LoadError, match="two jobs have one name"):
        place([a_job("a", 2, 10), a_job("a", 3, 10)], RING, least_gain_percent=5)
    with pytest.raises(LoadError, match="job a has no place at all"):
        Placeable("a", "area", [])
