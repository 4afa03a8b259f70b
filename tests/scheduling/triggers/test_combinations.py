"""One-off, union, exclusion, and triggers that are active for a time."""

import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.instants import DAY_MS, FIRST_INSTANT, HOUR_MS, LAST_INSTANT, MINUTE_MS, NEVER_ENDS, to_instant
from packages.scheduling.triggers.base import CHUNK, Trigger, TriggerError
from packages.scheduling.triggers.bounded import MOST_FIRES, Limited, Within
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.excluding import LONGEST_RUN, Excluding
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.triggers.one_off import OneOff
from packages.scheduling.triggers.union import Union
from tests.scheduling.triggers.laws import by_single_steps, check_laws, named

START = to_instant(datetime(2026, 1, 1, tzinfo=UTC))
WINDOW = 2 * DAY_MS
NO_MINUTES = IntervalTrigger(NEVER_ENDS, 1)

SIMPLE: st.SearchStrategy[Trigger] = st.one_of(
    st.builds(IntervalTrigger, st.integers(HOUR_MS // 6, 3 * DAY_MS), st.integers(0, DAY_MS)),
    st.sampled_from((HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS, DAY_MS)).map(IntervalTrigger),
    st.builds(OneOff, st.integers(START, START + WINDOW)),
    st.sets(st.integers(0, 23), min_size=1).map(lambda hours: CronTrigger.of_sets(minutes={0}, hours=hours)),
)
BOUNDS = st.integers(START - DAY_MS, START + WINDOW + DAY_MS)


def nest(children: st.SearchStrategy[Trigger]) -> st.SearchStrategy[Trigger]:
    return st.one_of(
        st.lists(children, min_size=1, max_size=3).map(lambda several: Union(tuple(several))),
        st.builds(Excluding, children, children),
        st.builds(Limited, children, st.integers(1, 400), BOUNDS),
        st.builds(lambda child, since, length: Within(child, since, since + length), children, BOUNDS, BOUNDS),
    )


TRIGGERS = st.recursive(SIMPLE, nest, max_leaves=5)


@settings(max_examples=150, deadline=None)
@given(trigger=TRIGGERS, start=BOUNDS, length=st.integers(0, WINDOW), part=st.floats(0, 1))
def test_they_keep_the_laws(trigger: Trigger, start: int, length: int, part: float) -> None:
    check_laws(trigger, start, start + length, start + int(length * part))
    copy = pickle.loads(pickle.dumps(trigger))  # noqa: S301  # what was pickled a moment ago
    assert copy == trigger
    assert hash(copy) == hash(trigger)
    assert copy.describe() == trigger.describe()


@settings(max_examples=100, deadline=None)
@given(triggers=st.lists(SIMPLE, min_size=1, max_size=4), start=BOUNDS, length=st.integers(0, WINDOW))
def test_a_union_is_the_union(triggers: list[Trigger], start: int, length: int) -> None:
    each = [set(named(trigger, start, start + length)) for trigger in triggers]
    assert named(Union(tuple(triggers)), start, start + length) == sorted(set().union(*each))


@settings(max_examples=100, deadline=None)
@given(trigger=SIMPLE, exclusion=SIMPLE, start=BOUNDS, length=st.integers(0, WINDOW))
def test_an_exclusion_is_the_difference(trigger: Trigger, exclusion: Trigger, start: int, length: int) -> None:
    expected = set(named(trigger, start, start + length)) - set(named(exclusion, start, start + length))
    assert named(Excluding(trigger, exclusion), start, start + length) == sorted(expected)


@settings(max_examples=100, deadline=None)
@given(trigger=SIMPLE, fires=st.integers(1, 300), counted_from=BOUNDS)
def test_a_limit_is_the_first_fires(trigger: Trigger, fires: int, counted_from: int) -> None:
    end = counted_from + 30 * DAY_MS
    expected = named(trigger, counted_from - 1, end)[:fires]
    assert named(Limited(trigger, fires, counted_from), START - 10 * DAY_MS, end) == expected


class TestOneOff:
    def test_it_is_the_instant(self) -> None:
        at = OneOff(START)
        assert at.next_after(START - 1) == START
        assert at.next_after(START) is None
        assert named(at, START - 1, START) == [START]
        assert named(at, START, START + 1) == []
        assert at.describe() == "once at 2026-01-01T00:00:00+00:00"

    @pytest.mark.parametrize("at", [FIRST_INSTANT - 1, LAST_INSTANT + 1])
    def test_it_is_within_the_range(self, at: int) -> None:
        with pytest.raises(TriggerError, match=f"1970 to 2199.*not {at}"):
            OneOff(at)


class TestUnion:
    def test_it_needs_a_trigger(self) -> None:
        with pytest.raises(TriggerError, match="at least one trigger"):
            Union(())

    def test_arrays_stay_bounded_and_lazy(self) -> None:
        seconds = Union(tuple(IntervalTrigger(1000, phase) for phase in (0, 250, 500)))
        lengths = [len(array) for array in seconds.between(START, START + DAY_MS)]
        assert sum(lengths) == 3 * 86400
        assert max(lengths) <= CHUNK
        assert len(next(seconds.between(START, LAST_INSTANT))) <= CHUNK

    def test_it_is_described_by_its_parts(self) -> None:
        assert Union((IntervalTrigger(1000), OneOff(0))).describe() == (
            "any of (every 0:00:01; once at 1970-01-01T00:00:00+00:00)"
        )


class TestExcluding:
    def test_a_holiday(self) -> None:
        hourly = CronTrigger.of_sets(minutes={0})
        christmas = CronTrigger.of_sets(days_of_month={25}, months={12})
        eve = to_instant(datetime(2026, 12, 24, 23, tzinfo=UTC))
        trigger = Excluding(hourly, christmas)
        assert trigger.next_after(eve) == eve + 25 * HOUR_MS
        assert len(named(trigger, START, START + 365 * DAY_MS)) == 364 * 24
        assert trigger.describe() == "(cron 0 * * * * in UTC) but not (cron * * 25 12 * in UTC)"

    def test_a_long_run_is_searched_by_arrays(self) -> None:
        minutes = IntervalTrigger(MINUTE_MS)
        ten_days = Excluding(minutes, Within(minutes, START, START + 10 * DAY_MS))
        assert ten_days.next_after(START - MINUTE_MS) == START + 10 * DAY_MS

    @pytest.mark.parametrize(
        ("trigger", "exclusion"),
        [
            (IntervalTrigger(MINUTE_MS), IntervalTrigger(MINUTE_MS)),
            (IntervalTrigger(1), IntervalTrigger(1)),
            (IntervalTrigger(DAY_MS), IntervalTrigger(1)),
            (CronTrigger.of_sets(minutes={0}, hours={0}), CronTrigger.of_sets()),
        ],
    )
    def test_what_removes_everything_ends_the_search(self, trigger: Trigger, exclusion: Trigger) -> None:
        nothing = Excluding(trigger, exclusion)
        assert nothing.next_after(START) is None
        assert named(nothing, START, START + DAY_MS) == []

    def test_the_search_is_as_long_as_it_says(self) -> None:
        seconds = IntervalTrigger(1000)
        shorter = Excluding(seconds, Within(seconds, START, START + (LONGEST_RUN - CHUNK) * 1000))
        assert shorter.next_after(START - 1) == START + (LONGEST_RUN - CHUNK) * 1000
        longer = Excluding(seconds, Within(seconds, START, START + (LONGEST_RUN + 2 * CHUNK) * 1000))
        assert longer.next_after(START - 1) is None

    def test_a_dense_exclusion_is_asked_for_each_nominal(self) -> None:
        daily = CronTrigger.of_sets(minutes={0}, hours={0})
        every_ms = Within(IntervalTrigger(1), START, START + 3 * DAY_MS)
        expected = named(daily, START + 2 * DAY_MS, START + 100 * DAY_MS)
        assert named(Excluding(daily, every_ms), START - 1, START + 100 * DAY_MS) == expected


class TestWithin:
    def test_from_is_inclusive_and_until_exclusive(self) -> None:
        trigger = Within(IntervalTrigger(HOUR_MS), START, START + 2 * HOUR_MS)
        assert named(trigger, -1, LAST_INSTANT) == [START, START + HOUR_MS]
        assert by_single_steps(trigger, -1, LAST_INSTANT) == [START, START + HOUR_MS]

    def test_either_end_may_be_open(self) -> None:
        hourly = IntervalTrigger(HOUR_MS)
        assert Within(hourly, active_until=HOUR_MS).next_after(-1) == 0
        assert Within(hourly, START).next_after(LAST_INSTANT - HOUR_MS) == LAST_INSTANT + 1 - HOUR_MS
        assert Within(hourly).describe() == "(every 1:00:00)"
        assert Within(hourly, START, START + DAY_MS).describe() == (
            "(every 1:00:00) from 2026-01-01T00:00:00+00:00 until 2026-01-02T00:00:00+00:00"
        )

    @pytest.mark.parametrize(("since", "until"), [(5, 5), (5, 4), (-1, 5), (LAST_INSTANT + 1, LAST_INSTANT + 2)])
    def test_the_ends_are_in_order(self, since: int, until: int) -> None:
        with pytest.raises(TriggerError, match=str(since)):
            Within(NO_MINUTES, since, until)


class TestLimited:
    def test_nominals_are_counted_from_an_instant(self) -> None:
        trigger = Limited(IntervalTrigger(HOUR_MS), 3, START)
        assert by_single_steps(trigger, -1, LAST_INSTANT) == [START, START + HOUR_MS, START + 2 * HOUR_MS]
        assert trigger.describe() == "3 times (every 1:00:00) from 2026-01-01T00:00:00+00:00"

    def test_many_are_counted_too(self) -> None:
        trigger = Limited(IntervalTrigger(1000), 1_000_000, START)
        assert trigger.next_after(START + 999_998 * 1000) == START + 999_999 * 1000
        assert trigger.next_after(START + 999_999 * 1000) is None

    @pytest.mark.parametrize("fires", [3, 1000])
    def test_a_trigger_may_end_before_the_limit(self, fires: int) -> None:
        few = Within(IntervalTrigger(HOUR_MS), START, START + 2 * HOUR_MS)
        assert named(Limited(few, fires, START), -1, LAST_INSTANT) == [START, START + HOUR_MS]
        some = Within(IntervalTrigger(HOUR_MS), START, START + 300 * HOUR_MS)
        assert len(named(Limited(some, 1000, START), -1, LAST_INSTANT)) == 300

    @pytest.mark.parametrize("fires", [0, -1, MOST_FIRES + 1])
    def test_a_limit_is_a_number_of_fires(self, fires: int) -> None:
        with pytest.raises(TriggerError, match=f"not {fires}"):
            Limited(NO_MINUTES, fires, START)

    def test_the_count_begins_in_the_range(self) -> None:
        with pytest.raises(TriggerError, match="begins from 1970 to 2199"):
            Limited(NO_MINUTES, 1, -1)
