from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.scheduling.control.burn import UNSEEN_MS, WINDOWS_MS, step_levels
from packages.scheduling.control.controllers import LevelControl
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.control.policy import SloPolicy
from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS
from packages.scheduling.readings import ObjectiveReading, WindowCount
from packages.scheduling.snapshot import Reading

NOW = 1_800_000_000_000
STALE_MS = 30_000
DWELL_MS = 10 * MINUTE_MS
M5, M30, H1, H6, D3 = WINDOWS_MS
# 1 % of the events may be bad: a burn rate of 14.4 is 144 of 1000.
OBJECTIVE = Objective("orders", Measure.SUCCESS, 990_000, task="orders.place", sheds=frozenset({"maintenance"}))
POLICY = SloPolicy(objectives=(OBJECTIVE,), dwell_ms=DWELL_MS, least_events=20)

Levels = Mapping[str, LevelControl]


def reading_of(bad: Mapping[int, int], total: int = 1000) -> ObjectiveReading:
    return tuple(WindowCount(window, count, total) for window, count in bad.items())


def of_all(bad: int, total: int = 1000) -> ObjectiveReading:
    return reading_of(dict.fromkeys(WINDOWS_MS, bad), total)


def step(
    levels: Levels, reading: ObjectiveReading | None, now: int = NOW, policy: SloPolicy = POLICY, age_ms: int = 0
) -> Levels:
    readings = {} if reading is None else {"orders": Reading(reading, now - age_ms)}
    return step_levels(levels, readings, policy, now, stale_ms=STALE_MS)


def level_of(levels: Levels) -> int:
    return levels["orders"].level if "orders" in levels else 0


def at(level: int, since: int = NOW - MINUTE_MS, calm_since: int | None = None) -> Levels:
    return {"orders": LevelControl(level, since, calm_since, frozenset({"maintenance"}))}


def test_the_windows_are_those_of_the_source() -> None:
    assert WINDOWS_MS == (5 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, 3 * DAY_MS)


@pytest.mark.parametrize(
    ("bad", "level"),
    [
        ({M5: 144, M30: 0, H1: 144, H6: 0, D3: 0}, 3),
        ({M5: 143, M30: 0, H1: 144, H6: 0, D3: 0}, 0),
        ({M5: 144, M30: 0, H1: 143, H6: 0, D3: 0}, 0),
        ({M5: 0, M30: 60, H1: 0, H6: 60, D3: 0}, 2),
        ({M5: 0, M30: 59, H1: 0, H6: 60, D3: 0}, 0),
        ({M5: 0, M30: 60, H1: 0, H6: 59, D3: 10}, 1),
        ({M5: 0, M30: 0, H1: 0, H6: 10, D3: 10}, 1),
        ({M5: 0, M30: 0, H1: 0, H6: 10, D3: 9}, 0),
        (dict.fromkeys(WINDOWS_MS, 144), 3),
        (dict.fromkeys(WINDOWS_MS, 0), 0),
        # A pair that is not whole calls for nothing; the others still do.
        ({M5: 1000}, 0),
        ({H6: 60, M30: 60}, 2),
        ({}, 0),
    ],
)
def test_both_windows_of_a_pair_call_for_a_level(bad: Mapping[int, int], level: int) -> None:
    levels = step({}, reading_of(bad))
    assert level_of(levels) == level
    assert levels == ({"orders": LevelControl(level, NOW, None, frozenset({"maintenance"}))} if level else {})


@pytest.mark.parametrize(("total", "level"), [(19, 0), (20, 3)])
def test_few_events_call_for_nothing(total: int, level: int) -> None:
    assert level_of(step({}, of_all(total, total))) == level
    # Enough of them in the longer window alone are not enough.
    assert level_of(step({}, (WindowCount(H1, 100, 100), WindowCount(M5, total, total)))) == level


def test_a_goal_that_leaves_much_room_cannot_burn_fast() -> None:
    modest = SloPolicy(objectives=(Objective("orders", Measure.SUCCESS, 900_000, task="orders.place"),))
    assert level_of(step({}, of_all(1000), policy=modest)) == 2


def test_the_rates_of_the_levels_may_be_set() -> None:
    tight = replace(POLICY, burns=(2_000_000, 3_500_000, 5_000_000))
    found = [level_of(step({}, of_all(bad), policy=tight)) for bad in (19, 20, 34, 35, 49, 50)]
    assert found == [0, 1, 1, 2, 2, 3]


def test_a_higher_level_is_taken_at_once() -> None:
    levels = step(at(1, calm_since=NOW - 1), of_all(144))
    assert levels == {"orders": LevelControl(3, NOW, None, frozenset({"maintenance"}))}


