from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.infra.probes.objectives import objective_readings
from packages.infra.queue.work_buckets import UNBOUNDED_MS
from packages.infra.queue.work_counts import WorkCount
from packages.scheduling.control.burn import WINDOWS_MS, step_levels
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.control.policy import SloPolicy
from packages.scheduling.readings import WindowCount
from packages.scheduling.snapshot import Reading


def ended(  # a row
    queue: str,
    task: str,
    ok: int,
    failed: int,
    expired: int,
    wait: Mapping[int, int],
    run: Mapping[int, int],
) -> WorkCount:
    return WorkCount(queue, task, "none", ok, failed, expired, wait, run, 0, 0)


SENT = ended("notifications", "send", 90, 10, 5, {1_000: 60, 5_000: 20, UNBOUNDED_MS: 12}, {100: 70, 10_000: 30})
SWEPT = ended("notifications", "sweep", 1, 1, 0, {1_000: 2}, {1_000: 2})
TRADED = ended("paper_trading", "send", 7, 0, 0, {60_000: 7}, {60_000: 7})
ENDED = [SENT, SWEPT, TRADED]


def objective(
    measure: Measure, *, task: str | None = None, queue: str | None = None, within_ms: int | None = None
) -> Objective:
    return Objective("it", measure, 990_000, task=task, queue=queue, within_ms=within_ms)


@pytest.mark.parametrize(
    ("about", "bad", "total"),
    [
        (objective(Measure.SUCCESS, queue="notifications"), 11, 102),
        (objective(Measure.SUCCESS, task="send"), 10, 107),
        (objective(Measure.SUCCESS, task="unheard_of"), 0, 0),
        # Those that expired are late, and the waits of eight runs are not known.
        (objective(Measure.START_DELAY, task="send", within_ms=5_000), 12 + 7 + 5, 92 + 7 + 5),
        (objective(Measure.START_DELAY, queue="notifications", within_ms=1_000), 20 + 12 + 5, 92 + 2 + 5),
        (objective(Measure.START_DELAY, queue="notifications", within_ms=3_600_000), 12 + 5, 92 + 2 + 5),
        (objective(Measure.RUN_TIME, queue="notifications", within_ms=1_000), 30, 102),
        (objective(Measure.RUN_TIME, task="send", within_ms=60_000), 0, 107),
    ],
)
def test_what_counts_as_bad(about: Objective, bad: int, total: int) -> None:
    assert objective_readings([about], lambda _: ENDED) == {
        "it": tuple(WindowCount(window_ms, bad, total) for window_ms in WINDOWS_MS)
    }


def test_each_window_is_asked_for_once_and_may_be_unknown() -> None:
    asked: list[int] = []

    def counts_of(window_ms: int) -> list[WorkCount] | None:
        asked.append(window_ms)
        return ENDED if window_ms == WINDOWS_MS[0] else None

    two = [objective(Measure.SUCCESS, task="send"), Objective("other", Measure.SUCCESS, 1, task="sweep")]
    assert objective_readings(two, counts_of) == {
        "it": (WindowCount(WINDOWS_MS[0], 10, 107),),
        "other": (WindowCount(WINDOWS_MS[0], 1, 2),),
    }
    assert asked == [*WINDOWS_MS]
    assert objective_readings(two, lambda _: None) == {}


def test_external_ones_are_for_others() -> None:
    external = Objective("api", Measure.EXTERNAL, 1, bad_query="$window", total_query="$window")
    asked: list[int] = []
    assert objective_readings([external], asked.append) == {}
    assert asked == []


def test_what_is_shed_on_purpose_burns_nothing() -> None:
    """An objective that stops its own work is calm: what is not published is neither late nor failed."""
    about = objective(Measure.START_DELAY, queue="notifications", within_ms=1_000)
    before = {"it": Reading(objective_readings([about], lambda _: [SENT])["it"], 0)}
    levels = step_levels({}, before, SloPolicy(objectives=(about,)), 0, stale_ms=1)
    assert levels["it"].level == 3
    silent = {"it": Reading(objective_readings([about], lambda _: [])["it"], 1)}
    assert step_levels(levels, silent, SloPolicy(objectives=(about,)), 1, stale_ms=1)["it"].calm_since == 1


bounds = st.dictionaries(st.sampled_from([100, 1_000, 60_000, UNBOUNDED_MS]), st.integers(0, 1_000))
works = st.builds(
    ended,
    st.sampled_from(["a", "b"]),
    st.sampled_from(["x", "y"]),
    st.integers(0, 1_000),
    st.integers(0, 1_000),
    st.integers(0, 1_000),
    bounds,
    bounds,
)
abouts = st.sampled_from(
    [objective(Measure.SUCCESS, task="x")]
    + [objective(measure, queue="a", within_ms=1_000) for measure in (Measure.START_DELAY, Measure.RUN_TIME)]
)


@given(abouts, st.lists(works), st.lists(works))
def test_counts_add_up(about: Objective, some: list[WorkCount], others: list[WorkCount]) -> None:
    def of(work: list[WorkCount]) -> WindowCount:
        return objective_readings([about], lambda _: work)["it"][0]

    both = of(some + others)
    assert (both.bad, both.total) == (of(some).bad + of(others).bad, of(some).total + of(others).total)
    assert 0 <= both.bad <= both.total
