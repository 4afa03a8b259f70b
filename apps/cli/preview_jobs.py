"""Which jobs a preview is of: those that the settings turn on, a choice among them, and their calendars."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase

import typer

from apps.cli.preview_settings import Known, told
from packages.catalogue.jobs import JOBS, JobDefinition, enabled_jobs
from packages.infra.calendars.errors import CalendarError, OverrideError
from packages.infra.calendars.load import load_calendars
from packages.scheduling.model import Job
from packages.scheduling.sessions import SessionTable
from packages.shared_settings import SettingsError
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.policies import PolicyOverrides


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
    second = known.settings.calendar_overrides_file
    try:
        return load_calendars(
            markets_of(selected.jobs),
            known.settings.minsy_var_dir / "calendars",
            now=now,
            overrides=[second] if second else [],
        )
    except OverrideError as error:
        raise SettingsError(known.problem_with("calendar_overrides_file", str(error))) from None
    except CalendarError as error:
        raise SettingsError(known.problem_with(_field_of_markets(selected, str(error)), str(error))) from None


def markets_of(jobs: Iterable[Job]) -> Collection[str]:
    """The markets that the policies of these jobs name."""
    markets: set[str] = set()
    for job in jobs:
        markets |= set(job.policies.trading_hours.markets if job.policies.trading_hours else ())
        markets |= set(job.policies.windows.outside_sessions_of if job.policies.windows else ())
    return markets


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


def _field_of_markets(selected: Selected, problem: str) -> str:
    """The field that names the market of a problem: a job's own, else that of all jobs."""
    for definition in JOBS:
        overrides = overrides_of(definition, selected.known.settings)
        texts = (*(overrides.trading_hours_markets or ()), overrides.windows or "")
        own = markets_of(job for job in selected.jobs if job.name == definition.name)
        if any(repr(market) in problem and any(market in text for text in texts) for market in own):
            return definition.policy_field
    return "trading_hours_markets"


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition(".")[2], pattern)


def _listed() -> str:
    return "\n  ".join(job.name for job in JOBS)
