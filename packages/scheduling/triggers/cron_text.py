"""A cron's fields as text, the same for the same sets: the shortest usual way to write each field."""

from functools import lru_cache

from packages.scheduling.triggers.cron_days import DAYS_OF_MONTH, DAYS_OF_WEEK, LAST, MONTHS, CronDays, DayRule

_TWO = 2


@lru_cache(maxsize=4096)
def cron_text(minutes: frozenset[int], hours: frozenset[int], days: CronDays) -> str:
    """Five fields, with ` (day or weekday)` where a day may be in either of two restricted day fields.

    It is for people: a `*/2` in a day field of Vixie cron has a rule of its own, which is said in words here.
    """
    days_of_month = [_field(days.days_of_month, DAYS_OF_MONTH)] if days.days_of_month else []
    days_of_month += ["L"] * days.last_day + ["LW"] * days.last_workday
    days_of_week = [_field(days.days_of_week, DAYS_OF_WEEK)] if days.days_of_week else []
    days_of_week += [f"L{day}" if n == LAST else f"{day}#{n}" for day, n in sorted(days.nth_weekdays)]
    fields = (
        _field(minutes, frozenset(range(60))),
        _field(hours, frozenset(range(24))),
        ",".join(days_of_month),
        _field(days.months, MONTHS),
        ",".join(days_of_week),
    )
    return " ".join(fields) + (" (day or weekday)" if days.rule is DayRule.EITHER else "")


def _field(values: frozenset[int], everything: frozenset[int]) -> str:
    if values == everything:
        return "*"
    numbers = sorted(values)
    step = numbers[1] - numbers[0] if len(numbers) > _TWO else 0
    if step > 1 and numbers == list(range(min(everything), max(everything) + 1, step)):
        return f"*/{step}"
    texts = []
    while numbers:
        first = last = numbers.pop(0)
        while numbers and numbers[0] == last + 1:
            last = numbers.pop(0)
        texts.append(str(first) if first == last else f"{first}-{last}")
    return ",".join(texts)
