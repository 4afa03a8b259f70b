"""The calendars of the markets in use: read from files, compiled when there is none, compiled anew before they end.

What a calendar cannot be made for is told by its absence from the mapping, and in the log; each policy says what it
does then. Only a name that no calendar has, and overrides that contradict themselves, are errors at start-up.

Reading a file imports neither pandas nor exchange_calendars, nor what is for compiling only. That is done by a process
of its own: at start-up it is waited for (about a second, once for each version of the package), later it never is.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from packages.infra.calendars.errors import RefusedError
from packages.infra.calendars.files import CalendarKey, StoredCalendar, read_calendar
from packages.infra.calendars.override_files import overrides_digest
from packages.infra.calendars.source import source_version
from packages.scheduling.instants import to_datetime, to_instant
from packages.scheduling.sessions import SessionTable

if TYPE_CHECKING:
    from packages.infra.calendars.compiling import CompileProcess, Failure

logger = logging.getLogger(__name__)

# With fewer days than this to its end a calendar is compiled anew each day, and the log warns.
SHORT_DAYS: Final = 60
# The zones of the machine may change without the version of any package.
LONGEST_USE: Final = timedelta(days=30)
SHORTEST_USE: Final = timedelta(days=1)
RETRY_AFTER: Final = timedelta(hours=1)


class MarketCalendars:
    """The calendars of one process, kept fresh. Not for use by several threads.

    `overrides` are files beyond the shipped one; a later one wins.

    Raises:
        OverrideError: a file of overrides cannot be read, or says something that is not allowed.
        RefusedError: a market has no calendar, or overrides do not fit theirs.
    """

    def __init__(
        self, markets: Collection[str], directory: Path, *, now: datetime, overrides: Sequence[Path] = ()
    ) -> None:
        self._directory = directory
        self._files = tuple(overrides)
        if overrides:
            # Only a user's own may be wrong: beat without any imports no parser.
            from packages.infra.calendars.overrides import read_overrides

            read_overrides(overrides)
        self._digest = overrides_digest(overrides)
        self._source = source_version()
        self._stored: dict[str, StoredCalendar] = {}
        self._tables: Mapping[str, SessionTable] = MappingProxyType({})
        self._wanted: set[str] = set(markets)
        self._refused: set[str] = set()
        self._process: CompileProcess | None = None
        self._process_until = self._look_again_at = self._renew_from = now
        self._read(self._wanted)
        if missing := self._wanted - self._stored.keys():
            self._compile_now(missing)
        self._warn_of_ends(now)

    @property
    def tables(self) -> Mapping[str, SessionTable]:
        """By the names asked for; a market without a calendar is not in it. The mapping is replaced, never changed."""
        return self._tables

    def days_left(self, now: datetime) -> dict[str, int]:
        """By market, how many whole days its calendar still knows about: the number of a gauge."""
        return {market: table.days_left(to_instant(now)) for market, table in self._tables.items()}

    def want(self, markets: Collection[str]) -> None:
        """Markets that turn out to be in use; the next `poll` sees to them. One that has no calendar is logged once."""
        self._wanted |= set(markets) - self._refused

    def poll(self, now: datetime) -> bool:
        """Take in what was compiled, and start to compile what is missing or near its end. Never waits.

        Returns:
            Whether `tables` is another mapping than before.
        """
        if self._process is not None:
            if not self._process.has_ended and now < self._process_until:
                return False
            self._process.stop()
            return self._take_in(now)
        if now < self._look_again_at:
            return False
        due = self._wanted - self._stored.keys()
        if now >= self._renew_from:
            due |= {market for market, stored in self._stored.items() if _is_due(stored, now)}
        if not due:
            return False
        # Another process may have compiled it already.
        before = self._tables
        self._read(due)
        due = {m for m in due if m not in self._stored or _is_due(self._stored[m], now)}
        if due:
            from packages.infra.calendars.compiling import LONGEST_COMPILE_S, CompileProcess

            self._process = CompileProcess(due, self._directory, self._files)
            self._process_until = now + timedelta(seconds=LONGEST_COMPILE_S)
        return self._tables is not before

    def close(self) -> None:
        """End what is being compiled."""
        if self._process is not None:
            self._process.stop()
            self._process.failures()
            self._process = None

    def _take_in(self, now: datetime) -> bool:
        process, self._process = self._process, None
        if process is None:
            return False
        # Where the clock of this machine disagrees with `now`, a new calendar looks as old as the one before.
        self._renew_from = now + RETRY_AFTER
        failures = process.failures()
        for market, failure in failures.items():
            _log_failure(market, failure)
            if failure.is_refusal:
                self._wanted.discard(market)
                self._refused.add(market)
        if failures:
            self._look_again_at = now + RETRY_AFTER
        before = self._tables
        self._read(set(process.markets) - failures.keys())
        self._warn_of_ends(now)
        return self._tables is not before

    def _compile_now(self, markets: Collection[str]) -> None:
        from packages.infra.calendars.compiling import LONGEST_COMPILE_S, CompileProcess

        process = CompileProcess(markets, self._directory, self._files)
        process.wait(LONGEST_COMPILE_S)
        failures = process.failures()
        if refusals := [failure.problem for failure in failures.values() if failure.is_refusal]:
            raise RefusedError("; ".join(refusals))
        for market, failure in failures.items():
            _log_failure(market, failure)
        self._read(markets)

    def _read(self, markets: Collection[str]) -> None:
        for market in markets:
            stored = read_calendar(self._directory, CalendarKey(market, self._source, self._digest))
            if stored is not None:
                self._stored[market] = stored
        tables = {market: stored.table for market, stored in self._stored.items()}
        if tables != self._tables:
            self._tables = MappingProxyType(tables)

    def _warn_of_ends(self, now: datetime) -> None:
        for market, days in self.days_left(now).items():
            if days < SHORT_DAYS:
                until = to_datetime(self._tables[market].known_until).isoformat()
                logger.warning("calendar_runs_short", extra={"market": market, "days_left": days, "known_until": until})


def load_calendars(
    markets: Collection[str], directory: Path, *, now: datetime, overrides: Sequence[Path] = ()
) -> Mapping[str, SessionTable]:
    """The calendars of `markets`, once: for a program that ends before they do. See `MarketCalendars`."""
    return MarketCalendars(markets, directory, now=now, overrides=overrides).tables


def _is_due(stored: StoredCalendar, now: datetime) -> bool:
    age = now.astimezone(UTC).date() - stored.built_on
    if age < SHORTEST_USE:
        return False
    return age > LONGEST_USE or stored.table.days_left(to_instant(now)) < SHORT_DAYS


def _log_failure(market: str, failure: "Failure") -> None:
    logger.error("calendar_unavailable", extra={"market": market, "problem": failure.problem})