def test_a_level_is_left_one_at_a_time() -> None:
    levels: Levels = at(3)
    seen: list[tuple[int, int]] = []
    for now in range(NOW, NOW + HOUR_MS, MINUTE_MS):
        levels = step(levels, of_all(0), now)
        if not seen or seen[-1][1] != level_of(levels):
            seen.append(((now - NOW) // MINUTE_MS, level_of(levels)))
    assert seen == [(0, 3), (10, 2), (20, 1), (30, 0)]
    assert levels == {}


def test_a_cause_in_between_begins_the_dwell_anew() -> None:
    levels = step(at(3), of_all(0), NOW)
    assert levels["orders"].calm_since == NOW
    levels = step(levels, of_all(144), NOW + DWELL_MS - 1)
    assert levels["orders"].calm_since is None
    assert level_of(step(levels, of_all(0), NOW + DWELL_MS)) == 3


def test_below_the_level_that_is_left_may_be_one_that_is_called_for() -> None:
    levels = step(at(3, calm_since=NOW - DWELL_MS), of_all(60))
    assert levels == {"orders": LevelControl(2, NOW, None, frozenset({"maintenance"}))}


@pytest.mark.parametrize("calm_since", [None, NOW - DWELL_MS])
@pytest.mark.parametrize(
    ("reading", "age_ms"), [(None, 0), (of_all(0), STALE_MS + 1), (of_all(1000), STALE_MS + 1), (reading_of({}), 0)]
)
def test_what_cannot_be_seen_changes_nothing(reading: ObjectiveReading, age_ms: int, calm_since: int | None) -> None:
    before = at(2, calm_since=calm_since)
    assert step(before, reading, age_ms=age_ms) == before
    assert step({}, reading, age_ms=age_ms) == {}


HOURS, DWELL = UNSEEN_MS // MINUTE_MS, DWELL_MS // MINUTE_MS


@pytest.mark.parametrize(
    ("has_last", "minutes"),
    [
        # The last reading is an hour old, and each level has its dwell.
        (True, [0, HOURS + DWELL, HOURS + 2 * DWELL]),
        # Only the beginning of each level is known.
        (False, [0, HOURS + DWELL, 2 * HOURS + DWELL]),
    ],
)
def test_what_can_no_more_be_seen_is_left_in_the_end(has_last: bool, minutes: list[int]) -> None:  # noqa: FBT001  # a row of the table
    levels: Levels = at(2, since=NOW)
    seen: list[tuple[int, int]] = []
    for now in range(NOW, NOW + 3 * HOUR_MS, MINUTE_MS):
        levels = step(levels, of_all(60) if has_last else None, now, age_ms=now - NOW)
        if not seen or seen[-1][1] != level_of(levels):
            seen.append(((now - NOW) // MINUTE_MS, level_of(levels)))
    assert seen == [*zip(minutes, [2, 1, 0], strict=True)]


@pytest.mark.parametrize("ahead_ms", [STALE_MS + 1, 2 * DAY_MS])
def test_a_reading_from_the_future_is_an_absent_one(ahead_ms: int) -> None:
    assert step({}, of_all(144), age_ms=-ahead_ms) == {}
    assert step({}, of_all(144), age_ms=-STALE_MS) == step({}, of_all(144))
    before = at(2, since=NOW - UNSEEN_MS)
    assert step(before, of_all(144), age_ms=-ahead_ms) == step(before, None)


@pytest.mark.parametrize("taken_at", [None, NOW + 2 * DAY_MS])
@pytest.mark.parametrize(
    ("calm_since", "minutes"),
    [
        (None, [0, HOURS + DWELL, 2 * HOURS + DWELL, 3 * HOURS + DWELL]),
        (NOW + 2 * DAY_MS, [0, HOURS, 2 * HOURS, 3 * HOURS]),
    ],
)
def test_no_level_outlives_a_clock_that_was_set_back(
    taken_at: int | None, calm_since: int | None, minutes: list[int]
) -> None:
    levels: Levels = at(3, NOW + 2 * DAY_MS, calm_since)
    readings = {} if taken_at is None else {"orders": Reading(of_all(144), taken_at)}
    seen: list[tuple[int, int]] = []
    for now in range(NOW, NOW + DAY_MS, MINUTE_MS):
        levels = step_levels(levels, readings, POLICY, now, stale_ms=STALE_MS)
        assert all(level.since <= now for level in levels.values())
        if not seen or seen[-1][1] != level_of(levels):
            seen.append(((now - NOW) // MINUTE_MS, level_of(levels)))
    assert seen == [*zip(minutes, [3, 2, 1, 0], strict=True)]


@pytest.mark.parametrize(
    ("bad", "is_known"),
    [
        ({M5: 0, H1: 0}, True),
        # Without one window, the other one may say all there is to say.
        ({H1: 0}, True),
        ({M5: 0}, True),
        ({H1: 1000}, False),
        ({M30: 0, H6: 0, D3: 0}, False),
    ],
)
def test_calm_is_known_from_the_windows_that_matter(bad: Mapping[int, int], is_known: bool) -> None:  # noqa: FBT001  # a row of the table
    levels = step(at(3), reading_of(bad))
    assert levels["orders"].calm_since == (NOW if is_known else None)


def test_windows_of_higher_levels_matter_too() -> None:
    assert step(at(1), reading_of({D3: 0, H6: 0}))["orders"].calm_since is None
    assert step(at(1), reading_of({D3: 0, H6: 0, M30: 0, M5: 0}))["orders"].calm_since == NOW


def test_a_clock_that_was_set_back_does_not_keep_a_level() -> None:
    levels = step(at(1, since=NOW + DAY_MS, calm_since=NOW + DAY_MS), of_all(0))
    assert levels["orders"].calm_since == NOW
    assert step(levels, of_all(0), NOW + DWELL_MS) == {}


def test_an_objective_that_is_no_more_declared_goes_out() -> None:
    assert step(at(3), of_all(1000), policy=SloPolicy()) == {}


def test_whose_fires_are_shed_follows_the_objective() -> None:
    everywhere = SloPolicy(objectives=(Objective("orders", Measure.SUCCESS, 990_000, task="orders.place"),))
    assert step(at(3), None, policy=everywhere)["orders"].sheds is None


counts = st.integers(min_value=0, max_value=2_000)
readings = st.lists(st.sampled_from(WINDOWS_MS), unique=True).flatmap(
    lambda windows: st.tuples(*(st.builds(_count, st.just(window), counts, counts) for window in windows))
)
seen_readings = st.none() | st.tuples(readings, st.sampled_from([0, STALE_MS, STALE_MS + 1, 2 * HOUR_MS]))
policies = st.builds(
    lambda goal, least: SloPolicy(
        objectives=(Objective("orders", Measure.SUCCESS, goal, task="orders.place"),), least_events=least
    ),
    goal=st.integers(min_value=1, max_value=999_999),
    least=st.integers(min_value=1, max_value=100),
)
steps = st.lists(st.tuples(st.integers(min_value=0, max_value=HOUR_MS), seen_readings), max_size=30)


def _count(window: int, bad: int, total: int) -> WindowCount:
    return WindowCount(window, min(bad, total), total)


def _walk(policy: SloPolicy, taken: list[tuple[int, tuple[ObjectiveReading, int] | None]]) -> list[tuple[int, int]]:
    now, levels = NOW, step({}, None)
    walked: list[tuple[int, int]] = [(now, 0)]
    for gap_ms, seen in taken:
        now += gap_ms
        reading, age_ms = seen if seen is not None else (None, 0)
        levels = step(levels, reading, now, policy, age_ms)
        walked.append((now, level_of(levels)))
    return walked


@given(policies, steps)
def test_falls_are_one_level_in_a_dwell(
    policy: SloPolicy, taken: list[tuple[int, tuple[ObjectiveReading, int] | None]]
) -> None:
    walked = _walk(policy, taken)
    changes = [(b[0], b[1] - a[1]) for a, b in pairwise(walked) if b[1] != a[1]]
    assert all(change >= -1 for _, change in changes)
    for (before, _), (after, change) in pairwise(changes):
        assert change > 0 or after - before >= policy.dwell_ms
    assert walked == _walk(policy, taken)


@given(policies, seen_readings, st.integers(min_value=0, max_value=3))
def test_what_is_not_fresh_or_too_few_never_raises(
    policy: SloPolicy, seen: tuple[ObjectiveReading, int] | None, level: int
) -> None:
    reading, age_ms = seen if seen is not None else (None, 0)
    before: Levels = at(level) if level else {}
    after = level_of(step(before, reading, NOW, policy, age_ms))
    enough = {count.window_ms for count in reading or () if count.total >= policy.least_events}
    if age_ms > STALE_MS or len(enough) < 2:
        assert after <= level


@given(policies, readings, st.integers(min_value=1, max_value=1000))
def test_only_ratios_count(policy: SloPolicy, reading: ObjectiveReading, factor: int) -> None:
    enough = tuple(count for count in reading if count.total >= policy.least_events)
    scaled = tuple(WindowCount(window, bad * factor, total * factor) for window, bad, total in enough)
    assert step({}, enough, NOW, policy) == step({}, scaled, NOW, policy)


@given(policies, readings)
def test_more_bad_events_never_call_for_less(policy: SloPolicy, reading: ObjectiveReading) -> None:
    worse = tuple(WindowCount(window, total, total) for window, _, total in reading)
    assert level_of(step({}, worse, NOW, policy)) >= level_of(step({}, reading, NOW, policy))
