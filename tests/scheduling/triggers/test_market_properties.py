"""The instants of market triggers beside a walk through the sessions, on calendars that Hypothesis makes up."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.instants import DAY_MS, EPOCH, MINUTE_MS, to_instant
from packages.scheduling.joint_sessions import joint_sessions
from packages.scheduling.session_instants import LocalTime, NthDay, SessionEvent, SpanOfDays
from packages.scheduling.sessions import SessionError, SessionTable
from packages.scheduling.triggers.base import TriggerError
from packages.scheduling.triggers.market import Combine, MarketEvent, MarketTrigger, TradingDay, WithinSession
from tests.scheduling.markets import sessions_of, tables, utc
from tests.scheduling.triggers.laws import check_laws, named


def laws_hold(data: st.DataObject, trigger: MarketTrigger) -> list[int]:
    low, high = utc("2026-02-20"), utc("2026-04-20")
    start, middle, end = sorted(data.draw(st.tuples(*[st.integers(low, high)] * 3)))
    check_laws(trigger, start, end, middle)
    check_laws(trigger, -1, utc("2199-12-31"), middle)
    return named(trigger, -1, utc("2199-12-31"))


def effective(calendars: tuple[SessionTable, ...], combine: Combine) -> tuple[SessionTable, ...] | None:
    if combine is Combine.ANY:
        return calendars
    try:
        return (joint_sessions(calendars),)
    except SessionError:
        return None


CALENDARS = st.tuples(tables(market="A"), tables(market="B")) | st.tuples(tables(market="A"))


@given(st.data(), CALENDARS, st.sampled_from(SessionEvent), st.integers(-200, 200), st.sampled_from(Combine))
@settings(max_examples=120, deadline=None)
def test_events_are_where_the_sessions_have_them(
    data: st.DataObject, calendars: tuple[SessionTable, ...], event: SessionEvent, minutes: int, combine: Combine
) -> None:
    expected = set()
    for table in effective(calendars, combine) or ():
        for session in sessions_of(table):
            starts, ends = [period[0] for period in session], [period[1] for period in session]
            of_event = {
                SessionEvent.OPEN: starts[:1],
                SessionEvent.CLOSE: ends[-1:],
                SessionEvent.BREAK_START: ends[:-1],
                SessionEvent.BREAK_END: starts[1:],
            }
            expected |= {instant + minutes * MINUTE_MS for instant in of_event[event]}
    if not expected:
        with pytest.raises(TriggerError, match="never fires"):
            MarketEvent(calendars, event, minutes * MINUTE_MS, combine)
        return
    trigger = MarketEvent(calendars, event, minutes * MINUTE_MS, combine)
    assert laws_hold(data, trigger) == sorted(expected)


@given(st.data(), CALENDARS, st.integers(1, 150), st.booleans(), st.booleans(), st.sampled_from(Combine))
@settings(max_examples=120, deadline=None)
def test_open_time_is_counted_minute_by_minute(  # each is one choice
    data: st.DataObject,
    calendars: tuple[SessionTable, ...],
    tens: int,
    at_open: bool,  # noqa: FBT001  # drawn by Hypothesis
    at_close: bool,  # noqa: FBT001  # as above
    combine: Combine,
) -> None:
    expected = set()
    step = 10 * MINUTE_MS
    for table in effective(calendars, combine) or ():
        for session in sessions_of(table):
            ticks = [at for start, end in session for at in range(start, end, step)]
            expected |= set(ticks[0 if at_open else tens :: tens])
            expected |= {session[-1][1]} if at_close else set()
    if not expected:
        with pytest.raises(TriggerError, match="never fires"):
            WithinSession(calendars, tens * step, at_open=at_open, at_close=at_close, combine=combine)
        return
    trigger = WithinSession(calendars, tens * step, at_open=at_open, at_close=at_close, combine=combine)
    assert laws_hold(data, trigger) == sorted(expected)


@given(st.data(), tables(), st.sampled_from([-2, -1, 1, 2, 3]), st.integers(0, 6), st.integers(0, 1439))
@settings(max_examples=120, deadline=None)
def test_the_nth_day_of_a_week_is_the_nth_of_its_sessions(
    data: st.DataObject, table: SessionTable, nth: int, week_starts: int, minute: int
) -> None:
    expected = []
    first_known, last_known = table.known_from // DAY_MS, (table.known_until - 1) // DAY_MS
    for first in range(min(table.labels) - 7, max(table.labels) + 1):
        days = [label for label in table.labels if first <= label < first + 7]
        is_known = first_known <= first if nth > 0 else first + 6 <= last_known
        if (EPOCH + timedelta(days=first)).weekday() == week_starts and is_known and len(days) >= abs(nth):
            expected.append(days[nth - 1 if nth > 0 else nth])
    wall = time(minute // 60, minute % 60, tzinfo=ZoneInfo("America/New_York"))
    instants = [to_instant(datetime.combine(EPOCH + timedelta(days=day), wall)) for day in expected]
    day, at = NthDay(nth, SpanOfDays.WEEK, week_starts), LocalTime(minute, "America/New_York")
    if not instants:
        with pytest.raises(TriggerError, match="never fires"):
            TradingDay((table,), day, at)
        return
    assert laws_hold(data, TradingDay((table,), day, at)) == instants
