"""Which jobs a preview is of: those that the settings turn on, a choice among them, and their calendars; and it."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase

import typer

from apps.cli.errors import CommandError
from apps.cli.preview_period import Period
from apps.cli.preview_settings import Known, told
from packages.catalogue.jobs import JOBS, JobDefinition, enabled_jobs
from packages.infra.calendars.errors import CalendarError
from packages.infra.calendars.load import load_calendars
from packages.infra.queue.beat_calendars import open_calendars
from packages.scheduling.model import Job
from packages.scheduling.preview import preview
from packages.scheduling.preview_columns import Preview
from packages.scheduling.sessions import SessionTable
from packages.scheduling.snapshot import Snapshot
from packages.shared_settings import SettingsError
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.policies import PolicyOverrides

# More fires than anybody reads, and as many as fit into a gigabyte or two.
MOST_NOMINALS = 5_000_000


@dataclass(frozen=True)
class Selected:
    """Jobs of an environment."""

    known: Known
    jobs: tuple[Job, ...]


def jobs_of(known: Known) -> Selected:
    """All jobs that are on.

    Raises:
        SettingsError: the policies of a job contradict each other.
    """
    try:
        return Selected(known, enabled_jobs(known.settings))
    except SettingsError as error:
        raise told(error, known.given) from None


def job_of(definition: JobDefinition, known: Known) -> Selected:
    """This one job, whether it is on or not.

    Raises:
        SettingsError: its policies contradict each other.
    """
    try:
        return Selected(known, (definition.job(known.settings),))
    except SettingsError as error:
        raise told(error, known.given) from None


def chosen(selected: Selected, *, names: Sequence[str], queues: Sequence[str]) -> Selected:
    """Those of its jobs that match a name, a part behind the dot or a glob of `names`, and are of one of `queues`.

    Raises:
        typer.BadParameter: a name matches no job of the catalogue, or a queue is that of none.
    """
    for pattern in names:
        if not any(_matches(job.name, pattern) for job in JOBS):
            raise typer.BadParameter(f"no job matches {pattern!r}. The jobs are:\n  {_listed()}")
    there = {job.queue for job in JOBS}
    if unknown := set(queues) - there:
        raise typer.BadParameter(f"no job publishes to {min(unknown)!r}; there are {', '.join(sorted(there))}")
    return replace(selected, jobs=tuple(job for job in selected.jobs if _is_chosen(job, names, queues)))


def calendars_of(selected: Selected, *, now: datetime) -> Mapping[str, SessionTable]:
    """The calendars that the policies of the jobs ask for, from the cache on disk, or compiled into it.

    Raises:
        SettingsError: a market has no calendar, or the file of overrides cannot be used.
    """
    known = selected.known
    try:
        return open_calendars(known.settings, selected.jobs, now=now).tables
    except SettingsError as error:
        raise told(error, known.given) from None


def previewed(selected: Selected, period: Period, *, now: datetime) -> tuple[Preview, Mapping[str, SessionTable]]:
    """The preview of the jobs without any reading, and the calendars that it was made with.

    Raises:
        CommandError: that would be more than `MOST_NOMINALS` fires.
        SettingsError: see `calendars_of`.
    """
    nominals = 0
    for job in selected.jobs:
        for chunk in job.trigger.between(period.start, period.end):
            nominals += len(chunk)
            if nominals > MOST_NOMINALS:
                raise CommandError(
                    f"that is more than {MOST_NOMINALS:,} fires: fewer hours (--hours), or only some jobs (--job)"
                )
    calendars = calendars_of(selected, now=now)
    snapshot = Snapshot(taken_at=period.start, markets=calendars)
    return preview(selected.jobs, snapshot, start=period.start, end=period.end), calendars


def calendars_in_use(selected: Selected, markets: Collection[str], *, now: datetime) -> Mapping[str, SessionTable]:
    """The calendars of markets that no policy names; one without a calendar, a misspelt one, say, is not in it."""
    settings = selected.known.settings
    overrides = settings.calendar_overrides_file
    files = () if overrides is None else (overrides,)
    tables: dict[str, SessionTable] = {}
    for market in sorted(markets):
        with suppress(CalendarError):
            tables |= load_calendars([market], settings.minsy_var_dir / "calendars", now=now, overrides=files)
    return tables


def flags_off(settings: BeatSettings, *, names: Sequence[str], queues: Sequence[str]) -> dict[str, list[str]]:
    """The flags that are off, each with the jobs that it would turn on, among those that are chosen."""
    flags: dict[str, list[str]] = {}
    for definition in JOBS:
        if not definition.enabled(settings) and _is_chosen(definition, names, queues):
            flags.setdefault(definition.flag.upper(), []).append(definition.name)
    return flags


def _is_chosen(job: Job | JobDefinition, names: Sequence[str], queues: Sequence[str]) -> bool:
    return (not names or any(_matches(job.name, pattern) for pattern in names)) and (not queues or job.queue in queues)


def overrides_of(definition: JobDefinition, settings: BeatSettings) -> PolicyOverrides:
    """What the settings change of the policies of a job."""
    return PolicyOverrides.model_validate(getattr(settings, definition.policy_field))


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition(".")[2], pattern)


def _listed() -> str:
    return "\n  ".join(job.name for job in JOBS)
