"""Instants relative to the sessions of markets as they really are: half days, late opens and breaks included.

With several calendars a trigger either fires for `any` of them, each by its own sessions, equal instants once; or for
`all`, by their joint sessions (`joint_sessions`): the time in which all are open, counted and dated as the first
market's sessions. Behind the last session that a calendar knows there are no instants: with `any` the other calendars
go on alone, with `all`, or with one, the trigger ends. `SessionTable.days_left` says how far that is.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Final

from packages.scheduling.instants import DAY_MS, FIRST_INSTANT, LAST_INSTANT, ONE_MS
from packages.scheduling.joint_sessions import joint_sessions
from packages.scheduling.session_instants import (
    LocalTime,
    NthDay,
    SessionEvent,
    SpanOfDays,
    event_instants,
    nth_day_instants,
)
from packages.scheduling.sessions import SessionError, SessionTable
from packages.scheduling.triggers.base import CHUNK, Trigger, TriggerError
from packages.scheduling.triggers.market_within import WithinOneMarket
from packages.scheduling.triggers.union import Union
from packages.scheduling.zones import UnknownZoneError, check_zone

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

LONGEST_OFFSET_MS: Final = 31 * DAY_MS
MOST_DAYS: Final = {SpanOfDays.WEEK: 7, SpanOfDays.MONTH: 31}
_WORDS: Final = {
    SessionEvent.OPEN: "the open",
    SessionEvent.CLOSE: "the close",
    SessionEvent.BREAK_START: "the start of each break",
    SessionEvent.BREAK_END: "the end of each break",
}
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Combine(StrEnum):
    """What several markets make of a trigger: an instant of any of them, or of the time in which all are open."""

    ANY = "any"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class _Shifted:
    """Known instants, each moved by `offset_ms`."""

    instants: "array[int]"
    offset_ms: int
    repeats_when_set_back: ClassVar[bool] = False

    def next_after(self, after: int) -> int | None:
        """See `Trigger`."""
        index = bisect_right(self.instants, max(after, FIRST_INSTANT - 1) - self.offset_ms)
        nominal = self.instants[index] + self.offset_ms if index < len(self.instants) else LAST_INSTANT + 1
        return nominal if nominal <= LAST_INSTANT else None

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        import numpy as np

        low = bisect_right(self.instants, max(start, FIRST_INSTANT - 1) - self.offset_ms)
        high = bisect_right(self.instants, min(end, LAST_INSTANT) - self.offset_ms)
        instants = np.frombuffer(self.instants, dtype=np.int64)
        for index in range(low, high, CHUNK):
            yield instants[index : min(index + CHUNK, high)] + self.offset_ms

    def describe(self) -> str:
        """See `Trigger`; the market trigger around it speaks for it."""
        return f"{len(self.instants)} instants, moved by {self.offset_ms} ms"


@dataclass(frozen=True, slots=True)
class MarketEvent:
    """`offset_ms` after an event of each session, before it when negative: so far that another day is reached, too.

    Raises:
        TriggerError: no calendar, an offset beyond `LONGEST_OFFSET_MS`, or it never fires.
    """

    calendars: tuple[SessionTable, ...]
    event: SessionEvent
    offset_ms: int = 0
    combine: Combine = Combine.ANY
    _inner: Trigger = field(init=False, repr=False, compare=False)
    repeats_when_set_back: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_offset(self.offset_ms)
        inner = _combined(self, lambda table: _shifted(event_instants(table, self.event), self.offset_ms))
        object.__setattr__(self, "_inner", inner)

    def next_after(self, after: int) -> int | None:
        """See `Trigger`."""
        return self._inner.next_after(after)

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        return self._inner.between(start, end)

    def describe(self) -> str:
        """See `Trigger`."""
        return f"{_moment(self.event, self.offset_ms)} of {_names(self.calendars, self.combine)}"


@dataclass(frozen=True, slots=True)
class WithinSession:
    """Each time that a session has been open for a multiple of `every_ms`, counted anew in each; breaks do not count.

    An instant that would fall on the start of a break falls on its end. The instants of the open and of the close are
    named when `at_open` and `at_close` say so, the close whatever its distance to the instant before, and else not.

    Raises:
        TriggerError: no calendar, `every_ms` below a second, or it never fires.
    """

    calendars: tuple[SessionTable, ...]
    every_ms: int
    at_open: bool = False
    at_close: bool = False
    combine: Combine = Combine.ANY
    _inner: Trigger = field(init=False, repr=False, compare=False)
    repeats_when_set_back: ClassVar[bool] = False

    def __post_init__(self) -> None:
        def within(table: SessionTable) -> WithinOneMarket:
            return WithinOneMarket(table, self.every_ms, at_open=self.at_open, at_close=self.at_close)

        object.__setattr__(self, "_inner", _combined(self, within))

    def next_after(self, after: int) -> int | None:
        """See `Trigger`."""
        return self._inner.next_after(after)

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        return self._inner.between(start, end)

    def describe(self) -> str:
        """See `Trigger`."""
        ends = [word for word, included in (("the open", self.at_open), ("the close", self.at_close)) if included]
        also = f", and at {' and '.join(ends)}," if ends else ""
        return f"every {self.every_ms * ONE_MS}{also} of the open time of {_names(self.calendars, self.combine)}"


@dataclass(frozen=True, slots=True)
class TradingDay:
    """On the nth trading day of each week or month: `offset_ms` after an event of its session, or after a local time.

    The day is the session's own date: a session that opens the evening before counts for the day of its close.

    Raises:
        TriggerError: no calendar, an `nth` of 0 or beyond the days there are, an unknown zone, an offset beyond
            `LONGEST_OFFSET_MS`, or it never fires.
    """

    calendars: tuple[SessionTable, ...]
    day: NthDay
    at: SessionEvent | LocalTime
    offset_ms: int = 0
    combine: Combine = Combine.ANY
    _inner: Trigger = field(init=False, repr=False, compare=False)
    repeats_when_set_back: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_offset(self.offset_ms)
        most = MOST_DAYS[self.day.span]
        if not 1 <= abs(self.day.nth) <= most or not 0 <= self.day.week_starts < MOST_DAYS[SpanOfDays.WEEK]:
            problem = f"not {self.day.nth}, and weeks start on 0 (Monday) to 6, not {self.day.week_starts}"
            raise TriggerError(f"the trading day of a {self.day.span} is 1 to {most}, or -1 to -{most}, {problem}")
        if isinstance(self.at, LocalTime):
            _check_time(self.at)
        inner = _combined(self, lambda table: _shifted(nth_day_instants(table, self.day, self.at), self.offset_ms))
        object.__setattr__(self, "_inner", inner)

    def next_after(self, after: int) -> int | None:
        """See `Trigger`."""
        return self._inner.next_after(after)

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        return self._inner.between(start, end)

    def describe(self) -> str:
        """See `Trigger`."""
        span = f"{self.day.span}"
        if self.day.week_starts:
            span += f" from {_WEEKDAYS[self.day.week_starts]}"
        day = f"trading day {self.day.nth} of the {span} of {_names(self.calendars, self.combine)}"
        return f"{_moment(self.at, self.offset_ms)} of {day}"


MarketTrigger = MarketEvent | WithinSession | TradingDay


def _combined(trigger: MarketTrigger, of_one: Callable[[SessionTable], Trigger | None]) -> Trigger:
    if not trigger.calendars:
        raise TriggerError("a market trigger needs at least one calendar")
    try:
        tables = trigger.calendars if trigger.combine is Combine.ANY else (joint_sessions(trigger.calendars),)
    except SessionError as error:
        raise TriggerError(f"it never fires: {error}") from error
    parts = [part for part in map(of_one, tables) if part is not None and part.next_after(-1) is not None]
    if not parts:
        raise TriggerError(f"it never fires: {trigger.describe()}")
    return parts[0] if len(parts) == 1 else Union(tuple(parts))


def _shifted(instants: "array[int]", offset_ms: int) -> _Shifted | None:
    return _Shifted(instants, offset_ms) if instants else None


def _check_offset(offset_ms: int) -> None:
    if abs(offset_ms) > LONGEST_OFFSET_MS:
        raise TriggerError(f"the offset of a market trigger is at most {LONGEST_OFFSET_MS} ms, not {offset_ms}")


def _check_time(at: LocalTime) -> None:
    if not 0 <= at.minute < DAY_MS // 60_000:
        raise TriggerError(f"a local time is minute 0 to 1439 of the day, not {at.minute}")
    try:
        check_zone(at.zone)
    except UnknownZoneError as error:
        raise TriggerError(str(error)) from error


def _moment(at: SessionEvent | LocalTime, offset_ms: int) -> str:
    text = f"{at.minute // 60:02d}:{at.minute % 60:02d} {at.zone}" if isinstance(at, LocalTime) else _WORDS[at]
    if not offset_ms:
        return text
    return f"{abs(offset_ms) * ONE_MS} {'after' if offset_ms > 0 else 'before'} {text}"


def _names(calendars: tuple[SessionTable, ...], combine: Combine) -> str:
    names = [f"{table.market} ({table.digest})" for table in calendars]
    return names[0] if len(names) == 1 else f"{combine} of {', '.join(names)}"
