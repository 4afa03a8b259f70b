"""Makes a calendar of `exchange_calendars` into a table of sessions. Run as a program, so that beat stays light.

    python -m packages.infra.calendars.compile --directory DIR [--overrides FILE]... MARKET...

It writes one file for each market and prints one line of JSON: by market, null when it is done, else what is wrong.
This is the one module that imports `exchange_calendars` and with it pandas.
"""

import argparse
import json
import sys
import warnings
from array import array
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from packages.infra.calendars.errors import CalendarError, CompileError, OverrideError, UnknownMarketError
from packages.infra.calendars.files import CalendarKey, StoredCalendar, write_calendar
from packages.infra.calendars.overrides import MarketOverrides, Overrides, read_overrides
from packages.infra.calendars.source import source_version
from packages.scheduling.instants import DAY_MS, EPOCH, to_datetime, to_instant
from packages.scheduling.sessions import SessionTable

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

FIRST_DAY: Final = date(2000, 1, 1)
# Calendars that follow rules have no end of their own. A fixed one, so that each build of one version is the same.
LAST_DAY: Final = date(2100, 12, 31)
_NANOS_PER_MS: Final = 1_000_000

Period = tuple[int, int]


def compile_market(market: str, overrides: Overrides) -> SessionTable:
    """The sessions of a market by any of its names, from 2000 to the last that the package knows.

    Raises:
        UnknownMarketError: the package has no calendar of that name.
        OverrideError: the overrides speak of a session that there is not.
        CompileError: the package cannot make the calendar.
    """
    import exchange_calendars

    names = exchange_calendars.get_calendar_names(include_aliases=True)
    if market not in names:
        raise UnknownMarketError(market, names)
    name = exchange_calendars.resolve_alias(market)
    with warnings.catch_warnings():
        # The package uses names that its pandas will drop some day. Nobody who runs this can do anything about it.
        warnings.simplefilter("ignore")
        calendar = _calendar(name)
        sessions = _sessions(calendar)
    changed = overrides.by_market.get(name, MarketOverrides())
    return _table(name, _overridden(name, sessions, changed, ZoneInfo(str(calendar.tz))))


def check_names(overrides: Overrides) -> None:
    """Refuse overrides of a market that the package has no calendar of, by its own name.

    Raises:
        UnknownMarketError: there is such a market.
    """
    import exchange_calendars

    names = exchange_calendars.get_calendar_names(include_aliases=False)
    for market in overrides.by_market:
        if market not in names:
            raise UnknownMarketError(market, names)


def _calendar(name: str) -> "ExchangeCalendar":
    import pandas as pd
    from exchange_calendars.calendar_utils import global_calendar_dispatcher

    try:
        factory = global_calendar_dispatcher._calendar_factories[name]  # noqa: SLF001  # bounds have no other door
        first, last = factory.bound_min(), factory.bound_max()
        start = pd.Timestamp(FIRST_DAY) if first is None else max(pd.Timestamp(FIRST_DAY), first)
        end = pd.Timestamp(LAST_DAY) if last is None else min(pd.Timestamp(LAST_DAY), last)
        return factory(start=start, end=end)
    except Exception as error:
        # Whatever its rules stumble over. A message can hold thousands of dates.
        problem = f"the calendar package cannot make it ({type(error).__name__}: {str(error)[:200]})"
        raise CompileError(name, problem) from error


