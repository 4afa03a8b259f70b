"""Recorded real daily bars, replayed on a sped-up clock: the provider that needs no account and no network.

The data are the S&P 500 and the Nasdaq Composite of 1999-01-04 to 2018-12-31, which the package `arch` ships. Only
its data files are read; the package is never imported, for it brings pandas with it.

Two times meet here. The caller's `until` is the wall clock; the replay clock maps it to recorded time, and a bar is
finished when its day was over by then. `after` and every bar's `opened_at` are recorded time: the bar's date at
00:00 UTC. Past the end of the recording there are no new bars, and one log line says so.
"""

import csv
import datetime as dt
import gzip
import importlib.util
import logging
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from packages.domain.market_data.bars import BarValue
from packages.domain.market_data.provider import (
    ProviderUnavailableError,
    UnknownSymbolError,
    UnsupportedTimeframeError,
)
from packages.infra.providers.replay_clock import ReplayClock

log = logging.getLogger(__name__)

NAME = "recorded"
TIMEFRAME = "1d"
_DAY = dt.timedelta(days=1)
_PACKAGE = "arch"
_FILES = {"^GSPC": "data/sp500/sp500.csv.gz", "^IXIC": "data/nasdaq/nasdaq.csv.gz"}


class RecordedProvider:
    """Serves `^GSPC` and `^IXIC` as daily bars. The files are read once for each provider and symbol."""

    def __init__(self, clock: ReplayClock) -> None:
        self._clock = clock
        self._recordings: dict[str, tuple[BarValue, ...]] = {}
        self._end_was_said = False

    def bars(self, *, symbol: str, timeframe: str, after: dt.datetime | None, until: dt.datetime) -> Iterator[BarValue]:
        """The recorded bars after `after` whose day was over when the wall clock stood at `until`.

        Raises:
            UnknownSymbolError: the symbol was not recorded.
            UnsupportedTimeframeError: anything but `1d`.
            ProviderUnavailableError: the recording is not installed, or cannot be read.
        """
        if symbol not in _FILES:
            allowed = ", ".join(_FILES)
            raise UnknownSymbolError(
                f"{NAME}: symbol {symbol!r} was not recorded; there are: {allowed}", provider=NAME, symbol=symbol
            )
        if timeframe != TIMEFRAME:
            raise UnsupportedTimeframeError(
                f"{NAME}: {symbol} was recorded as {TIMEFRAME} bars, not as {timeframe!r}", provider=NAME, symbol=symbol
            )
        recording = self._recording(symbol)
        replay_now = self._clock.replay_now(until)
        if replay_now > recording[-1].opened_at + _DAY:
            self._say_end(symbol, recording[-1].opened_at)
        return (
            bar for bar in recording if (after is None or bar.opened_at > after) and bar.opened_at + _DAY <= replay_now
        )

    def _recording(self, symbol: str) -> tuple[BarValue, ...]:
        if symbol not in self._recordings:
            self._recordings[symbol] = _read(symbol)
        return self._recordings[symbol]

    def _say_end(self, symbol: str, last: dt.datetime) -> None:
        if not self._end_was_said:
            self._end_was_said = True
            log.warning("market_data_recording_ended", extra={"symbol": symbol, "last_bar": last.isoformat()})


def _read(symbol: str) -> tuple[BarValue, ...]:
    try:
        with gzip.open(_package_directory() / _FILES[symbol], "rt", encoding="ascii", newline="") as file:
            bars = tuple(_bar(row) for row in csv.DictReader(file))
    except (OSError, EOFError, ValueError, ArithmeticError, KeyError) as error:
        raise ProviderUnavailableError(
            f"{NAME}: the recording of {symbol} in the package {_PACKAGE!r} cannot be read: {error}",
            provider=NAME,
            symbol=symbol,
        ) from error
    if not bars:
        raise ProviderUnavailableError(f"{NAME}: the recording of {symbol} is empty", provider=NAME, symbol=symbol)
    return bars


def _package_directory() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(f"the package {_PACKAGE!r} is not installed")
    return Path(found.submodule_search_locations[0])


def _bar(row: dict[str, str]) -> BarValue:
    month, day, year = (int(part) for part in row["Date"].split("/"))
    return BarValue(
        opened_at=dt.datetime(year, month, day, tzinfo=dt.UTC),
        open=Decimal(row["Open"]),
        high=Decimal(row["High"]),
        low=Decimal(row["Low"]),
        close=Decimal(row["Close"]),
        volume=Decimal(row["Volume"]),
    )
