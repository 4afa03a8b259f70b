"""Which variables make a job of the catalogue be another one: the way back from a job to the settings."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from packages.catalogue.jobs import DailyAt, JobDefinition
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.model import Job
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.windows import windows_text
from packages.shared_settings.beat import BeatSettings

if TYPE_CHECKING:
    from packages.shared_settings.policies import PolicyOverrides


def can_be_moved(definition: JobDefinition, job: Job) -> bool:
    """Whether the settings can give this job another phase or another time of day."""
    return isinstance(job.trigger, IntervalTrigger) or isinstance(definition.trigger, DailyAt)


def assignments_of(definition: JobDefinition, settings: BeatSettings, wanted: Job) -> Mapping[str, str]:
    """The variables to set, beside what `settings` say, so that the definition's job has the place of `wanted`.

    Its place is its phase, or its time of day, and its windows; all else is taken to be equal. What the settings
    override already stays. Empty when nothing is to be set.

    Raises:
        ValueError: the settings have no way to say it.
    """
    is_now = definition.job(settings)
    if is_now.trigger != wanted.trigger and isinstance(wanted.trigger, CronTrigger):
        return _time_of_day(definition, settings, wanted.trigger)
    overrides: dict[str, Any] = {}
    removed: set[str] = set()
    if is_now.trigger != wanted.trigger:
        if not isinstance(wanted.trigger, IntervalTrigger):
            raise ValueError(f"no setting gives job {definition.name} the trigger {wanted.trigger.describe()}")
        # The two of them say the same thing.
        removed.add("spread")
        overrides["phase_seconds"] = _number(wanted.trigger.phase_ms)
    if is_now.policies.windows != wanted.policies.windows:
        if wanted.policies.windows is None:
            removed.add("windows")
        else:
            overrides["windows"] = windows_text(wanted.policies.windows)
    if not (overrides or removed):
        return {}
    given: PolicyOverrides = getattr(settings, definition.policy_field)
    kept = given.model_dump(mode="json", exclude_none=True, exclude=removed)
    return {definition.policy_field.upper(): json.dumps({**kept, **overrides})}


def _time_of_day(definition: JobDefinition, settings: BeatSettings, trigger: CronTrigger) -> Mapping[str, str]:
    fields = definition.trigger
    if not isinstance(fields, DailyAt) or len(trigger.hours) != 1 or len(trigger.minutes) != 1:
        raise ValueError(f"no setting gives job {definition.name} the trigger {trigger.describe()}")
    (hour,), (minute,) = trigger.hours, trigger.minutes
    wanted = ((fields.hour_field, hour), (fields.minute_field, minute))
    return {field.upper(): str(value) for field, value in wanted if getattr(settings, field) != value}


def _number(phase_ms: int) -> float:
    """Seconds, a whole number where they are one."""
    seconds, rest = divmod(phase_ms, SECOND_MS)
    return phase_ms / SECOND_MS if rest else seconds
