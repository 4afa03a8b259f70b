"""The text form of windows, and when they are open."""

from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS, NEVER_ENDS, to_datetime
from packages.scheduling.policies import GateMode, PolicyError, UnknownDates, WindowAction, Windows, WindowSpan
from packages.scheduling.sessions import SessionTable
from packages.scheduling.window_times import inside_until, next_inside, search_ends, spans_of_day, unknown_markets
from packages.scheduling.windows import parse_windows, windows_text
from tests.scheduling.markets import a_table, instants_near, sessions_of, tables, utc

EVERY_DAY = frozenset(range(7))
ASIA = a_table(
    [("2026-03-05 01:00", "2026-03-05 03:30"), ("2026-03-05 04:30", "2026-03-05 07:00")],
    [("2026-03-06 01:00", "2026-03-06 03:30")],
    market="ASIA",
    known=("2026-03-04 00:00", "2026-03-08 00:00"),
)


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("22:00-06:00 America/New_York", Windows("America/New_York", (WindowSpan(EVERY_DAY, 1320, 360),))),
        ("Mon-Fri 20:00-23:00 Europe/London", Windows("Europe/London", (WindowSpan(frozenset(range(5)), 1200, 1380),))),
        ("Sat,Sun 00:00-24:00 UTC", Windows("UTC", (WindowSpan(frozenset({5, 6}), 0, 1440),))),
        ("Fri-mon 9:05-10:00", Windows("UTC", (WindowSpan(frozenset({4, 5, 6, 0}), 545, 600),))),
        ("outside XNYS", Windows(outside_sessions_of=("XNYS",))),
        ("Outside XNYS, 24/7;skip", Windows(outside_sessions_of=("XNYS", "24/7"), action=WindowAction.SKIP)),
        (
            "20:00-06:00 Asia/Tokyo; Sat 10:00-12:00; fail_closed; observe; defer;",
            Windows(
                "Asia/Tokyo",
                (WindowSpan(EVERY_DAY, 1200, 360), WindowSpan(frozenset({5}), 600, 720)),
                unknown=UnknownDates.FAIL_CLOSED,
                mode=GateMode.OBSERVE,
            ),
        ),
    ],
)
def test_windows_are_read_from_text(text: str, windows: Windows) -> None:
    assert parse_windows(text) == windows


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "a span such as 22:00-06:00 Europe/London is needed"),
        ("skip", "a span such as"),
        ("22:00", "window '22:00': must be a span such as"),
        ("Xyz 10:00-11:00", "window 'Xyz 10:00-11:00': days are Mon, Tue"),
        ("Mon-Tue-Fri 10:00-11:00", "days are Mon, Tue"),
        ("10:00-24:01", "times are 00:00 to 24:00, not '24:01'"),
        ("10:60-11:00", "times are 00:00 to 24:00, not '10:60'"),
        ("24:00-01:00", "starts before 24:00"),
        ("10:00-11:00 Mars/Base", "no time zone 'Mars/Base'"),
        ("10:00-11:00 UTC; 12:00-13:00 Asia/Tokyo", "one zone, not in UTC and Asia/Tokyo"),
        ("10:00-11:00; skip; defer", "window 'defer': skip was said before"),
        ("outside", "outside is followed by MIC codes"),
        ("outside X Y", "outside is followed by MIC codes"),
        ("10:00-11:00; sometimes", "one of defer, skip, fail_open, fail_closed, off, observe, enforce"),
    ],
)
def test_what_is_no_window_is_refused_by_its_words(text: str, problem: str) -> None:
    with pytest.raises(PolicyError, match=problem):
        parse_windows(text)


SPANS = st.builds(
    WindowSpan,
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, 95).map(lambda quarter: quarter * 15),
    st.integers(0, 96).map(lambda quarter: quarter * 15),
)
ZONES = st.sampled_from(
    ["UTC", "America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"]
)
WINDOWS = st.builds(
    Windows,
    zone=ZONES,
    spans=st.lists(SPANS, min_size=1, max_size=3).map(tuple),
    outside_sessions_of=st.sampled_from([(), ("A",), ("A", "NONE")]),
    action=st.sampled_from(WindowAction),
    unknown=st.sampled_from(UnknownDates),
    mode=st.sampled_from(GateMode),
)


