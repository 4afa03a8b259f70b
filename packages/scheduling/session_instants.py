"""Which instants of a calendar a market trigger starts from, found once for each calendar and kept.

Nothing here knows of offsets or of what is asked after.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import chain, groupby
from zoneinfo import ZoneInfo

from packages.scheduling.instants import DAY_MS, EPOCH, to_instant
from packages.scheduling.sessions import SessionTable


class SessionEvent(StrEnum):
    """What happens in a session. The last two happen once for each break that it has."""

    OPEN = "open"
    CLOSE = "close"
    BREAK_START = "break_start"
    BREAK_END = "break_end"


class SpanOfDays(StrEnum):
    """What trading days are counted in."""

    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class LocalTime:
    """A minute of the local day, 0 to 1439, in a zone.

    One that the clock skips is moved by the length of the gap; of one that comes twice the first is meant.
    """

    minute: int
    zone: str


@dataclass(frozen=True, slots=True)
class NthDay:
    """The nth trading day of each week or month: 1 is the first, -1 the last. Weeks start on `week_starts`, 0: Monday.

    A week or month with fewer has none. One that the calendar does not know from its first day on (n above 0), or to
    its last day (n below 0), has none either.
    """

    nth: int
    span: SpanOfDays
    week_starts: int = 0


@lru_cache(maxsize=256)
def event_instants(table: SessionTable, event: SessionEvent) -> "array[int]":
    """Every instant of an event, sorted; empty for breaks of a market that has none. Not to be written to."""
    return _instants(table, event, range(len(table.labels)))


@lru_cache(maxsize=256)
def nth_day_instants(table: SessionTable, day: NthDay, at: SessionEvent | LocalTime) -> "array[int]":
    """The instant `at` of each nth trading day, sorted. Not to be written to."""
    sessions = _nth_sessions(table, day)
    if isinstance(at, SessionEvent):
        return _instants(table, at, sessions)
    return array("q", sorted({_at_local_time(table.labels[session], at) for session in sessions}))


def _instants(table: SessionTable, event: SessionEvent, sessions: Iterable[int]) -> "array[int]":
    match event:
        case SessionEvent.OPEN:
            return array("q", map(table.session_open, sessions))
        case SessionEvent.CLOSE:
            return array("q", map(table.session_close, sessions))
        case SessionEvent.BREAK_START:
            breaks = (range(table.first_period[s], table.end_period(s) - 1) for s in sessions)
            return array("q", [table.period_closes[period] for period in chain.from_iterable(breaks)])
        case SessionEvent.BREAK_END:
            breaks = (range(table.first_period[s] + 1, table.end_period(s)) for s in sessions)
            return array("q", [table.period_opens[period] for period in chain.from_iterable(breaks)])


def _nth_sessions(table: SessionTable, day: NthDay) -> list[int]:
    first_known, last_known = table.known_from // DAY_MS, (table.known_until - 1) // DAY_MS
    chosen = []
    for _, members in groupby(range(len(table.labels)), lambda session: _span_of(table.labels[session], day)[0]):
        sessions = list(members)
        first, last = _span_of(table.labels[sessions[0]], day)
        is_known = first_known <= first if day.nth > 0 else last <= last_known
        if is_known and len(sessions) >= abs(day.nth):
            chosen.append(sessions[day.nth - 1 if day.nth > 0 else day.nth])
    return chosen


def _span_of(label: int, day: NthDay) -> tuple[int, int]:
    """The first and the last day of the week or month that a date lies in."""
    if day.span is SpanOfDays.WEEK:
        # 1970-01-01 was a Thursday, day 3 of a week from Monday.
        first = label - (label + 3 - day.week_starts) % 7
        return first, first + 6
    moment = date.fromordinal(label + EPOCH.toordinal())
    start = moment.replace(day=1)
    following = (start + timedelta(days=31)).replace(day=1)
    return start.toordinal() - EPOCH.toordinal(), following.toordinal() - 1 - EPOCH.toordinal()


def _at_local_time(label: int, at: LocalTime) -> int:
    day = date.fromordinal(label + EPOCH.toordinal())
    local = datetime(day.year, day.month, day.day, at.minute // 60, at.minute % 60, tzinfo=ZoneInfo(at.zone))
    return to_instant(local)
