"""What a calendar says beyond the package it is made from: a TOML file of closures, other hours and extra breaks.

It decides what may stand in such a file, and nothing about when it is applied.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from packages.infra.calendars.errors import OverrideError
from packages.infra.calendars.override_files import SHIPPED, overrides_digest

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MINUTES_OF_A_DAY: Final = 1440
_HOURS_KEYS: Final = frozenset({"dates", "at"})
_BREAK_KEYS: Final = frozenset({"start", "end", "weekdays", "from", "until"})
_MARKET_KEYS: Final = frozenset({"closed", "known_until", "open", "close", "break"})


@dataclass(frozen=True, slots=True)
class ExtraBreak:
    """No trading from `start_minute` (inclusive) to `end_minute` (exclusive) of the local day.

    On `weekdays`, 0 being Monday, and from `since` to `until`, both inclusive; None has no bound.
    """

    start_minute: int
    end_minute: int
    weekdays: frozenset[int] = frozenset(range(7))
    since: date | None = None
    until: date | None = None

    def applies_on(self, day: date) -> bool:
        """Whether the break is held on a local date."""
        return (
            day.weekday() in self.weekdays
            and (self.since is None or self.since <= day)
            and (self.until is None or day <= self.until)
        )


@dataclass(frozen=True, slots=True)
class MarketOverrides:
    """The overrides of one market; `opens` and `closes` are (date, minute of the local day)."""

    closed: tuple[date, ...] = ()
    opens: tuple[tuple[date, int], ...] = ()
    closes: tuple[tuple[date, int], ...] = ()
    breaks: tuple[ExtraBreak, ...] = ()
    known_until: date | None = None

    def then(self, later: "MarketOverrides") -> "MarketOverrides":
        """Both; where they speak of the same, `later` wins."""
        return MarketOverrides(
            closed=(*self.closed, *later.closed),
            opens=tuple({**dict(self.opens), **dict(later.opens)}.items()),
            closes=tuple({**dict(self.closes), **dict(later.closes)}.items()),
            breaks=(*self.breaks, *later.breaks),
            known_until=later.known_until or self.known_until,
        )


@dataclass(frozen=True, slots=True)
class Overrides:
    """The overrides by market, and a digest of all of them that is the same in every process."""

    by_market: Mapping[str, MarketOverrides]
    digest: str


def read_overrides(files: Sequence[Path] = ()) -> Overrides:
    """The shipped overrides and those of `files`, in that order; a later one wins.

    Raises:
        OverrideError: a file cannot be read, or says something that is not allowed.
    """
    by_market: dict[str, MarketOverrides] = {}
    for file in (SHIPPED, *files):
        for market, overrides in _parsed(file).items():
            by_market[market] = by_market.get(market, MarketOverrides()).then(overrides)
    return Overrides(MappingProxyType(by_market), overrides_digest(files))


def _parsed(file: Path) -> dict[str, MarketOverrides]:
    try:
        with file.open("rb") as opened:
            content = tomllib.load(opened)
    except OSError as error:
        raise OverrideError(file, "the file", f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise OverrideError(file, "the file", f"is no TOML: {error}") from error
    return {market: _Reader(file, market).read(table) for market, table in content.items()}


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one market's table; a refusal names the file, the table and the key."""

    file: Path
    market: str

    def read(self, table: Any) -> MarketOverrides:  # noqa: ANN401  # whatever TOML holds
        self._check_keys(table, "", _MARKET_KEYS)
        return MarketOverrides(
            closed=self._dates(table.get("closed", []), "closed"),
            opens=self._hours(table, "open"),
            closes=self._hours(table, "close"),
            breaks=tuple(
                self._break(entry, f"break[{index}]") for index, entry in enumerate(self._tables(table, "break"))
            ),
            known_until=self._date(table["known_until"], "known_until") if "known_until" in table else None,
        )

    def _refuse(self, key: str, problem: str) -> OverrideError:
        return OverrideError(self.file, f"[{self.market}] {key}".rstrip(), problem)

    def _check_keys(self, table: Any, key: str, allowed: frozenset[str]) -> None:  # noqa: ANN401  # as above
        if not isinstance(table, dict):
            raise self._refuse(key, f"must be a table with {_listed(allowed)}")
        if unknown := sorted(table.keys() - allowed):
            raise self._refuse(f"{key}.{unknown[0]}".lstrip("."), f"is not known here; allowed: {_listed(allowed)}")

    def _tables(self, table: dict[str, Any], key: str) -> list[Any]:
        entries = table.get(key, [])
        if not isinstance(entries, list):
            raise self._refuse(key, f"must be an array of tables, [[{self.market}.{key}]]")
        return entries

    def _hours(self, table: dict[str, Any], key: str) -> tuple[tuple[date, int], ...]:
        hours: dict[date, int] = {}
        for index, entry in enumerate(self._tables(table, key)):
            place = f"{key}[{index}]"
            self._check_keys(entry, place, _HOURS_KEYS)
            minute = self._minute(entry.get("at"), f"{place}.at")
            for day in self._dates(entry.get("dates"), f"{place}.dates"):
                if hours.setdefault(day, minute) != minute:
                    raise self._refuse(f"{place}.dates", f"{day} has another time already")
        return tuple(hours.items())

    def _break(self, entry: Any, place: str) -> ExtraBreak:  # noqa: ANN401  # as above
        self._check_keys(entry, place, _BREAK_KEYS)
        start, end = (self._minute(entry.get(key), f"{place}.{key}") for key in ("start", "end"))
        if start >= end:
            raise self._refuse(place, "must start before it ends, on the same day")
        weekdays = entry.get("weekdays", list(WEEKDAYS))
        if not isinstance(weekdays, list) or not weekdays or any(day not in WEEKDAYS for day in weekdays):
            raise self._refuse(f"{place}.weekdays", f"must be a list of {', '.join(WEEKDAYS)}, not {weekdays!r}")
        since, until = (self._date(entry[k], f"{place}.{k}") if k in entry else None for k in ("from", "until"))
        if since and until and until < since:
            raise self._refuse(f"{place}.until", f"must not be before from, {since}")
        return ExtraBreak(start, end, frozenset(map(WEEKDAYS.index, weekdays)), since, until)

    def _dates(self, value: Any, key: str) -> tuple[date, ...]:  # noqa: ANN401  # as above
        if not isinstance(value, list):
            raise self._refuse(key, "must be a list of dates, such as [2023-09-01]")
        return tuple(self._date(day, key) for day in value)

    def _date(self, value: Any, key: str) -> date:  # noqa: ANN401  # as above
        if not isinstance(value, date) or isinstance(value, datetime):
            raise self._refuse(key, f"must be a date such as 2023-09-01, without quotes or time, not {value!r}")
        return value

    def _minute(self, value: Any, key: str) -> int:  # noqa: ANN401  # as above
        if value == "24:00":
            return MINUTES_OF_A_DAY
        try:
            moment = time.fromisoformat(value)
        except (TypeError, ValueError):
            moment = None
        if moment is None or moment.second or moment.microsecond or moment.tzinfo:
            raise self._refuse(key, f'must be a local time such as "13:30", up to "24:00", not {value!r}')
        return moment.hour * 60 + moment.minute


def _listed(keys: frozenset[str]) -> str:
    return ", ".join(sorted(keys))