@given(WINDOWS)
@settings(max_examples=100, deadline=None)
def test_the_text_of_windows_reads_back(windows: Windows) -> None:
    assert parse_windows(windows_text(windows)) == windows


def is_in_span(windows: Windows, at: int) -> bool:
    """By the wall clock, one instant at a time."""
    local = to_datetime(at).astimezone(ZoneInfo(windows.zone))
    minute = local.hour * 60 + local.minute
    for span in windows.spans:
        if span.end_minute > span.start_minute:
            if local.weekday() in span.days and span.start_minute <= minute < span.end_minute:
                return True
        elif (local.weekday() in span.days and minute >= span.start_minute) or (
            (local.weekday() - 1) % 7 in span.days and minute < span.end_minute
        ):
            return True
    return not windows.spans


# Days on which clocks of these zones change, and the day that Apia never had.
CHANGES = [utc(day) for day in ("2026-03-08", "2026-11-01", "2026-03-29", "2026-04-04", "2026-10-03", "2011-12-30")]


@given(WINDOWS, st.sampled_from(CHANGES) | st.integers(1, 60_000).map(lambda day: day * DAY_MS), st.integers(-1, 1))
@settings(max_examples=150, deadline=None)
def test_a_span_is_a_matter_of_the_wall_clock(windows: Windows, day: int, step: int) -> None:
    number = day // DAY_MS + step
    parts = spans_of_day(windows.zone, windows.spans, number)
    assert all(start < end for start, end in parts)
    assert all(earlier[1] < later[0] for earlier, later in pairwise(parts))
    for at in range(number * DAY_MS, (number + 1) * DAY_MS, 15 * MINUTE_MS):
        assert any(start <= at < end for start, end in parts) is is_in_span(windows, at)


