"""An interval: a grid that depends on no process's start."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.instants import DAY_MS, FIRST_INSTANT, LAST_INSTANT, MINUTE_MS, NEVER_ENDS
from packages.scheduling.triggers.base import CHUNK, TriggerError
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.scheduling.triggers.laws import check_laws, named

PERIODS = st.integers(1, 400 * DAY_MS)
PHASES = st.integers(-(10**15), 10**15)


@settings(max_examples=100)
@given(period_ms=PERIODS, phase_ms=PHASES, start=st.integers(-DAY_MS, NEVER_ENDS), count=st.integers(0, 200))
def test_it_keeps_the_laws(period_ms: int, phase_ms: int, start: int, count: int) -> None:
    trigger = IntervalTrigger(period_ms, phase_ms)
    end = start + count * period_ms
    check_laws(trigger, start, end, (start + end) // 2)
    assert all((nominal - phase_ms) % period_ms == 0 for nominal in named(trigger, start, end))
    if start >= FIRST_INSTANT and end <= LAST_INSTANT:
        assert len(named(trigger, start, end)) == count


@given(period_ms=PERIODS, phase_ms=PHASES, periods=st.integers(-5, 5))
def test_a_phase_is_kept_below_the_period(period_ms: int, phase_ms: int, periods: int) -> None:
    trigger = IntervalTrigger(period_ms, phase_ms)
    assert 0 <= trigger.phase_ms < period_ms
    assert trigger == IntervalTrigger(period_ms, phase_ms + periods * period_ms)


def test_many_come_in_bounded_arrays() -> None:
    every_second = IntervalTrigger.every(timedelta(seconds=1))
    arrays = list(every_second.between(0, 2 * DAY_MS))
    assert [len(array) for array in arrays] == [CHUNK, CHUNK, 2 * 86400 - 2 * CHUNK]


def test_the_ends_of_the_range() -> None:
    trigger = IntervalTrigger(MINUTE_MS)
    assert trigger.next_after(-(10**30)) == FIRST_INSTANT
    assert trigger.next_after(LAST_INSTANT - MINUTE_MS) == LAST_INSTANT + 1 - MINUTE_MS
    assert trigger.next_after(LAST_INSTANT + 1 - MINUTE_MS) is None
    assert trigger.next_after(10**30) is None
    assert named(trigger, 10**30, 10**31) == []


def test_the_longest_interval_fires_once() -> None:
    once = IntervalTrigger(NEVER_ENDS, 5)
    assert named(once, -1, LAST_INSTANT) == [5]
    assert once.next_after(5) is None


@pytest.mark.parametrize("period", [timedelta(0), timedelta(seconds=-1)])
def test_a_period_is_above_zero(period: timedelta) -> None:
    with pytest.raises(TriggerError, match="an interval is 1 ms to"):
        IntervalTrigger.every(period)


def test_a_period_is_within_the_range_of_the_engine() -> None:
    with pytest.raises(TriggerError, match="about 230 years"):
        IntervalTrigger.every(timedelta.max - timedelta(microseconds=999))


@pytest.mark.parametrize(
    ("period", "phase", "name"),
    [
        (timedelta(microseconds=1500), timedelta(0), "period"),
        (timedelta(seconds=1), timedelta(microseconds=1), "phase"),
    ],
)
def test_durations_are_whole_milliseconds(period: timedelta, phase: timedelta, name: str) -> None:
    with pytest.raises(TriggerError, match=f"the {name} of an interval is in whole milliseconds"):
        IntervalTrigger.every(period, phase=phase)


def test_a_family_is_spread() -> None:
    every_minute = IntervalTrigger(MINUTE_MS)
    family = [every_minute.spread_by(f"family.{n}") for n in range(1000)]
    assert family == [every_minute.spread_by(f"family.{n}") for n in range(1000)]
    seconds = [trigger.phase_ms // 1000 for trigger in family]
    assert set(seconds) == set(range(60))
    assert max(seconds.count(second) for second in range(60)) <= 40


def test_descriptions_tell_triggers_apart() -> None:
    assert IntervalTrigger(5 * MINUTE_MS).describe() == "every 0:05:00"
    assert IntervalTrigger(5 * MINUTE_MS, 1001).describe() == "every 0:05:00 from 0:00:01.001000 past the epoch"
