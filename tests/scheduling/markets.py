"""Calendars made by hand for the tests of the engine, and by Hypothesis."""

from array import array
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import strategies as st

from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS, to_instant
from packages.scheduling.sessions import SessionTable

Period = tuple[int, int]


def utc(text: str) -> int:
    """The instant of `2026-03-02 14:30`."""
    return to_instant(datetime.fromisoformat(text).replace(tzinfo=UTC))


def a_table(
    *sessions: list[tuple[str, str]], market: str = "TEST", known: tuple[str, str] | None = None
) -> SessionTable:
    """A calendar of sessions, each a list of (open, close) in UTC; a session has the date of its close."""
    periods = [[(utc(start), utc(end)) for start, end in session] for session in sessions]
    return table_of(periods, market=market, known=None if known is None else (utc(known[0]), utc(known[1])))


def table_of(sessions: list[list[Period]], *, market: str = "TEST", known: Period | None = None) -> SessionTable:
    """A calendar of sessions, each a list of (open, close) in instants."""
    flat = [period for session in sessions for period in session]
    firsts = [0]
    for session in sessions[:-1]:
        firsts.append(firsts[-1] + len(session))
    known_from, known_until = known or (flat[0][0], flat[-1][1])
    return SessionTable(
        market=market,
        period_opens=array("q", [period[0] for period in flat]),
        period_closes=array("q", [period[1] for period in flat]),
        first_period=array("q", firsts),
        labels=array("q", [(session[-1][1] - 1) // DAY_MS for session in sessions]),
        known_from=known_from,
        known_until=known_until,
    )


def sessions_of(table: SessionTable) -> list[list[Period]]:
    """The sessions as lists of periods, read back in the simplest way there is."""
    bounds = [*table.first_period, len(table.period_opens)]
    periods = list(zip(table.period_opens, table.period_closes, strict=True))
    return [periods[start:end] for start, end in pairwise(bounds)]


@st.composite
def tables(draw: st.DrawFn, market: str = "TEST") -> SessionTable:
    """A week or two of sessions from 2026-03-02 on: with breaks, evening-before opens, days off, touching ones."""
    day, sessions = 20_514, []
    around_the_clock = draw(st.booleans())
    for _ in range(draw(st.integers(1, 8))):
        day += draw(st.sampled_from([1, 1, 1, 2, 3]))
        midnight = day * DAY_MS
        if around_the_clock and draw(st.booleans()):
            sessions.append([(midnight, midnight + DAY_MS)])
            continue
        minutes = draw(st.lists(st.integers(0, 107), min_size=2, max_size=6, unique=True).map(sorted))
        edges = [midnight + minute * 10 * MINUTE_MS for minute in minutes[: len(minutes) // 2 * 2]]
        if draw(st.booleans()) and not around_the_clock and edges[-1] > midnight + 7 * HOUR_MS:
            edges = [edge - 6 * HOUR_MS for edge in edges]
        sessions.append(list(zip(edges[::2], edges[1::2], strict=True)))
    before, after = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    known = sessions[0][0][0] - before * HOUR_MS, sessions[-1][-1][1] + after * HOUR_MS
    return table_of(sessions, market=market, known=known)


def instants_near(table: SessionTable) -> st.SearchStrategy[int]:
    """Instants around a calendar, and often at an edge of it."""
    edges = [*table.period_opens, *table.period_closes, table.known_from, table.known_until]
    near = st.builds(lambda edge, step: edge + step, st.sampled_from(edges), st.integers(-1, 1))
    return near | st.integers(min(edges) - 2 * DAY_MS, max(edges) + 2 * DAY_MS)
