"""Any Celery schedule as a trigger of ours.

    JobSchedule                    the trigger of its job
    schedule(every)                an interval from an anchor
    crontab                        a cron in the app's zone, whose day fields must all match, as Celery has it
    solar, relative intervals, and
    subclasses that only estimate  their own `remaining_estimate`, asked at made-up instants
    everything else                polled: only `is_due` knows, at the moment it is asked

A class of a user's own that has both `is_due` and `remaining_estimate` is polled, too, unless it says of itself
`predictable = True`: its answer hangs on nothing but the last run and the clock.
"""

from collections.abc import Mapping
from datetime import timedelta, tzinfo
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import BaseSchedule, crontab, schedule, solar

from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.scheduling.instants import ONE_MS
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.cron_days import DayRule
from packages.scheduling.triggers.interval import IntervalTrigger

# As they were when this was imported: what has been put in their place since wants to be called.
_ENTRY_IS_DUE: Final = ScheduleEntry.is_due
_NOW: Final = BaseSchedule.now
_IS_DUE: Final[Mapping[type[BaseSchedule], object]] = MappingProxyType(
    {kind: kind.is_due for kind in (schedule, crontab, solar, JobSchedule)}
)
# The searches of a solar schedule end within a second of each other.
_SOLAR_SETTLES_MS: Final = 1_000


def is_polled(entry: ScheduleEntry) -> bool:
    """Whether only `is_due` of the entry, or of its schedule, knows when it runs."""
    # Not by `vars`: that would give each entry a dictionary of its own.
    if type(entry).is_due is not _ENTRY_IS_DUE or _is_replaced(entry):
        return True
    when: Any = entry.schedule
    kind = type(when)
    if when.nowfun is not None or kind.now is not _NOW or _is_replaced(when):
        return True
    if kind is schedule and when.run_every <= timedelta(0):
        # Due whenever it is asked.
        return True
    if getattr(kind, "predictable", False):
        return False
    return not any(issubclass(kind, base) and kind.is_due is original for base, original in _IS_DUE.items())


def period_of(when: object) -> timedelta | None:
    """The period of a schedule that needs an anchor; None for any other."""
    if type(when) is not schedule or when.relative:
        return None
    period: timedelta = when.run_every  # type: ignore[attr-defined]  # celery-types lacks it
    return period


def trigger_of(when: BaseSchedule, app: Celery, *, anchor: int) -> Trigger:
    """The trigger of a schedule that is not polled. `anchor` is an instant of the grid of an interval.

    Raises:
        TriggerError: the schedule names no instant, or one that cannot be computed.
    """
    if isinstance(when, JobSchedule):
        return when.job.trigger
    if (period := period_of(when)) is not None:
        return _interval(period, anchor)
    if type(when) is crontab and (zone := zone_name(_zone_of(when, app))) is not None:
        cron: Any = when  # celery-types does not know the expanded fields
        fields = (cron.minute, cron.hour, cron.day_of_month, cron.month_of_year, cron.day_of_week)
        return _cron(*(frozenset(field) for field in fields), zone=zone)
    # Imported here, as the one below: few schedules are such, and beat starts without.
    from packages.infra.beat.entries.estimated_trigger import EstimatedTrigger

    return EstimatedTrigger.of(when, app, settles_ms=_SOLAR_SETTLES_MS if isinstance(when, solar) else 0)


def anchor_of(trigger: Trigger) -> int | None:
    """An instant of the grid of one of Celery's intervals, as `trigger_of` takes it; None of any other trigger."""
    if isinstance(trigger, IntervalTrigger):
        return trigger.phase_ms
    # Imported here: few schedules have any.
    from packages.infra.beat.entries.microsecond_interval import MicrosecondInterval

    return trigger.anchor if isinstance(trigger, MicrosecondInterval) else None


def is_on_grid(trigger: Trigger, anchor: int) -> bool:
    """Whether `trigger_of` makes the same trigger of this anchor."""
    if isinstance(trigger, IntervalTrigger):
        return anchor % trigger.period_ms == trigger.phase_ms
    return anchor == anchor_of(trigger)


def zone_name(zone: tzinfo) -> str | None:
    """The name of a zone of `zoneinfo` or pytz; None for one that has no name."""
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)
    return str(name) if name else None


def _zone_of(when: Any, app: Celery) -> tzinfo:  # noqa: ANN401  # a crontab; celery-types gives its zone as text
    own: tzinfo | None = vars(when).get("tz")
    # The app's own property, and not the schedule's: that would be kept in the user's object.
    zone: Any = own if own is not None else app.timezone
    return zone  # type: ignore[no-any-return]  # celery-types gives it as text


def _is_replaced(asked: Any) -> bool:  # noqa: ANN401  # an entry or a schedule
    """Whether one object has an `is_due` of its own."""
    return getattr(asked.is_due, "__func__", None) is not type(asked).is_due


def _interval(period: timedelta, anchor: int) -> Trigger:
    if period % ONE_MS:
        from packages.infra.beat.entries.microsecond_interval import MicrosecondInterval

        return MicrosecondInterval(period // timedelta(microseconds=1), anchor)
    period_ms = period // ONE_MS
    return _shared_interval(period_ms, anchor % period_ms)


# Thousands of entries may have the same one.
@lru_cache(maxsize=4_096)
def _shared_interval(period_ms: int, phase_ms: int) -> IntervalTrigger:
    return IntervalTrigger(period_ms, phase_ms)


@lru_cache(maxsize=4_096)
def _cron(*fields: frozenset[int], zone: str) -> CronTrigger:
    minutes, hours, days_of_month, months, days_of_week = fields
    return CronTrigger.of_sets(
        minutes=minutes,
        hours=hours,
        days_of_month=days_of_month,
        months=months,
        days_of_week=days_of_week,
        zone=zone,
        day_rule=DayRule.BOTH,
    )
