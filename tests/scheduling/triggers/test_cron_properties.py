"""A cron against the laws of triggers and against a slow second opinion, near all kinds of changes of the clocks."""

import pickle
from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.instants import DAY_MS, FIRST_INSTANT, LAST_INSTANT, MINUTE_MS, to_instant
from packages.scheduling.triggers.base import CHUNK, TriggerError
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.cron_clock import Fold, Gap
from packages.scheduling.triggers.cron_days import CronDays, DayRule
from tests.scheduling.triggers.cron_oracle import day_matches, nominals
from tests.scheduling.triggers.laws import by_single_steps, check_laws, named
from tests.scheduling.triggers.strategies import cron_days, crons_near_a_change

A_YEAR = 365 * DAY_MS


@settings(max_examples=80, deadline=None)
@given(case=crons_near_a_change())
def test_it_names_what_a_walk_through_the_window_finds(case: tuple[CronTrigger, int, int]) -> None:
    trigger, start, end = case
    assert named(trigger, start, end) == nominals(trigger, start, end)


@settings(max_examples=200, deadline=None)
@given(case=crons_near_a_change(), part=st.floats(0, 1))
def test_it_keeps_the_laws(case: tuple[CronTrigger, int, int], part: float) -> None:
    trigger, start, end = case
    check_laws(trigger, start, end, start + int((end - start) * part))


@settings(max_examples=60, deadline=None)
@given(days=cron_days(), year=st.integers(1969, 2200))
def test_a_year_has_the_days_that_match(days: CronDays, year: int) -> None:
    first = to_instant(datetime(year, 1, 1, tzinfo=UTC)) // DAY_MS
    last = to_instant(datetime(year, 12, 31, tzinfo=UTC)) // DAY_MS
    expected = [day for day in range(first, last + 1) if day_matches(days, datetime.fromtimestamp(day * 86400, UTC))]
    assert list(days.of_year(year)) == expected


@settings(max_examples=100)
@given(case=crons_near_a_change())
def test_it_is_a_value(case: tuple[CronTrigger, int, int]) -> None:
    trigger, start, _ = case
    copy = pickle.loads(pickle.dumps(trigger))  # noqa: S301  # what was pickled a moment ago
    rebuilt = CronTrigger(
        trigger.minutes, trigger.hours, trigger.days, trigger.zone, gap=trigger.gap, fold=trigger.fold
    )
    for other in (copy, rebuilt):
        assert other == trigger
        assert hash(other) == hash(trigger)
        assert other.describe() == trigger.describe()
        assert other.next_after(start) == trigger.next_after(start)


@settings(max_examples=200)
@given(first=crons_near_a_change(), second=crons_near_a_change())
def test_a_description_belongs_to_one_trigger(
    first: tuple[CronTrigger, int, int], second: tuple[CronTrigger, int, int]
) -> None:
    one, other = first[0], second[0]
    if one.zone != "UTC":
        assert (one.describe() == other.describe()) == (one == other)


def test_an_arbitrary_instant_will_do() -> None:
    daily = CronTrigger.of_sets(minutes={0}, hours={0})
    assert daily.next_after(-(10**30)) == FIRST_INSTANT
    assert daily.next_after(10**30) is None
    assert daily.next_after(LAST_INSTANT) is None
    assert daily.next_after(LAST_INSTANT - DAY_MS) == LAST_INSTANT + 1 - DAY_MS
    assert named(daily, 10**30, 10**31) == []
    assert sum(len(array) for array in daily.between(-(10**30), 10**30)) == (LAST_INSTANT + 1) // DAY_MS


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "Pacific/Pago_Pago", "America/New_York", "UTC"])
def test_the_ends_of_the_range_hold_in_every_zone(zone: str) -> None:
    hourly = CronTrigger.of_sets(minutes={0}, zone=zone)
    assert hourly.next_after(-1) == FIRST_INSTANT
    assert by_single_steps(hourly, LAST_INSTANT - DAY_MS, 10**30) == list(
        range(LAST_INSTANT + 1 - DAY_MS, LAST_INSTANT, DAY_MS // 24)
    )


def test_a_year_of_minutes_comes_lazily_in_bounded_arrays() -> None:
    every_minute = CronTrigger.of_sets(zone="America/New_York")
    start = to_instant(datetime(2026, 1, 1, tzinfo=UTC))
    assert len(named(every_minute, start, start + A_YEAR)) == A_YEAR // MINUTE_MS
    first_of_all = islice(every_minute.between(-1, LAST_INSTANT), 20)
    assert 20 < sum(len(array) for array in first_of_all) <= 20 * CHUNK


@pytest.mark.parametrize(
    ("days", "hint"),
    [
        ({"days_of_month": {30, 31}, "months": {2}}, r"never fires.*'0 0 30-31 2 \*'"),
        ({"days_of_month": {31}, "months": {4, 6, 9, 11}}, r"never fires.*'0 0 31 4,6,9,11 \*'"),
        ({"days_of_month": {0}}, r"days of month of a cron are 1 to 31, not \[0\]"),
        ({"months": {13}}, r"months of a cron are 1 to 12, not \[13\]"),
        ({"days_of_week": {7}}, r"days of week of a cron are 0 to 6, not \[7\]"),
        ({"months": set()}, "months of a cron are empty"),
        ({"minutes": {60}}, r"minutes of a cron are 0 to 59, not \[60\]"),
        ({"hours": {-1, 24}}, r"hours of a cron are 0 to 23, not \[-1, 24\]"),
        ({"hours": set()}, "hours of a cron are empty"),
        ({"zone": "Mars/Olympus"}, "no time zone 'Mars/Olympus'"),
    ],
)
def test_what_cannot_fire_is_refused(days: dict[str, object], hint: str) -> None:
    with pytest.raises(TriggerError, match=hint):
        CronTrigger.of_sets(**{"minutes": {0}, "hours": {0}, **days})  # type: ignore[arg-type]  # a table of keywords


def test_an_impossible_date_does_no_harm_beside_a_weekday() -> None:
    mondays = CronTrigger.of_sets(
        minutes={0}, hours={0}, days_of_month={30}, months={2}, days_of_week={1}, day_rule=DayRule.EITHER
    )
    assert len(named(mondays, -1, A_YEAR)) == 4


def test_the_clock_is_followed_when_all_minutes_or_hours_are_named() -> None:
    for sets in ({"minutes": range(60), "hours": {3}}, {"minutes": {0}, "hours": range(24)}):
        trigger = CronTrigger.of_sets(**sets)  # type: ignore[arg-type]  # a table of keywords
        assert (trigger.gap, trigger.fold) == (Gap.SKIP, Fold.BOTH)
    assert CronTrigger.of_sets(minutes={0}, hours={3}).gap is Gap.DEBIAN
    assert CronTrigger.of_sets(minutes={0}, hours={3}, follows_clock=True).fold is Fold.BOTH
    assert CronTrigger.of_sets(follows_clock=True, gap=Gap.SHIFT, fold=Fold.LAST).gap is Gap.SHIFT
