import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS, to_datetime, to_instant
from packages.scheduling.session_instants import LocalTime, NthDay, SessionEvent, SpanOfDays
from packages.scheduling.triggers.base import TriggerError
from packages.scheduling.triggers.market import Combine, MarketEvent, MarketTrigger, TradingDay, WithinSession
from tests.scheduling.markets import a_table, utc
from tests.scheduling.triggers.laws import by_single_steps, check_laws, named

# A day with a lunch break, a half day, and after the weekend a late open.
ASIA = a_table(
    [("2026-03-05 01:00", "2026-03-05 03:30"), ("2026-03-05 04:30", "2026-03-05 07:00")],
    [("2026-03-06 01:00", "2026-03-06 03:30")],
    [("2026-03-09 05:00", "2026-03-09 07:00")],
    market="ASIA",
)
EUROPE = a_table(
    *([(f"2026-03-0{day} 06:00", f"2026-03-0{day} 14:30")] for day in (4, 5, 6, 9)),
    market="EUROPE",
)
# Opens the evening before, halts for an hour.
FUTURES = a_table(
    *([(f"2026-03-0{day - 1} 23:00", f"2026-03-0{day} 22:00")] for day in (4, 5, 6)),
    market="FUTURES",
)
ALWAYS = a_table(*([(f"2026-03-0{day} 00:00", f"2026-03-0{day + 1} 00:00")] for day in range(2, 8)), market="24/7")
# The weekdays of four weeks and two days, from Monday 2026-03-02 on; Friday the 13th and Monday the 16th are off.
MONTH = a_table(
    *(
        [(f"{day} 08:00", f"{day} 16:00")]
        for n in range(30)
        if (day := date(2026, 3, 2) + timedelta(days=n)).weekday() < 5 and day.day not in {13, 16}
    ),
    market="MONTH",
    known=("2026-03-01 00:00", "2026-04-01 00:00"),
)


ASIA_AND_EUROPE_CLOSE = ["04 14:30", "05 07:00", "05 14:30", "06 03:30", "06 14:30", "09 07:00", "09 14:30"]


def all_of(trigger: MarketTrigger) -> list[str]:
    return [f"{to_datetime(nominal):%d %H:%M}" for nominal in by_single_steps(trigger, 0, utc("2027-01-01"))]


@pytest.mark.parametrize(
    ("event", "minutes", "expected"),
    [
        (SessionEvent.OPEN, 0, ["05 01:00", "06 01:00", "09 05:00"]),
        (SessionEvent.OPEN, -90, ["04 23:30", "05 23:30", "09 03:30"]),
        (SessionEvent.CLOSE, -15, ["05 06:45", "06 03:15", "09 06:45"]),
        (SessionEvent.CLOSE, 30, ["05 07:30", "06 04:00", "09 07:30"]),
        (SessionEvent.BREAK_START, 0, ["05 03:30"]),
        (SessionEvent.BREAK_END, -5, ["05 04:25"]),
    ],
)
def test_before_and_after_what_happens_in_a_session(event: SessionEvent, minutes: int, expected: list[str]) -> None:
    assert all_of(MarketEvent((ASIA,), event, minutes * MINUTE_MS)) == expected


def test_an_evening_before_open_is_followed() -> None:
    assert all_of(MarketEvent((FUTURES,), SessionEvent.OPEN)) == ["03 23:00", "04 23:00", "05 23:00"]


@pytest.mark.parametrize(
    ("combine", "event", "expected"),
    [
        (
            Combine.ANY,
            SessionEvent.OPEN,
            ["04 06:00", "05 01:00", "05 06:00", "06 01:00", "06 06:00", "09 05:00", "09 06:00"],
        ),
        (Combine.ALL, SessionEvent.OPEN, ["05 06:00", "09 06:00"]),
        (Combine.ALL, SessionEvent.CLOSE, ["05 07:00", "09 07:00"]),
    ],
)
def test_several_markets(combine: Combine, event: SessionEvent, expected: list[str]) -> None:
    assert all_of(MarketEvent((ASIA, EUROPE), event, combine=combine)) == expected


def test_an_instant_that_two_markets_share_is_named_once() -> None:
    same = replace(ASIA, market="TWIN")
    both = MarketEvent((ASIA, same), SessionEvent.OPEN)
    assert all_of(both) == all_of(MarketEvent((ASIA,), SessionEvent.OPEN))


