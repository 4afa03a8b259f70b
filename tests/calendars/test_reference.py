"""Compiled calendars, and triggers on them, beside what the exchanges published."""

import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from packages.infra.calendars.compile import LAST_DAY
from packages.scheduling.instants import EPOCH, HOUR_MS, MINUTE_MS, to_datetime, to_instant
from packages.scheduling.session_instants import LocalTime, NthDay, SessionEvent, SpanOfDays
from packages.scheduling.sessions import SessionTable
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.triggers.market import Combine, MarketEvent, TradingDay, WithinSession

CASES = tomllib.loads((Path(__file__).parent / "data" / "sessions.toml").read_text(encoding="utf-8"))["case"]


def local(day: date, text: str, zone: str) -> int:
    """The instant of `09:30`, or of `-1 17:00` on the day before."""
    shift, _, clock = text.rpartition(" ")
    hour, minute = map(int, clock.split(":"))
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)) + timedelta(days=int(shift or 0))
    return to_instant(midnight + timedelta(hours=hour, minutes=minute))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['market']} {case['date']}: {case['why']}")
def test_a_session_is_as_the_exchange_published_it(case: dict[str, Any], calendars: Mapping[str, SessionTable]) -> None:
    table, day = calendars[case["market"]], case["date"]
    session = table.session_of_day(day.toordinal() - EPOCH.toordinal())
    expected = []
    for hours in case["hours"]:
        start, _, end = hours.rpartition("-")
        expected.append((local(day, start, case["zone"]), local(day, end, case["zone"])))
    if not expected:
        assert session is None
        noon = local(day, "12:00", case["zone"])
        assert not table.is_open(noon)
        assert table.covers(noon)
        return
    assert session is not None
    periods = range(table.first_period[session], table.end_period(session))
    assert [(table.period_opens[p], table.period_closes[p]) for p in periods] == expected
    for start, end in expected:
        assert table.is_open(start)
        assert table.is_open(end - 1)
        assert table.is_open(start - 1) is table.is_open(end) is (case["market"] == "24/7")


def first(trigger: Trigger, after: str, count: int, zone: str) -> list[str]:
    """The first nominals in local time."""

    def walk() -> Any:  # noqa: ANN401  # an iterator of text
        at = trigger.next_after(to_instant(datetime.fromisoformat(after).replace(tzinfo=UTC)))
        while at is not None:
            yield f"{to_datetime(at).astimezone(ZoneInfo(zone)):%m-%d %H:%M}"
            at = trigger.next_after(at)

    return list(islice(walk(), count))


def test_a_quarter_of_an_hour_before_the_close_follows_a_half_day(calendars: Mapping[str, SessionTable]) -> None:
    trigger = MarketEvent((calendars["XNYS"],), SessionEvent.CLOSE, -15 * MINUTE_MS)
    expected = ["11-26 15:45", "11-28 12:45", "12-01 15:45"]
    assert first(trigger, "2025-11-26", 3, "America/New_York") == expected


def test_the_open_of_new_york_moves_in_london_while_the_clocks_are_apart(calendars: Mapping[str, SessionTable]) -> None:
    trigger = MarketEvent((calendars["XNYS"],), SessionEvent.OPEN)
    assert first(trigger, "2026-03-06", 2, "Europe/London") == ["03-06 14:30", "03-09 13:30"]
    assert first(trigger, "2026-03-27", 2, "Europe/London") == ["03-27 13:30", "03-30 14:30"]


def test_new_york_and_london_together(calendars: Mapping[str, SessionTable]) -> None:
    both = (calendars["XLON"], calendars["XNYS"])
    opens = MarketEvent(both, SessionEvent.OPEN, combine=Combine.ALL)
    # London trades on Thanksgiving, New York does not, and closes early the day after.
    assert first(opens, "2025-11-26", 2, "UTC") == ["11-26 14:30", "11-28 14:30"]
    closes = MarketEvent(both, SessionEvent.CLOSE, combine=Combine.ALL)
    assert first(closes, "2026-03-06", 2, "UTC") == ["03-06 16:30", "03-09 16:30"]


def test_each_hour_in_tokyo_does_not_count_lunch(calendars: Mapping[str, SessionTable]) -> None:
    trigger = WithinSession((calendars["XTKS"],), HOUR_MS, at_close=True)
    expected = ["11-05 10:00", "11-05 11:00", "11-05 13:00", "11-05 14:00", "11-05 15:00", "11-05 15:30"]
    assert first(trigger, "2024-11-04 12:00", 6, "Asia/Tokyo") == expected


def test_lunch_in_hong_kong_and_the_days_it_did_not_trade(calendars: Mapping[str, SessionTable]) -> None:
    trigger = MarketEvent((calendars["XHKG"],), SessionEvent.BREAK_START)
    assert first(trigger, "2023-08-31", 2, "Asia/Hong_Kong") == ["08-31 12:00", "09-04 12:00"]
    opens = MarketEvent((calendars["XHKG"],), SessionEvent.OPEN, 5 * MINUTE_MS)
    assert first(opens, "2023-10-06", 3, "Asia/Hong_Kong") == ["10-06 09:35", "10-09 14:05", "10-10 09:35"]


def test_before_an_open_of_the_evening_before(calendars: Mapping[str, SessionTable]) -> None:
    trigger = MarketEvent((calendars["CMES"],), SessionEvent.OPEN, -30 * MINUTE_MS)
    assert first(trigger, "2025-11-28 18:00", 2, "America/Chicago") == ["11-30 16:30", "12-01 16:30"]


def test_the_last_trading_day_of_months_and_weeks(calendars: Mapping[str, SessionTable]) -> None:
    month = TradingDay((calendars["XNYS"],), NthDay(-1, SpanOfDays.MONTH), SessionEvent.CLOSE, 30 * MINUTE_MS)
    assert first(month, "2025-10-01", 3, "America/New_York") == ["10-31 16:30", "11-28 13:30", "12-31 16:30"]
    # Good Friday of 2026 is the third of April.
    week = TradingDay((calendars["XNYS"],), NthDay(-1, SpanOfDays.WEEK), LocalTime(18 * 60, "America/New_York"))
    assert first(week, "2026-03-28", 2, "America/New_York") == ["04-02 18:00", "04-10 18:00"]


def test_the_last_trading_day_of_a_month_that_ends_with_the_calendar(calendars: Mapping[str, SessionTable]) -> None:
    shanghai = calendars["XSHG"]
    # Its holidays are published for one year at a time.
    end = to_datetime(shanghai.known_until)
    assert (end.month, end.day) == (12, 31)
    month = TradingDay((shanghai,), NthDay(-1, SpanOfDays.MONTH), SessionEvent.OPEN)
    assert first(month, f"{end.year}-12-01", 3, "Asia/Shanghai") == ["12-31 09:30"]


def test_calendars_reach_from_2000_to_the_last_session_that_is_known(calendars: Mapping[str, SessionTable]) -> None:
    for table in calendars.values():
        assert to_datetime(table.session_open(0)).year == 2000
        assert table.known_until == table.session_close(len(table.labels) - 1)
    assert to_datetime(calendars["XNYS"].known_until).year == LAST_DAY.year
