"""The offsets of a zone, as periods and as single answers, against `zoneinfo` itself."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.instants import DAY_MS, FIRST_INSTANT, HOUR_MS, LAST_INSTANT, ONE_MS, to_datetime, to_instant
from packages.scheduling.zones import (
    BLOCK_MS,
    LAST_BLOCK,
    MARGIN_MS,
    UnknownZoneError,
    check_zone,
    is_fixed,
    offset_ms,
    periods_of_block,
)

ZONES = (
    "America/New_York",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "Asia/Gaza",
    "America/Recife",
    "Asia/Kathmandu",
    "UTC",
)


def by_zoneinfo(zone: str, at: int) -> int:
    offset = to_datetime(at).astimezone(ZoneInfo(zone)).utcoffset()
    assert offset is not None
    return offset // ONE_MS


@settings(max_examples=300, deadline=None)
@given(zone=st.sampled_from(sorted(available_timezones())), at=st.integers(FIRST_INSTANT, LAST_INSTANT))
def test_any_instant_in_any_zone(zone: str, at: int) -> None:
    assert offset_ms(zone, at) == by_zoneinfo(zone, at)


@pytest.mark.parametrize("zone", ZONES)
def test_every_day_of_fifty_years(zone: str) -> None:
    for at in range(FIRST_INSTANT, 50 * 365 * DAY_MS, DAY_MS + 7 * HOUR_MS):
        assert offset_ms(zone, at) == by_zoneinfo(zone, at)


@pytest.mark.parametrize("zone", ZONES)
def test_the_periods_of_a_block_touch_and_differ(zone: str) -> None:
    for block in range(LAST_BLOCK + 1):
        periods = periods_of_block(zone, block)
        assert periods[0].start == max(block * BLOCK_MS - MARGIN_MS, FIRST_INSTANT)
        assert periods[-1].end == min((block + 1) * BLOCK_MS + MARGIN_MS, LAST_INSTANT + 1)
        for earlier, later in pairwise(periods):
            assert earlier.end == later.start
            assert earlier.offset_ms != later.offset_ms
            # To the millisecond.
            assert by_zoneinfo(zone, later.start - 1) == earlier.offset_ms
            assert by_zoneinfo(zone, later.start) == later.offset_ms


def test_summer_time_of_a_week_is_found() -> None:
    # The shortest of all since 1970: Recife gave its summer of 2000 up after one week.
    week = to_instant(datetime(2000, 10, 12, tzinfo=UTC))
    before, during, after = (offset_ms("America/Recife", week + n * 7 * DAY_MS) for n in (-1, 0, 1))
    assert (before, during, after) == (-3 * HOUR_MS, -2 * HOUR_MS, -3 * HOUR_MS)


@pytest.mark.parametrize(
    ("zone", "change", "before", "after"),
    [
        ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC), timedelta(hours=-5), timedelta(hours=-4)),
        ("Europe/London", datetime(2026, 10, 25, 1, tzinfo=UTC), timedelta(hours=1), timedelta(0)),
        (
            "Australia/Lord_Howe",
            datetime(2026, 4, 4, 15, tzinfo=UTC),
            timedelta(hours=11),
            timedelta(hours=10, minutes=30),
        ),
        ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC), timedelta(hours=-10), timedelta(hours=14)),
    ],
)
def test_a_published_change(zone: str, change: datetime, before: timedelta, after: timedelta) -> None:
    assert offset_ms(zone, to_instant(change) - 1) == before // ONE_MS
    assert offset_ms(zone, to_instant(change)) == after // ONE_MS


def test_outside_the_range_the_last_offset_holds() -> None:
    assert offset_ms("Asia/Tokyo", -(10**20)) == offset_ms("Asia/Tokyo", 10**20) == 9 * HOUR_MS


def test_which_zones_are_fixed() -> None:
    assert [is_fixed(zone) for zone in ("UTC", "Etc/GMT+5", "America/New_York")] == [True, True, False]


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "America", "../zone", "/etc/passwd", "New York", "a\0b", "É"])
def test_an_unknown_zone_is_named(name: str) -> None:
    with pytest.raises(UnknownZoneError, match="IANA") as caught:
        check_zone(name)
    assert caught.value.zone == name
    with pytest.raises(UnknownZoneError):
        offset_ms(name, 0)
