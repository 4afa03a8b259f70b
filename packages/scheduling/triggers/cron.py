"""Cron: the minutes of the local days of a zone that match five fields, clock changes included.

Instants are searched in local time, one period of a constant offset after the other. Texts are read elsewhere
(`cron_parse`), and what a change of the clocks does is decided in `cron_clock`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Self

from packages.scheduling.instants import DAY_MS, FIRST_INSTANT, HOUR_MS, LAST_INSTANT, MINUTE_MS, NEVER_ENDS
from packages.scheduling.triggers.base import CHUNK, TriggerError
from packages.scheduling.triggers.cron_clock import Fold, Gap, as_debian, spans_from
from packages.scheduling.triggers.cron_days import (
    DAYS_OF_MONTH,
    DAYS_OF_WEEK,
    EPOCH_ORDINAL,
    FIRST_YEAR,
    LAST_YEAR,
    MONTHS,
    CronDays,
    DayRule,
    check_field,
    days_by_year,
)
from packages.scheduling.triggers.cron_text import cron_text
from packages.scheduling.zones import UnknownZoneError, check_zone, is_fixed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MINUTES: Final = frozenset(range(60))
HOURS: Final = frozenset(range(24))
# What `*/2` and its kin name.
_STEPPED_HOURS: Final = frozenset(frozenset(range(0, len(HOURS), step)) for step in range(1, len(HOURS)))
# Later than every local time that the engine looks at.
_NO_LOCAL: Final = NEVER_ENDS + 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class CronTrigger:
    """Each of `minutes` of each of `hours` on each of `days`, in local time of `zone`.

    What `gap` and `fold` do to the same instant happens once.

    Raises:
        TriggerError: a value is out of range, there is no such zone, or no day from 1970 to 2199 matches.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: CronDays
    zone: str = "UTC"
    gap: Gap = Gap.DEBIAN
    fold: Fold = Fold.DEBIAN
    _times: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _days_in: Callable[[int], tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_field("minutes", self.minutes, MINUTES)
        check_field("hours", self.hours, HOURS)
        for name, values in (("minutes", self.minutes), ("hours", self.hours)):
            if not values:
                raise TriggerError(f"the {name} of a cron are empty")
        try:
            check_zone(self.zone)
        except UnknownZoneError as error:
            raise TriggerError(str(error)) from error
        object.__setattr__(self, "_times", _times_of_day(self.hours, self.minutes))
        object.__setattr__(self, "_days_in", days_by_year(self.days))
        if not any(self._days_in(year) for year in range(FIRST_YEAR + 1, LAST_YEAR)):
            raise TriggerError(f"it never fires: no day from 1970 to 2199 matches {self._text()!r}")

    @classmethod
    def of_sets(  # noqa: PLR0913  # the five fields of a cron and what they mean
        cls,
        *,
        minutes: Collection[int] = MINUTES,
        hours: Collection[int] = HOURS,
        days_of_month: Collection[int] = DAYS_OF_MONTH,
        months: Collection[int] = MONTHS,
        days_of_week: Collection[int] = DAYS_OF_WEEK,
        day_rule: DayRule = DayRule.BOTH,
        zone: str = "UTC",
        gap: Gap | None = None,
        fold: Fold | None = None,
        follows_clock: bool | None = None,
    ) -> Self:
        """From the numbers of each field; days of the week are 0 (Sunday) to 6.

        Without `gap` or `fold` it does as Debian's cron: a job that follows the clock (its minutes or hours are a
        wildcard; None means that all of either are named) skips a gap and runs in both halves of a fold.

        Raises:
            TriggerError: see `CronTrigger`.
        """
        if follows_clock is None:
            follows_clock = frozenset(minutes) >= MINUTES or frozenset(hours) >= HOURS
        return cls(
            frozenset(minutes),
            frozenset(hours),
            CronDays(frozenset(days_of_month), frozenset(months), frozenset(days_of_week), rule=day_rule),
            zone,
            *as_debian(gap, fold, follows_clock=follows_clock),
        )

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.minutes, self.hours, self.days, self.zone, self.gap, self.fold)

    @property
    def repeats_when_set_back(self) -> bool:
        """See `Trigger`: with `*` for the hours, and with `*/2` and the like if it runs in both halves of a fold."""
        return self.hours == HOURS or (self.fold is Fold.BOTH and self.hours in _STEPPED_HOURS)

    def next_after(self, after: int) -> int | None:
        """See `Trigger`."""
        at = max(after + 1, FIRST_INSTANT)
        # No named local time lies in [searched, found).
        searched, found = _NO_LOCAL, -_NO_LOCAL
        for start, _, offset, first_local, end_local, gap_local in spans_from(self.zone, self.gap, self.fold, at):
            if gap_local < start + offset and at <= start and self._local_from(gap_local) < start + offset:
                return start
            local = max(at + offset, first_local)
            if not searched <= local <= found:
                searched, found = local, self._local_from(local)
            if found < end_local:
                return found - offset
        return None

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        import numpy as np

        at, end = max(start + 1, FIRST_INSTANT), min(end, LAST_INSTANT)
        if at > end:
            return
        for span in spans_from(self.zone, self.gap, self.fold, at):
            if span.start > end:
                return
            local = max(at + span.offset_ms, span.first_local)
            after_gap = span.start + span.offset_ms
            if span.gap_local < after_gap and at <= span.start and self._local_from(span.gap_local) < after_gap:
                yield np.array([span.start], dtype=np.int64)
                local = max(local, after_gap + 1)
            for times in self._locals_between(local, min(end + 1 + span.offset_ms, span.end_local)):
                times -= span.offset_ms  # noqa: PLW2901  # in place: the array is ours alone
                yield times

    def describe(self) -> str:
        """See `Trigger`."""
        if is_fixed(self.zone):
            return f"cron {self._text()} in {self.zone}"
        return f"cron {self._text()} in {self.zone}, gap {self.gap}, fold {self.fold}"

    def _text(self) -> str:
        return cron_text(self.minutes, self.hours, self.days)

    def _local_from(self, local: int) -> int:
        """The first named local time that is not before `local`, in ms like an instant; `_NO_LOCAL` if none is."""
        day, time = divmod(local, DAY_MS)
        times = self._times
        if time > times[-1]:
            day, time = day + 1, 0
        year = date.fromordinal(day + EPOCH_ORDINAL).year
        days = self._days_in(year)
        index = bisect_left(days, day)
        while index == len(days):
            if year == LAST_YEAR:
                return _NO_LOCAL
            year += 1
            days, index = self._days_in(year), 0
        if days[index] == day:
            return day * DAY_MS + times[bisect_left(times, time)]
        return days[index] * DAY_MS + times[0]

    def _locals_between(self, local: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """The named local times in [local, end), in new non-empty arrays of at most `CHUNK`."""
        if local >= end:
            return
        (first_day, time), (last_day, end_time) = divmod(local, DAY_MS), divmod(end, DAY_MS)
        times = self._times
        skipped, kept_of_last = bisect_left(times, time), bisect_left(times, end_time)
        days_at_once = CHUNK // len(times)
        for year in range(_year(first_day), _year(last_day) + 1):
            days = self._days_in(year)
            to = bisect_right(days, last_day)
            for low in range(bisect_left(days, first_day), to, days_at_once):
                high = min(low + days_at_once, to)
                grid = (_midnights(self.days, year)[low:high, None] + _times_array(self.hours, self.minutes)).ravel()
                cut = len(grid) - (len(times) - kept_of_last if days[high - 1] == last_day else 0)
                grid = grid[skipped if days[low] == first_day else 0 : cut]
                if len(grid):
                    yield grid


def _year(day: int) -> int:
    return date.fromordinal(day + EPOCH_ORDINAL).year


@lru_cache(maxsize=4096)
def _times_of_day(hours: frozenset[int], minutes: frozenset[int]) -> tuple[int, ...]:
    return tuple(hour * HOUR_MS + minute * MINUTE_MS for hour in sorted(hours) for minute in sorted(minutes))


@lru_cache(maxsize=4096)
def _times_array(hours: frozenset[int], minutes: frozenset[int]) -> "npt.NDArray[np.int64]":
    import numpy as np

    return np.array(_times_of_day(hours, minutes), dtype=np.int64)


@lru_cache(maxsize=4096)
def _midnights(days: CronDays, year: int) -> "npt.NDArray[np.int64]":
    import numpy as np

    return np.array(days_by_year(days)(year), dtype=np.int64) * DAY_MS