def _sessions(calendar: "ExchangeCalendar") -> dict[int, list[Period]]:
    nothing = -(2**63)
    rows = zip(
        calendar.sessions_nanos.tolist(),
        calendar.opens_nanos.tolist(),
        calendar.break_starts_nanos.tolist(),
        calendar.break_ends_nanos.tolist(),
        calendar.closes_nanos.tolist(),
        strict=True,
    )
    sessions = {}
    for label, start, break_start, break_end, end in rows:
        edges = [start, end] if break_start == nothing else [start, break_start, break_end, end]
        instants = [edge // _NANOS_PER_MS for edge in edges]
        sessions[label // _NANOS_PER_MS // DAY_MS] = list(zip(instants[::2], instants[1::2], strict=True))
    return sessions


def _overridden(
    name: str, sessions: dict[int, list[Period]], overrides: MarketOverrides, zone: ZoneInfo
) -> dict[int, list[Period]]:
    for day in overrides.closed:
        sessions.pop(_number(day), None)
    for key, hours in (("open", overrides.opens), ("close", overrides.closes)):
        for day, minute in hours:
            if _number(day) not in sessions:
                raise OverrideError(None, f"[{name}] {key}", f"there is no session on {day}")
            moment = _local(day, minute, zone)
            keep = _opening_at if key == "open" else _closing_at
            sessions[_number(day)] = keep(sessions[_number(day)], moment)
            if not sessions[_number(day)]:
                raise OverrideError(None, f"[{name}] {key}", f"nothing is left of the session of {day}")
    if overrides.breaks:
        sessions = {day: _with_breaks(periods, overrides, zone) for day, periods in sessions.items()}
    last = LAST_DAY if overrides.known_until is None else overrides.known_until
    return {day: periods for day, periods in sessions.items() if periods and day <= _number(last)}


def _opening_at(periods: list[Period], moment: int) -> list[Period]:
    kept = [period for period in periods if period[1] > moment]
    return [(moment, kept[0][1]), *kept[1:]] if kept else []


def _closing_at(periods: list[Period], moment: int) -> list[Period]:
    kept = [period for period in periods if period[0] < moment]
    return [*kept[:-1], (kept[-1][0], moment)] if kept else []


def _with_breaks(periods: list[Period], overrides: MarketOverrides, zone: ZoneInfo) -> list[Period]:
    day = to_datetime(periods[0][0]).astimezone(zone).date()
    last = to_datetime(periods[-1][1]).astimezone(zone).date()
    while day <= last:
        for extra in overrides.breaks:
            if extra.applies_on(day):
                start, end = _local(day, extra.start_minute, zone), _local(day, extra.end_minute, zone)
                parts = chain.from_iterable(((a, min(b, start)), (max(a, end), b)) for a, b in periods)
                periods = [(a, b) for a, b in parts if a < b]
        day += timedelta(days=1)
    return periods


def _local(day: date, minute: int, zone: ZoneInfo) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return to_instant(midnight + timedelta(minutes=minute))


def _number(day: date) -> int:
    return day.toordinal() - EPOCH.toordinal()


def _table(name: str, sessions: dict[int, list[Period]]) -> SessionTable:
    periods = list(chain.from_iterable(sessions.values()))
    if not periods:
        raise CompileError(name, "it has no session")
    first_period = array("q")
    count = 0
    for own in sessions.values():
        first_period.append(count)
        count += len(own)
    return SessionTable(
        market=name,
        period_opens=array("q", [period[0] for period in periods]),
        period_closes=array("q", [period[1] for period in periods]),
        first_period=first_period,
        labels=array("q", sessions),
        known_from=periods[0][0],
        known_until=periods[-1][1],
    )


def main(arguments: list[str]) -> None:
    """Compile, write, report. The report is the only thing on standard output."""
    parser = argparse.ArgumentParser(prog="python -m packages.infra.calendars.compile")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--overrides", type=Path, action="append", default=[])
    parser.add_argument("markets", nargs="+")
    given = parser.parse_args(arguments)
    overrides = read_overrides(given.overrides)
    source = source_version()
    report: dict[str, dict[str, str | list[str]] | None] = {}
    for market in given.markets:
        try:
            check_names(overrides)
            stored = StoredCalendar(compile_market(market, overrides), datetime.now(UTC).date())
            write_calendar(given.directory, CalendarKey(market, source, overrides.digest), stored)
            report[market] = None
        except (CalendarError, OSError) as error:
            report[market] = {"kind": type(error).__name__, "problem": str(error)}
    print(json.dumps(report))  # noqa: T201  # the report of a program to the one that started it


if __name__ == "__main__":
    main(sys.argv[1:])
