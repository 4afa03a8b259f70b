"""When a window is open: spans of local time, and being outside the sessions of markets.

A span is a matter of the wall clock: an instant is in it when the local time then is. So where clocks are set forward
a span loses what is skipped, and where they are set back it has the repeated part twice. A session reaches from its
open to its close, breaks included. What a fire does outside of its window is not decided here.
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import chain
from typing import Final

from packages.scheduling.instants import DAY_MS, LAST_INSTANT, MINUTE_MS, NEVER_ENDS
from packages.scheduling.policies import UnknownDates, Windows, WindowSpan
from packages.scheduling.sessions import SessionTable
from packages.scheduling.zones import BLOCK_MS, periods_of_block

# A window that does not open within these days is as good as none: to the end of the fifteenth day after the UTC one.
SEARCH_DAYS: Final = 15
# 1970-01-01 was a Thursday.
_WEEKDAY_OF_DAY_0: Final = 3

Markets = Mapping[str, SessionTable]
Part = tuple[int, int]


def search_ends(at: int) -> int:
    """Up to when (exclusive) a window is looked for; the same for each instant of one day in UTC."""
    return (at // DAY_MS + 1 + SEARCH_DAYS) * DAY_MS


def inside_until(windows: Windows, at: int, markets: Markets) -> int | None:
    """Up to when (exclusive) the window that is open at `at` stays so for certain; None if none is open.

    It may be earlier than the window's own end, where the calendar of a market begins or ends.
    """
    until = _span_until(windows, at)
    for market in windows.outside_sessions_of:
        if until is None or _in_session_until(windows, market, at, markets) is not None:
            return None
        until = min(until, _out_of_session_until(market, at, markets))
    return until


def next_inside(windows: Windows, at: int, markets: Markets) -> int | None:
    """The first instant from `at` on at which a window is open; None if there is none before `search_ends(at)`."""
    limit = search_ends(at)
    instant: int | None = at
    while instant is not None and instant < limit:
        instant = _span_from(windows, instant, limit)
        if instant is None:
            return None
        ends = [_in_session_until(windows, market, instant, markets) for market in windows.outside_sessions_of]
        latest = max((end for end in ends if end is not None), default=None)
        if latest is None:
            return instant
        instant = latest
    return None


def unknown_markets(windows: Windows, at: int, markets: Markets) -> tuple[str, ...]:
    """The markets to stay outside of whose calendar is not there, or does not know the instant."""
    return tuple(market for market in windows.outside_sessions_of if not _is_known(market, at, markets))


def spans_of_day(zone: str, spans: tuple[WindowSpan, ...], day: int) -> tuple[Part, ...]:
    """The parts (from, until) of a day in UTC, counted from 1970-01-01, that are in a span; sorted and not touching.

    Raises:
        UnknownZoneError: there is no such zone.
    """
    return _spans_of_day(zone, spans, day)


def calendars_change(windows: Windows, at: int, markets: Markets) -> int:
    """The first instant later than `at` at which a calendar in use begins or ends to know."""
    tables = [markets[market] for market in windows.outside_sessions_of if market in markets]
    borders = chain.from_iterable((table.known_from, table.known_until) for table in tables)
    return min((border for border in borders if border > at), default=NEVER_ENDS)


@lru_cache(maxsize=8192)
def _spans_of_day(zone: str, spans: tuple[WindowSpan, ...], day: int) -> tuple[Part, ...]:
    first, end = day * DAY_MS, (day + 1) * DAY_MS
    parts: list[Part] = []
    for period in periods_of_block(zone, min(max(first, 0), LAST_INSTANT) // BLOCK_MS):
        # In local time, where spans are plain intervals.
        low, high = max(first, period.start) + period.offset_ms, min(end, period.end) + period.offset_ms
        if low >= high:
            continue
        local = chain.from_iterable(_local_parts(spans, d) for d in range(low // DAY_MS - 1, high // DAY_MS + 1))
        clipped = ((max(start, low), min(until, high)) for start, until in local)
        parts += [(a - period.offset_ms, b - period.offset_ms) for a, b in clipped if a < b]
    return _joined(parts)


def _local_parts(spans: tuple[WindowSpan, ...], day: int) -> list[Part]:
    weekday = (day + _WEEKDAY_OF_DAY_0) % 7
    midnight = day * DAY_MS
    parts = []
    for span in spans:
        if weekday in span.days:
            until = midnight + span.end_minute * MINUTE_MS
            crosses = span.end_minute <= span.start_minute
            parts.append((midnight + span.start_minute * MINUTE_MS, until + DAY_MS if crosses else until))
    return parts


def _joined(parts: list[Part]) -> tuple[Part, ...]:
    joined: list[Part] = []
    for start, until in sorted(parts):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(until, joined[-1][1])
        else:
            joined.append((start, until))
    return tuple(joined)


def _span_from(windows: Windows, at: int, limit: int) -> int | None:
    if not windows.spans:
        return at
    for day in range(at // DAY_MS, -(-limit // DAY_MS)):
        for start, until in _spans_of_day(windows.zone, windows.spans, day):
            if at < until and start < limit:
                return max(at, start)
    return None


def _span_until(windows: Windows, at: int) -> int | None:
    if not windows.spans:
        return NEVER_ENDS
    ends = None
    for day in range(at // DAY_MS, at // DAY_MS + SEARCH_DAYS):
        parts = _spans_of_day(windows.zone, windows.spans, day)
        reached = at if ends is None else ends
        ends = next((until for start, until in parts if start <= reached < until), ends)
        if ends is None or ends < (day + 1) * DAY_MS:
            return ends
    # Spans repeat with the week: what lasts this long never ends.
    return NEVER_ENDS


def _is_known(market: str, at: int, markets: Markets) -> bool:
    table = markets.get(market)
    return table is not None and table.covers(at)


def _in_session_until(windows: Windows, market: str, at: int, markets: Markets) -> int | None:
    """When the session at `at` ends, followed by others without a pause as far as the search goes; None outside."""
    table = markets.get(market)
    if table is None or not table.covers(at):
        if windows.unknown is UnknownDates.FAIL_OPEN:
            return None
        return table.known_from if table is not None and at < table.known_from else NEVER_ENDS
    session = table.session_at(at)
    if session is None:
        return None
    limit = search_ends(at)
    until = table.session_close(session)
    while until < limit and session + 1 < len(table.labels) and table.session_open(session + 1) == until:
        session += 1
        until = table.session_close(session)
    return until


def _out_of_session_until(market: str, at: int, markets: Markets) -> int:
    """For how long a market that is not in session, or not known, stays so."""
    table = markets.get(market)
    if table is None or at >= table.known_until:
        return NEVER_ENDS
    if at < table.known_from:
        return table.known_from
    following = table.last_session_opened(at) + 1
    return table.session_open(following) if following < len(table.labels) else table.known_until
