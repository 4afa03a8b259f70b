"""The text of a cron: five fields as in crontab(5), with names, `L`, `LW`, `#`, and `@daily` and its kin.

`croniter` reads the single fields; what they mean together is decided here, as Debian's cron has it: a day has to be in
either day field when neither starts with a star, else in both. Where croniter reads a field in another way than
crontab(5), the text is brought into a form that it reads rightly, or is refused.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from packages.scheduling.triggers.base import TriggerError
from packages.scheduling.triggers.cron import HOURS, MINUTES, CronTrigger
from packages.scheduling.triggers.cron_clock import Fold, Gap, as_debian
from packages.scheduling.triggers.cron_days import DAYS_OF_MONTH, DAYS_OF_WEEK, LAST, MONTHS, CronDays, DayRule

NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS: Final = 5
_DAY_OF_MONTH: Final = 2
_DAY_OF_WEEK: Final = 4
_LAST_WORKDAY: Final = "lw"
# croniter draws a random number for R, wants a seed for H, and leaves the W out of what it returns.
_REFUSED: Final = re.compile(r"[hr]([(/].*)?|\d+w|w\d+")
_RANGE: Final = re.compile(r"(?P<low>\w+)-(?P<high>\w+)(/(?P<step>[1-9]\d*))?", re.ASCII)
_LAST_NAMED: Final = re.compile(r"(?P<day>\w+)l")
_NTH: Final = re.compile(r".*#.*|l.+")
_MONTH_NAMES: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAY_NAMES: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# What each of the five fields may hold: numbers, and names for some.
_ALLOWED: Final[tuple[tuple[frozenset[int], Mapping[str, int]], ...]] = (
    (MINUTES, {}),
    (HOURS, {}),
    (DAYS_OF_MONTH, {}),
    (MONTHS, {name: number for number, name in enumerate(_MONTH_NAMES, 1)}),
    (DAYS_OF_WEEK, {name: number for number, name in enumerate(_WEEKDAY_NAMES)}),
)


def parse_cron(text: str, *, zone: str = "UTC", gap: Gap | None = None, fold: Fold | None = None) -> CronTrigger:
    """The trigger that a cron expression names.

    `L` is the last day of a month and `LW` its last one from Monday to Friday, `L5` or `5L` the last Friday, `5#2` the
    second Friday. A range may run past the end of its field (`22-2`, `fri-mon`). Days of the week are 0 or 7 (Sunday)
    to 6. Without `gap` or `fold` it does as Debian's cron: with a star at the start of the minutes or the hours it
    follows the clock, else it runs once: just after the gap, and in the first half of a fold.

    Raises:
        TriggerError: the text is no cron expression, has a field of seconds or years, or names a day that does not
            exist; `@reboot`, `15W`, `H` and `R` are refused; or there is no such zone.
    """
    fields = NICKNAMES.get(text.strip().lower(), text).lower().split()
    if len(fields) != _FIELDS:
        raise TriggerError(
            f"the cron {text!r} has {len(fields)} fields; five are allowed: minute, hour, day of month, month and "
            f"day of week, or one of {', '.join(NICKNAMES)}"
        )
    try:
        return _build(fields, zone, gap, fold)
    except TriggerError as error:
        raise TriggerError(f"the cron {text!r}: {error}") from error


def _build(fields: list[str], zone: str, gap: Gap | None, fold: Fold | None) -> CronTrigger:
    starred = [field[0] in "*?" for field in fields]
    elements = [
        [_plain(element, numbers, names) for element in field.split(",")]
        for field, (numbers, names) in zip(fields, _ALLOWED, strict=True)
    ]
    # croniter knows no LW, and mixes nth weekdays with no other days: it gets neither.
    dates, last_workday = _split(elements[_DAY_OF_MONTH], lambda element: element == _LAST_WORKDAY)
    weekdays, nth_weekdays = _split(elements[_DAY_OF_WEEK], lambda element: bool(_NTH.fullmatch(element)))
    elements[_DAY_OF_MONTH], elements[_DAY_OF_WEEK] = dates or ["*"], weekdays or ["*"]
    minutes, hours, days_of_month, months, days_of_week = _expand(elements)[0]
    days = CronDays(
        days_of_month=_numbers(days_of_month, DAYS_OF_MONTH) if dates else frozenset(),
        months=_numbers(months, MONTHS),
        days_of_week=_numbers(days_of_week, DAYS_OF_WEEK) if weekdays else frozenset(),
        last_day="l" in days_of_month,
        last_workday=bool(last_workday),
        nth_weekdays=_expand([["*"]] * _DAY_OF_WEEK + [nth_weekdays])[1] if nth_weekdays else frozenset(),
        rule=DayRule.BOTH if starred[_DAY_OF_MONTH] or starred[_DAY_OF_WEEK] else DayRule.EITHER,
    )
    policies = as_debian(gap, fold, follows_clock=starred[0] or starred[1])
    return CronTrigger(_numbers(minutes, MINUTES), _numbers(hours, HOURS), days, zone, *policies)


def _split(elements: list[str], is_other: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    return [element for element in elements if not is_other(element)], [e for e in elements if is_other(e)]


def _plain(element: str, numbers: frozenset[int], names: Mapping[str, int]) -> str:
    """One element of a list as croniter reads it rightly."""
    if _REFUSED.fullmatch(element):
        raise TriggerError(f"{element.upper()!r} is not supported; of the letters, L, LW and the names are")
    if match := _RANGE.fullmatch(element):
        low, high, step = _number(match["low"], names), _number(match["high"], names), int(match["step"] or 1)
        if low is not None and low == high:
            # croniter takes 9-9 for the whole field.
            return str(low)
        if low in numbers and high in numbers and low > high and step > 1:
            # croniter counts one step too far where a range goes past the end of its field.
            size, first = len(numbers), min(numbers)
            return ",".join(str((n - first) % size + first) for n in range(low, high + size + 1, step))
    if (match := _LAST_NAMED.fullmatch(element)) and element not in names:
        return f"l{names.get(match['day'], match['day'])}"
    return element


def _number(text: str, names: Mapping[str, int]) -> int | None:
    return names.get(text, int(text) if text.isascii() and text.isdigit() else None)


def _expand(elements: list[list[str]]) -> tuple[list[list[int | str]], frozenset[tuple[int, int]]]:
    """The values of each field, with `*` and `l` as such, and the nth weekdays."""
    from croniter import CroniterError, croniter

    text = " ".join(",".join(field) for field in elements)
    try:
        fields, nth = croniter.expand(text)
    except (CroniterError, TypeError) as error:
        raise TriggerError(str(error)) from error
    pairs = frozenset((day, LAST if n == "l" else int(n)) for day, numbers in nth.items() for n in numbers)
    return fields, pairs


def _numbers(expanded: list[int | str], everything: frozenset[int]) -> frozenset[int]:
    return everything if "*" in expanded else frozenset(value for value in expanded if isinstance(value, int))
