from collections.abc import Callable, Mapping
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.scheduling.control.controllers import TargetControl
from packages.scheduling.control.failing import WEARS_OFF, step_targets
from packages.scheduling.control.policy import TargetPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.instants import MINUTE_MS, SECOND_MS
from packages.scheduling.jitter import hash64
from packages.scheduling.readings import TaskReading
from packages.scheduling.snapshot import Reading

NOW = 1_800_000_000_000
STALE_MS = 30_000
POLICY = TargetPolicy(succeeding=500_000, most_shed=800_000, least_runs=10)
LEAST = ONE - POLICY.most_shed
TASK = "market_data.refresh"

Targets = Mapping[str, TargetControl]


def step(targets: Targets, runs: int | None, succeeded: int = 0, *, age_ms: int = 0, now: int = NOW) -> Targets:
    tasks = {} if runs is None else {TASK: Reading(TaskReading(runs, succeeded), now - age_ms)}
    return step_targets(targets, tasks, POLICY, now, stale_ms=STALE_MS)


def at(rate: int, since: int = NOW - MINUTE_MS) -> Targets:
    return {TASK: TargetControl(rate, since)}


def rate_of(targets: Targets) -> int:
    return targets[TASK].rate if TASK in targets else ONE


@pytest.mark.parametrize(
    ("runs", "succeeded", "rate"),
    [
        (10, 10, ONE),
        (10, 5, ONE),
        # 1 - (n - 2 n_ok) / (n + 1)
        (10, 4, ONE - 2 * ONE // 11),
        (19, 5, ONE - 9 * ONE // 20),
        (99, 25, ONE - 49 * ONE // 100),
        (10, 0, LEAST),
        (1000, 1, LEAST),
        (9, 0, ONE),
        (0, 0, ONE),
    ],
)
def test_the_formula(runs: int, succeeded: int, rate: int) -> None:
    assert step({}, runs, succeeded) == ({} if rate == ONE else {TASK: TargetControl(rate, NOW)})


@pytest.mark.parametrize(
    ("rate", "runs", "succeeded", "then"),
    [
        # A run stands for five.
        (LEAST, 2, 0, LEAST),
        (LEAST, 2, 1, 2 * LEAST),
        (LEAST, 2, 2, 2 * LEAST),
        (LEAST, 1, 0, LEAST + WEARS_OFF),
        (LEAST, 0, 0, LEAST + WEARS_OFF),
        # At twice the rate, twice the runs are asked for.
        (2 * LEAST, 2, 2, 2 * LEAST + WEARS_OFF),
        (2 * LEAST, 4, 4, 4 * LEAST),
        (4 * LEAST, 8, 8, ONE),
        (4 * LEAST, 8, 0, LEAST),
        (ONE - 1, 0, 0, ONE),
        # A rate that the policy does not have any more.
        (0, 2, 0, LEAST),
    ],
)
def test_from_a_throttle_on(rate: int, runs: int, succeeded: int, then: int) -> None:
    before = at(rate)
    assert step(before, runs, succeeded) == ({} if then == ONE else {TASK: before[TASK]._replace(rate=then)})


@pytest.mark.parametrize(
    ("rate", "runs", "succeeded", "then"),
    [
        # Every run was made.
        (LEAST, 9, 0, LEAST + WEARS_OFF),
        (LEAST, 10, 0, LEAST),
        (LEAST, 10, 4, 2 * LEAST),
        (4 * LEAST, 10, 4, ONE - 2 * ONE // 11),
    ],
)
def test_nothing_answers_to_a_rate_that_is_only_observed(rate: int, runs: int, succeeded: int, then: int) -> None:
    tasks = {TASK: Reading(TaskReading(runs, succeeded), NOW)}
    after = step_targets(at(rate), tasks, POLICY, NOW, stale_ms=STALE_MS, is_obeyed=False)
    assert rate_of(after) == then


@pytest.mark.parametrize(("runs", "age_ms"), [(None, 0), (40, STALE_MS + 1), (40, -STALE_MS - 1)])
def test_what_cannot_be_seen_throttles_nothing_and_wears_off(runs: int | None, age_ms: int) -> None:
    assert step({}, runs, age_ms=age_ms) == {}
    targets, intervals = at(LEAST), 0
    while targets:
        targets, intervals = step(targets, runs, age_ms=age_ms), intervals + 1
    assert intervals == (ONE - LEAST) // WEARS_OFF


def test_a_clock_that_was_set_back_leaves_no_throttle_that_begins_in_the_future() -> None:
    after = step_targets({TASK: TargetControl(LEAST, NOW + 1)}, {}, POLICY, NOW, stale_ms=STALE_MS)
    assert after[TASK].since == NOW


readings = st.none() | st.tuples(st.integers(0, 500), st.integers(0, 500), st.sampled_from([0, STALE_MS, STALE_MS + 1]))


@given(st.lists(readings, max_size=40))
def test_rates_stay_within_bounds(taken: list[tuple[int, int, int] | None]) -> None:
    targets: Targets = {}
    again: Targets = {}
    for n, reading in enumerate(taken):
        before = rate_of(targets)
        runs, succeeded, age_ms = reading if reading is not None else (None, 0, 0)
        succeeded = min(succeeded, runs or 0)
        now = NOW + n * 5 * SECOND_MS
        targets = step(targets, runs, succeeded, age_ms=age_ms, now=now)
        again = step(again, runs, succeeded, age_ms=age_ms, now=now)
        assert LEAST <= rate_of(targets) <= min(ONE, max(2 * before, before + WEARS_OFF))
        if runs is None or age_ms > STALE_MS:
            assert rate_of(targets) >= before
        if runs is not None and 2 * succeeded >= runs:
            assert rate_of(targets) > before or before == ONE
    assert targets == again


@given(st.integers(10, 500), st.integers(0, 500), st.integers(LEAST, ONE))
def test_more_success_never_lets_less_through(runs: int, succeeded: int, rate: int) -> None:
    succeeded = min(succeeded, runs)
    before: Targets = at(rate) if rate < ONE else {}
    rates = [rate_of(step(before, runs, well)) for well in range(succeeded + 1)]
    assert rates == sorted(rates)


@given(st.integers(10, 500), st.integers(0, 500), st.integers(2, 100))
def test_scaled_counts_say_nearly_the_same(runs: int, succeeded: int, factor: int) -> None:
    succeeded = min(succeeded, runs)
    once, often = rate_of(step({}, runs, succeeded)), rate_of(step({}, runs * factor, succeeded * factor))
    # The one of n + 1 weighs less.
    assert once - ONE // runs <= often <= once


INTERVAL_MS: Final = 5 * SECOND_MS
WINDOW_MS: Final = 2 * MINUTE_MS


def closed_loop(every_ms: int, length_ms: int, goes_well: Callable[[int], bool]) -> list[tuple[int, int]]:
    """The rates over time of a task that is due every so often, and of whose runs those at some instants go well."""
    runs: list[tuple[int, bool]] = []
    targets: Targets = {}
    rates: list[tuple[int, int]] = []
    credit = 0
    for now in range(0, length_ms, INTERVAL_MS):
        runs = [run for run in runs if run[0] >= now - WINDOW_MS]
        targets = step(targets, len(runs), sum(well for _, well in runs), now=now)
        rates.append((now, rate_of(targets)))
        for due in range(now + -now % every_ms, now + INTERVAL_MS, every_ms):
            credit += rate_of(targets)
            if credit >= ONE:
                credit -= ONE
                runs.append((due, goes_well(due)))
    return rates


FAILS_AT, WORKS_AT, END = 5 * MINUTE_MS, 30 * MINUTE_MS, 45 * MINUTE_MS


@pytest.mark.parametrize(
    ("every_ms", "released_after_ms"),
    # The last has eleven runs in the window, hardly more than is asked for: each step up has to wait for its runs.
    [(500, MINUTE_MS), (3_000, MINUTE_MS), (6_000, MINUTE_MS), (11_000, 3 * MINUTE_MS)],
)
def test_a_target_that_fails_for_a_while(every_ms: int, released_after_ms: int) -> None:
    rates = closed_loop(every_ms, END, lambda at: not FAILS_AT <= at < WORKS_AT)
    throttled = [now for now, rate in rates if rate < ONE]
    assert FAILS_AT < throttled[0] <= FAILS_AT + WINDOW_MS
    assert {rate for now, rate in rates if throttled[0] + WINDOW_MS <= now < WORKS_AT} == {LEAST}
    assert throttled == [*range(throttled[0], throttled[-1] + 1, INTERVAL_MS)]
    assert throttled[-1] <= WORKS_AT + released_after_ms


@pytest.mark.parametrize("every_ms", [500, 3_000, 6_000, 11_000])
def test_success_by_luck_does_not_open_the_gate(every_ms: int) -> None:
    hours = 6
    rates = closed_loop(every_ms, hours * 60 * MINUTE_MS, lambda at: hash64(TASK, at) % 20 == 0)
    later = [rate for now, rate in rates if now >= 2 * WINDOW_MS]
    assert sum(rate == ONE for rate in later) <= hours * 3
    assert sum(later) / len(later) < 1.5 * LEAST


def test_a_rare_task_is_never_throttled() -> None:
    rates = closed_loop(15_000, END, lambda _: False)
    assert {rate for _, rate in rates} == {ONE}
