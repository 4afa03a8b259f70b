"""Small scenarios for the tests of the laboratory, and what comes of one."""

from dataclasses import replace
from typing import Any

from packages.scheduling.model import Criticality
from packages.scheduling.simulate import simulate
from packages.scheduling.simulation.message import Message
from packages.scheduling.simulation.record import Outcome
from packages.scheduling.simulation.scenario import JobGroup, Scenario, ServiceTime, WorkerSpec
from packages.scheduling.simulation.strategies import Strategy

SECOND = 1_000
MINUTE = 60_000
HOUR = 3_600_000


def a_group(name: str = "sweep", **changes: Any) -> JobGroup:  # noqa: ANN401  # of any field
    """One sheddable job on the queue `area` that runs for a second every minute, unless told otherwise."""
    group = JobGroup(
        name=name,
        count=1,
        task=f"area.{name}",
        queue="area",
        criticality=Criticality.SHEDDABLE,
        service=ServiceTime(SECOND),
        every_ms=MINUTE,
    )
    return replace(group, **changes)


def a_worker(name: str = "worker", **changes: Any) -> WorkerSpec:  # noqa: ANN401  # of any field
    """A worker of the queue `area` with one process."""
    return replace(WorkerSpec(name=name, queues=("area",), processes=1), **changes)


def a_scenario(*groups: JobGroup, **changes: Any) -> Scenario:  # noqa: ANN401  # of any field
    """An hour with one worker that needs no time to take a message."""
    scenario = Scenario(
        name="small",
        title="A small one",
        length_ms=HOUR,
        objectives_ms={"area": MINUTE},
        workers=(a_worker(),),
        groups=groups or (a_group(),),
        message_ms=0,
    )
    return replace(scenario, **changes)


def fixed(scenario: Scenario, *, seed: int = 1, service_scale: float = 1.0) -> Outcome:
    return simulate(scenario, Strategy.FIXED, seed=seed, service_scale=service_scale)


def began(outcome: Outcome) -> list[Message]:
    """The messages whose run began, in that order."""
    messages = [message for message in outcome.record.messages if message.started_at is not None]
    return sorted(messages, key=lambda message: message.started_at or 0)
