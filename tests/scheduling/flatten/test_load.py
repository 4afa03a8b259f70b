"""The load of runs on a circle of slots, with and without sway."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.scheduling.flatten.load import Load, LoadError, Slots, load_of, summed

START = 1_000
TEN = Slots(START, 10, 5)


def dense(load: Load, slots: Slots = TEN) -> list[int]:
    return [int(work) for work in summed([load], slots)]


@pytest.mark.parametrize(
    ("begins", "work_ms", "expected"),
    [
        ([0], 10, [10, 0, 0, 0, 0]),
        ([5], 10, [5, 5, 0, 0, 0]),
        ([12, 15], 3, [0, 6, 0, 0, 0]),
        ([35], 30, [10, 5, 0, 5, 10]),
        ([0], 120, [30, 30, 20, 20, 20]),
        ([0, 10], 0, [0, 0, 0, 0, 0]),
        ([], 7, [0, 0, 0, 0, 0]),
    ],
)
def test_a_run_is_work_from_its_start_on_and_goes_round(begins: list[int], work_ms: int, expected: list[int]) -> None:
    instants = np.array([START + at for at in begins], dtype=np.int64)
    assert dense(load_of(instants, work_ms, TEN)) == expected


@given(
    st.lists(st.integers(START - 200, START + 200), max_size=5),
    st.integers(0, 90),
    st.builds(Slots, st.just(START), st.integers(1, 30), st.integers(1, 8)),
)
def test_no_work_is_lost(begins: list[int], work_ms: int, slots: Slots) -> None:
    load = load_of(np.array(begins, dtype=np.int64), work_ms, slots)
    assert load.total_ms == len(begins) * work_ms
    assert (load.work > 0).all()
    assert (np.diff(load.slots) > 0).all()


@given(st.integers(0, 49), st.integers(0, 25), st.integers(0, 20))
def test_with_sway_each_slot_has_the_most_of_any_start(begin: int, work_ms: int, sway_ms: int) -> None:
    # One run and its sway fit into the circle here, so none of it meets itself.
    starts = [np.array([START + begin + late], dtype=np.int64) for late in range(sway_ms + 1)]
    each = [dense(load_of(start, work_ms, TEN)) for start in starts]
    swaying = load_of(starts[0], work_ms, TEN, sway_ms=sway_ms)
    assert dense(swaying) == [max(column) for column in zip(*each, strict=True)]


@pytest.mark.parametrize(("length_ms", "count"), [(0, 5), (10, 0)])
def test_slots_have_a_length_and_a_number(length_ms: int, count: int) -> None:
    with pytest.raises(LoadError, match="a load needs slots"):
        Slots(0, length_ms, count)


@pytest.mark.parametrize(("work_ms", "sway_ms"), [(-1, 0), (1, -1)])
def test_nothing_is_negative(work_ms: int, sway_ms: int) -> None:
    with pytest.raises(LoadError, match="no less than 0 ms"):
        load_of(np.array([START], dtype=np.int64), work_ms, TEN, sway_ms=sway_ms)