@pytest.mark.parametrize(
    ("minutes", "at_open", "at_close", "expected"),
    [
        (60, False, False, "05 02:00, 05 03:00, 05 05:00, 05 06:00, 06 02:00, 06 03:00, 09 06:00"),
        (120, True, False, "05 01:00, 05 03:00, 05 06:00, 06 01:00, 06 03:00, 09 05:00"),
        (120, False, True, "05 03:00, 05 06:00, 05 07:00, 06 03:00, 06 03:30, 09 07:00"),
        # Two and a half hours end where the break begins, which is where it ends.
        (150, False, False, "05 04:30"),
        (240, False, False, "05 06:00"),
        (600, True, False, "05 01:00, 06 01:00, 09 05:00"),
        (600, False, True, "05 07:00, 06 03:30, 09 07:00"),
    ],
)
def test_open_time_is_counted_without_breaks(
    minutes: int,
    at_open: bool,  # noqa: FBT001  # a column of the table
    at_close: bool,  # noqa: FBT001  # as above
    expected: str,
) -> None:
    trigger = WithinSession((ASIA,), minutes * MINUTE_MS, at_open=at_open, at_close=at_close)
    assert ", ".join(all_of(trigger)) == expected


def test_the_close_of_one_session_may_be_the_open_of_the_next() -> None:
    trigger = WithinSession((ALWAYS,), 12 * HOUR_MS, at_open=True, at_close=True)
    assert all_of(trigger)[:4] == ["02 00:00", "02 12:00", "03 00:00", "03 12:00"]
    assert len(all_of(trigger)) == 13
    check_laws(trigger, 0, utc("2026-04-01"), utc("2026-03-03"))


def test_every_second_of_a_long_session_comes_in_chunks() -> None:
    trigger = WithinSession((ALWAYS,), 1_000)
    found = named(trigger, utc("2026-03-02 06:00"), utc("2026-03-04 06:00"))
    # A session's own open is not named.
    assert len(found) == 2 * 86_400 - 2
    assert found[-1] == utc("2026-03-04 06:00")


@pytest.mark.parametrize(
    ("nth", "span", "expected"),
    [
        (1, SpanOfDays.WEEK, [2, 9, 17, 23, 30]),
        (-1, SpanOfDays.WEEK, [6, 12, 20, 27]),
        (5, SpanOfDays.WEEK, [6, 27]),
        (-4, SpanOfDays.WEEK, [3, 9, 17, 24]),
        (1, SpanOfDays.MONTH, [2]),
        (-1, SpanOfDays.MONTH, [31]),
        (10, SpanOfDays.MONTH, [17]),
    ],
)
def test_the_nth_trading_day(nth: int, span: SpanOfDays, expected: list[int]) -> None:
    trigger = TradingDay((MONTH,), NthDay(nth, span), SessionEvent.CLOSE, 15 * MINUTE_MS)
    assert all_of(trigger) == [f"{day:02d} 16:15" for day in expected]


def test_a_week_may_start_on_another_day() -> None:
    last = TradingDay((MONTH,), NthDay(-1, SpanOfDays.WEEK, week_starts=2), SessionEvent.OPEN)
    assert all_of(last) == ["03 08:00", "10 08:00", "17 08:00", "24 08:00", "31 08:00"]


def test_a_local_time_of_a_trading_day_follows_the_clock_of_its_zone() -> None:
    first = TradingDay((MONTH,), NthDay(1, SpanOfDays.WEEK), LocalTime(9 * 60, "Europe/Berlin"), -HOUR_MS)
    # The clocks change on the 29th.
    assert all_of(first) == ["02 07:00", "09 07:00", "17 07:00", "23 07:00", "30 06:00"]


def test_the_day_of_a_session_that_opens_the_evening_before_is_that_of_its_close() -> None:
    known = replace(FUTURES, known_from=utc("2026-03-01"))
    assert all_of(TradingDay((known,), NthDay(2, SpanOfDays.WEEK), SessionEvent.OPEN)) == ["04 23:00"]


def test_a_week_that_is_not_known_to_its_end_has_no_last_day_and_one_not_known_from_its_start_no_first() -> None:
    cut = a_table(*([(f"2026-03-{day:02d} 08:00", f"2026-03-{day:02d} 16:00")] for day in (4, 5, 9, 10)))
    assert all_of(TradingDay((cut,), NthDay(1, SpanOfDays.WEEK), SessionEvent.OPEN)) == ["09 08:00"]
    assert all_of(TradingDay((cut,), NthDay(-1, SpanOfDays.WEEK), SessionEvent.OPEN)) == ["05 08:00"]


