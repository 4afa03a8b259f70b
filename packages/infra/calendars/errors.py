"""What can be wrong with a calendar.

CalendarError
├── UnknownMarketError   no calendar of that name
├── OverrideError        a file of overrides says something that is not allowed
├── RefusedError         either of them, told by the process that compiles
└── CompileError         the calendar of a known market could not be made
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path


class CalendarError(Exception):
    """The root of this package's errors."""


class UnknownMarketError(CalendarError):
    """There is no calendar called `market`; `matches` are the names most like it."""

    def __init__(self, market: str, names: Sequence[str]) -> None:
        self.market = market
        by_upper = {name.upper(): name for name in names}
        self.matches = tuple(by_upper[match] for match in get_close_matches(market.upper(), by_upper, n=3, cutoff=0.5))
        meant = f"; did you mean {' or '.join(self.matches)}?" if self.matches else ""
        super().__init__(f"there is no calendar for the market {market!r}{meant} (a MIC code such as XNYS, or 24/7)")


class OverrideError(CalendarError):
    """`file` says something at `place` (table and key) that is not allowed; None stands for all files together."""

    def __init__(self, file: Path | None, place: str, problem: str) -> None:
        self.file = file
        self.place = place
        super().__init__(f"{file.name if file else 'the overrides'}: {place}: {problem}")


class RefusedError(CalendarError):
    """The compiling process refused a market: no calendar of that name, or overrides that do not fit it."""


class CompileError(CalendarError):
    """The calendar of `market` could not be made; the text says why."""

    def __init__(self, market: str, problem: str) -> None:
        self.market = market
        super().__init__(f"calendar of {market}: {problem}")
