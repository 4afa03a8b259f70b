"""A slow second opinion on crons: a walk through a window, half a minute at a time, that asks `zoneinfo` for the time.

It shares no code with the trigger: neither its tables of days nor its periods of a zone.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from packages.scheduling.instants import to_datetime, to_instant
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.cron_clock import Fold, Gap
from packages.scheduling.triggers.cron_days import LAST, CronDays, DayRule

STEP = timedelta(seconds=30)
DAY = timedelta(days=1)
CORRECTION = timedelta(hours=3)


def nominals(trigger: CronTrigger, start: int, end: int) -> list[int]:
    """What the trigger should name in (start, end]; both ends are full minutes."""
    zone = ZoneInfo(trigger.zone)
    found = set()
    # A day earlier, for the local times of a gap as long as a day.
    moment, previous = to_datetime(start) - DAY, None
    while moment <= to_datetime(end) + DAY:
        local = moment.astimezone(zone)
        wall = local.replace(tzinfo=None, fold=0)
        if wall.second == 0 and matches(trigger, wall) and counts(trigger.fold, local, zone):
            found.add(to_instant(moment))
        if previous is not None and wall - previous > STEP:
            length = wall - previous - STEP
            skipped = (previous + STEP * (n + 1) for n in range(length // STEP))
            moves = trigger.gap is Gap.SHIFT or (trigger.gap is Gap.DEBIAN and length < CORRECTION)
            if moves and any(time.second == 0 and matches(trigger, time) for time in skipped):
                found.add(to_instant(moment))
        moment, previous = moment + STEP, wall
    return sorted(nominal for nominal in found if start < nominal <= end)


def matches(trigger: CronTrigger, wall: datetime) -> bool:
    return wall.minute in trigger.minutes and wall.hour in trigger.hours and day_matches(trigger.days, wall)


def day_matches(days: CronDays, wall: datetime) -> bool:
    weekday = wall.isoweekday() % 7
    is_last = (wall + DAY).month != wall.month
    workdays_left = [
        later
        for later in (wall + n * DAY for n in range(1, 5))
        if later.month == wall.month and later.isoweekday() <= 5
    ]
    is_last_workday = wall.day > 24 and wall.isoweekday() <= 5 and not workdays_left
    by_date = wall.day in days.days_of_month or (days.last_day and is_last) or (days.last_workday and is_last_workday)
    by_weekday = (
        weekday in days.days_of_week
        or (weekday, (wall.day + 6) // 7) in days.nth_weekdays
        or ((weekday, LAST) in days.nth_weekdays and (wall + 7 * DAY).month != wall.month)
    )
    matching = by_date or by_weekday if days.rule is DayRule.EITHER else by_date and by_weekday
    return wall.month in days.months and matching


def counts(fold: Fold, local: datetime, zone: ZoneInfo) -> bool:
    """Whether this one of two equal local times is meant."""
    first, second = (local.replace(fold=n).astimezone(UTC) for n in (0, 1))
    if first == second:
        return True
    is_first = local.replace(tzinfo=zone).astimezone(UTC) == first
    match fold:
        case Fold.FIRST:
            return is_first
        case Fold.LAST:
            return not is_first
        case Fold.BOTH:
            return True
        case Fold.DEBIAN:
            return is_first or second - first >= CORRECTION