def test_behind_the_last_known_session_there_is_nothing() -> None:
    assert MarketEvent((ASIA,), SessionEvent.CLOSE).next_after(ASIA.known_until) is None
    any_of = MarketEvent((ASIA, ALWAYS), SessionEvent.CLOSE)
    assert any_of.next_after(ALWAYS.known_until) == ASIA.known_until
    assert any_of.next_after(ASIA.known_until) is None
    assert WithinSession((ASIA,), HOUR_MS).next_after(ASIA.known_until) is None


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (lambda: MarketEvent((), SessionEvent.OPEN), "at least one calendar"),
        (lambda: MarketEvent((ASIA,), SessionEvent.OPEN, 32 * DAY_MS), "at most 2678400000 ms"),
        (lambda: MarketEvent((EUROPE,), SessionEvent.BREAK_START), r"never fires: the start of each break of EUROPE"),
        (lambda: MarketEvent((ASIA, MONTH), SessionEvent.OPEN, combine=Combine.ALL), r"never fires: ASIA\+MONTH"),
        (lambda: WithinSession((ASIA,), 999), "every 1000 ms is the most often, not 999"),
        (lambda: WithinSession((ASIA,), 5 * HOUR_MS), "never fires: every 5:00:00 of the open time of ASIA"),
        (lambda: TradingDay((MONTH,), NthDay(0, SpanOfDays.WEEK), SessionEvent.OPEN), "week is 1 to 7, or -1 to -7"),
        (lambda: TradingDay((MONTH,), NthDay(32, SpanOfDays.MONTH), SessionEvent.OPEN), "month is 1 to 31"),
        (lambda: TradingDay((MONTH,), NthDay(31, SpanOfDays.MONTH), SessionEvent.OPEN), "never fires"),
        (lambda: TradingDay((MONTH,), NthDay(1, SpanOfDays.WEEK, 7), SessionEvent.OPEN), "weeks start on 0"),
        (lambda: TradingDay((MONTH,), NthDay(1, SpanOfDays.WEEK), LocalTime(1440, "UTC")), "minute 0 to 1439"),
        (lambda: TradingDay((MONTH,), NthDay(1, SpanOfDays.WEEK), LocalTime(1, "Mars/X")), "no time zone 'Mars/X'"),
    ],
)  # fmt: skip
def test_what_can_never_fire_is_refused_by_name(build: Callable[[], MarketTrigger], problem: str) -> None:
    with pytest.raises(TriggerError, match=problem):
        build()


@pytest.mark.parametrize(
    ("trigger", "text"),
    [
        (
            MarketEvent((ASIA,), SessionEvent.CLOSE, -15 * MINUTE_MS),
            f"0:15:00 before the close of ASIA ({ASIA.digest})",
        ),
        (
            WithinSession((ASIA,), HOUR_MS, at_open=True),
            f"every 1:00:00, and at the open, of the open time of ASIA ({ASIA.digest})",
        ),
        (
            TradingDay((MONTH,), NthDay(-1, SpanOfDays.MONTH), LocalTime(485, "Asia/Tokyo")),
            f"08:05 Asia/Tokyo of trading day -1 of the month of MONTH ({MONTH.digest})",
        ),
        (
            TradingDay((MONTH,), NthDay(2, SpanOfDays.WEEK, 6), SessionEvent.OPEN, MINUTE_MS),
            f"0:01:00 after the open of trading day 2 of the week from Sunday of MONTH ({MONTH.digest})",
        ),
        (
            MarketEvent((ASIA, EUROPE), SessionEvent.OPEN, combine=Combine.ALL),
            f"the open of all of ASIA ({ASIA.digest}), EUROPE ({EUROPE.digest})",
        ),
    ],
)
def test_a_trigger_says_what_it_names_and_by_which_calendar(trigger: MarketTrigger, text: str) -> None:
    assert trigger.describe() == text


def test_triggers_are_values() -> None:
    trigger = MarketEvent((ASIA, EUROPE), SessionEvent.OPEN)
    assert trigger == MarketEvent((replace(ASIA), EUROPE), SessionEvent.OPEN)
    assert len({trigger, MarketEvent((ASIA, EUROPE), SessionEvent.OPEN), replace(trigger, combine=Combine.ALL)}) == 2
    assert pickle.loads(pickle.dumps(trigger)) == trigger  # noqa: S301  # our own bytes


@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_process_names_and_says_the_same(seed: str) -> None:
    program = (
        "from tests.scheduling.triggers.test_market import *\n"
        "trigger = WithinSession((ASIA, EUROPE), HOUR_MS, at_close=True)\n"
        "print(trigger.describe(), all_of(trigger))"
    )
    environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True, text=True)
    trigger = WithinSession((ASIA, EUROPE), HOUR_MS, at_close=True)
    assert told.stdout.strip() == f"{trigger.describe()} {all_of(trigger)}"


def test_instants_before_1970_are_not_named() -> None:
    early = a_table([("1970-01-01 01:00", "1970-01-01 02:00")], [("1970-01-02 01:00", "1970-01-02 02:00")])
    trigger = MarketEvent((early,), SessionEvent.OPEN, -2 * HOUR_MS)
    assert named(trigger, -(10**12), 10**12) == [to_instant(datetime(1970, 1, 1, 23, tzinfo=UTC))]
    assert trigger.next_after(-(10**12)) == to_instant(datetime(1970, 1, 1, 23, tzinfo=UTC))