@pytest.mark.parametrize(
    ("zone", "span", "day", "hours"),
    [
        # 02:00 to 03:00 does not happen on the day on which New York's clocks go forward,
        ("America/New_York", "02:00-03:00", "2026-03-08", []),
        ("America/New_York", "01:30-03:30", "2026-03-08", [("06:30", "07:30")]),
        # and 01:00 to 02:00 happens twice when they go back.
        ("America/New_York", "01:00-01:30", "2026-11-01", [("05:00", "05:30"), ("06:00", "06:30")]),
        ("America/New_York", "00:30-02:30", "2026-11-01", [("04:30", "07:30")]),
        ("Europe/London", "01:00-02:00", "2026-03-29", []),
        ("Australia/Lord_Howe", "01:30-02:00", "2026-04-04", [("14:30", "15:30")]),
    ],
)
def test_a_span_on_a_day_on_which_clocks_change(zone: str, span: str, day: str, hours: list[tuple[str, str]]) -> None:
    windows = parse_windows(f"{span} {zone}")
    expected = tuple((utc(f"{day} {start}"), utc(f"{day} {end}")) for start, end in hours)
    assert spans_of_day(windows.zone, windows.spans, utc(day) // DAY_MS) == expected


@pytest.mark.parametrize(
    ("text", "at", "until", "following"),
    [
        ("22:00-06:00", "2026-03-02 23:00", "2026-03-03 06:00", None),
        ("22:00-06:00", "2026-03-03 05:59", "2026-03-03 06:00", None),
        ("22:00-06:00", "2026-03-03 06:00", None, "2026-03-03 22:00"),
        # A window of Friday that crosses midnight ends on Saturday.
        ("Fri 22:00-06:00", "2026-03-07 05:00", "2026-03-07 06:00", None),
        ("Fri 22:00-06:00", "2026-03-06 05:00", None, "2026-03-06 22:00"),
        ("Sat,Sun 00:00-24:00", "2026-03-07 12:00", "2026-03-09 00:00", None),
        ("12:00-12:00", "2026-03-07 12:00", "2200-01-01 00:00", None),
        # A session lasts through its break.
        ("outside ASIA", "2026-03-05 04:00", None, "2026-03-05 07:00"),
        ("outside ASIA", "2026-03-05 08:00", "2026-03-06 01:00", None),
        ("outside ASIA; 02:00-03:00; 06:00-08:00", "2026-03-05 00:00", None, "2026-03-05 07:00"),
        ("outside ASIA; 02:00-03:00", "2026-03-05 00:00", None, "2026-03-07 02:00"),
    ],
)
def test_until_when_a_window_is_open_and_when_the_next_one_is(
    text: str, at: str, until: str | None, following: str | None
) -> None:
    windows, markets = parse_windows(text), {"ASIA": ASIA}
    assert inside_until(windows, utc(at), markets) == (None if until is None else utc(until))
    assert next_inside(windows, utc(at), markets) == utc(following or at)


def test_a_market_that_never_closes_has_no_outside() -> None:
    days = [[(f"2026-03-{day:02d} 00:00", f"2026-03-{day + 1:02d} 00:00")] for day in range(1, 30)]
    always = a_table(*days, market="24/7")
    assert next_inside(parse_windows("outside 24/7"), utc("2026-03-02"), {"24/7": always}) is None


def test_what_is_not_known_counts_as_the_job_says() -> None:
    at = utc("2026-03-05 02:00")
    assert inside_until(parse_windows("outside NONE"), at, {}) == NEVER_ENDS
    assert next_inside(parse_windows("outside NONE; fail_closed"), at, {}) is None
    # Before the calendar begins to know, it may be in session.
    closed = parse_windows("outside ASIA; fail_closed")
    assert next_inside(closed, utc("2026-03-01"), {"ASIA": ASIA}) == ASIA.known_from
    assert next_inside(closed, ASIA.known_until, {"ASIA": ASIA}) is None
    assert unknown_markets(closed, ASIA.known_until, {"ASIA": ASIA}) == ("ASIA",)


def is_inside(windows: Windows, at: int, table: SessionTable) -> bool:
    in_session = any(session[0][0] <= at < session[-1][1] for session in sessions_of(table))
    blocked = [in_session if table.covers(at) else windows.unknown is UnknownDates.FAIL_CLOSED]
    blocked.append(windows.unknown is UnknownDates.FAIL_CLOSED)
    return is_in_span(windows, at) and not any(blocked[: len(windows.outside_sessions_of)])


@given(st.data(), WINDOWS, tables(market="A"))
@settings(max_examples=150, deadline=None)
def test_the_next_window_is_the_first_one(data: st.DataObject, windows: Windows, table: SessionTable) -> None:
    at = data.draw(instants_near(table))
    markets = {"A": table}
    found = next_inside(windows, at, markets)
    until = inside_until(windows, at, markets)
    assert (until is not None) is is_inside(windows, at, table) is (found == at)
    ends = until or found or min(search_ends(at), at + 2 * DAY_MS)
    assert ends > at or found == at
    for _ in range(20):
        later = data.draw(st.integers(at, min(ends, at + 20 * DAY_MS) - 1))
        assert is_inside(windows, later, table) is (until is not None)
    if found is not None:
        assert is_inside(windows, found, table)
        assert at <= found < search_ends(at)


def test_the_search_ends_with_the_fifteenth_day() -> None:
    noon = datetime.fromisoformat("2026-03-02T12:00:00+00:00")
    assert to_datetime(search_ends(utc("2026-03-02 12:00"))) == noon.replace(hour=0) + timedelta(days=16)
    assert search_ends(utc("2026-03-02")) == search_ends(utc("2026-03-02 23:59")) == utc("2026-03-18")
    assert search_ends(utc("2026-03-02") - HOUR_MS) == utc("2026-03-17")
