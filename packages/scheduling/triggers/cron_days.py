"""Which days a cron names: day of month, month and day of week, the last and the nth of a month.

Days are counted from 1970-01-01 in the local calendar. Hours and clocks are not decided here.
"""

from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache, partial
from typing import Final

from packages.scheduling.triggers.base import TriggerError

EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
# One year more at each end than the engine has: the zones' local time is ahead or behind by up to a day.
FIRST_YEAR: Final = 1969
LAST_YEAR: Final = 2200
DAYS_OF_MONTH: Final = frozenset(range(1, 32))
MONTHS: Final = frozenset(range(1, 13))
DAYS_OF_WEEK: Final = frozenset(range(7))
# In place of the n of an nth weekday: the last one of the month.
LAST: Final = -1
_FRIDAY: Final = 4


class DayRule(StrEnum):
    """Whether a day has to be in both day fields, or in either one as Vixie cron has it when both are restricted."""

    BOTH = "and"
    EITHER = "or"


@dataclass(frozen=True, slots=True)
class CronDays:
    """The days that match the three day fields of a cron.

    Months are 1 to 12. Days of the week are 0 (Sunday) to 6; `nth_weekdays` has pairs of one of them and 1 to 5 or
    `LAST`. `last_day` is the last day of a month, `last_workday` its last one from Monday to Friday.

    Raises:
        TriggerError: a value is out of range, or a field names nothing.
    """

    days_of_month: frozenset[int] = DAYS_OF_MONTH
    months: frozenset[int] = MONTHS
    days_of_week: frozenset[int] = DAYS_OF_WEEK
    last_day: bool = False
    last_workday: bool = False
    nth_weekdays: frozenset[tuple[int, int]] = frozenset()
    rule: DayRule = DayRule.BOTH

    def __post_init__(self) -> None:
        check_field("days of month", self.days_of_month, DAYS_OF_MONTH)
        check_field("months", self.months, MONTHS)
        check_field("days of week", self.days_of_week, DAYS_OF_WEEK)
        check_field("days of week", (day for day, _ in self.nth_weekdays), DAYS_OF_WEEK)
        check_field("nth days of week", (n for _, n in self.nth_weekdays), frozenset({1, 2, 3, 4, 5, LAST}))
        for name, is_empty in (
            ("days of month", not (self.days_of_month or self.last_day or self.last_workday)),
            ("months", not self.months),
            ("days of week", not (self.days_of_week or self.nth_weekdays)),
        ):
            if is_empty:
                raise TriggerError(f"the {name} of a cron are empty")

    def of_year(self, year: int) -> tuple[int, ...]:
        """The matching days of a year, ascending, as days since 1970-01-01."""
        days: list[int] = []
        for month in sorted(self.months):
            first_weekday, length = monthrange(year, month)
            by_date = self._by_date(first_weekday, length)
            by_weekday = self._by_weekday((first_weekday + 1) % 7, length)
            matching = by_date | by_weekday if self.rule is DayRule.EITHER else by_date & by_weekday
            before = date(year, month, 1).toordinal() - EPOCH_ORDINAL - 1
            days.extend(before + day for day in sorted(matching))
        return tuple(days)

    def _by_date(self, first_weekday: int, length: int) -> set[int]:
        """Days of a month whose first day is `first_weekday`, 0 being Monday."""
        matching = {day for day in self.days_of_month if day <= length}
        if self.last_day:
            matching.add(length)
        if self.last_workday:
            matching.add(length - max(0, (first_weekday + length - 1) % 7 - _FRIDAY))
        return matching

    def _by_weekday(self, first_weekday: int, length: int) -> set[int]:
        """Days of a month whose first day is `first_weekday`, 0 being Sunday."""
        matching = {day for day in range(1, length + 1) if (first_weekday + day - 1) % 7 in self.days_of_week}
        for weekday, n in self.nth_weekdays:
            same = range(1 + (weekday - first_weekday) % 7, length + 1, 7)
            if n <= len(same):
                matching.add(same[n if n == LAST else n - 1])
        return matching


def check_field(name: str, values: Iterable[int], allowed: frozenset[int]) -> None:
    """Nothing, when all values of the field are allowed.

    Raises:
        TriggerError: one is not.
    """
    if outside := sorted(set(values) - allowed):
        raise TriggerError(f"the {name} of a cron are {min(allowed)} to {max(allowed)}, not {outside}")


@lru_cache(maxsize=4096)
def days_by_year(days: CronDays) -> Callable[[int], tuple[int, ...]]:
    """`days.of_year`, each year worked out once for all crons with these day fields."""
    return lru_cache(maxsize=LAST_YEAR - FIRST_YEAR + 1)(partial(CronDays.of_year, days))
