"""The jobs of a scenario, made of its groups."""

from packages.scheduling.model import Job
from packages.scheduling.policies import CatchUp, Policies
from packages.scheduling.simulation.scenario import JobGroup, Scenario
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.triggers.bounded import Within
from packages.scheduling.triggers.interval import IntervalTrigger


def jobs_of(scenario: Scenario) -> dict[Job, JobGroup]:
    """All jobs, each with its group, in the order of the groups.

    Raises:
        TriggerError: a cron expression is none.
        PolicyError: the policies of a group contradict each other.
    """
    return {job_of(scenario, group, number): group for group in scenario.groups for number in range(1, group.count + 1)}


def name_of(group: JobGroup, number: int) -> str:
    """The name of one job of a group; numbers are from 1."""
    return f"{group.name}.{number}"


def job_of(scenario: Scenario, group: JobGroup, number: int) -> Job:
    """One job of a group."""
    name = name_of(group, number)
    return Job(
        name=name,
        task=group.task,
        trigger=_trigger(scenario, group, name),
        queue=group.queue,
        criticality=group.criticality,
        expires_ms=group.expires_ms,
        policies=Policies(
            jitter_ms=group.jitter_ms,
            catch_up=CatchUp(group.catch_up),
            overlap=group.overlap,
            max_staleness_ms=group.max_staleness_ms,
        ),
    )


def _trigger(scenario: Scenario, group: JobGroup, name: str) -> Trigger:
    if group.cron is not None:
        # Imported here: it brings croniter along.
        from packages.scheduling.triggers.cron_parse import parse_cron

        trigger: Trigger = parse_cron(group.cron)
    elif group.every_ms is not None:
        interval = IntervalTrigger(group.every_ms)
        trigger = interval.spread_by(name) if group.spread else interval
    else:
        raise ValueError(f"group {group.name}: it has neither an interval nor a cron")
    begins_at = scenario.begins + group.begins_at
    ends_at = scenario.ends if group.ends_at is None else scenario.begins + group.ends_at
    return Within(trigger, begins_at, ends_at)
