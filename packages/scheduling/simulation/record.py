"""What is taken down while a scenario runs, and what a whole run leaves behind. Values; measuring is elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from packages.scheduling.decision import Decision
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.simulation.message import Message
from packages.scheduling.simulation.scenario import JobGroup, Scenario

SAMPLED_EVERY_MS: Final = SECOND_MS


class Sample(NamedTuple):
    """One look at the whole: `ready` by queue in the order of the scenario.

    `owed`: how many jobs owed a fire at the last control interval.
    """

    at: int
    ready: tuple[int, ...]
    owed: int


class Rates(NamedTuple):
    """From `at` on these rates hold, in millionths, by queue and criticality; one that is not there is all."""

    at: int
    rates: Mapping[tuple[str, Criticality], int]


@dataclass(slots=True)
class Record:
    """What is taken down."""

    messages: list[Message] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    rates: list[Rates] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One strategy on one scenario. `peaks` and `means` of the backlog are by queue; `peak` is that of the whole."""

    scenario: Scenario
    strategy: str
    seed: int
    service_scale: float
    jobs: Mapping[str, Job]
    groups: Mapping[str, JobGroup]
    record: Record
    peaks: Mapping[str, int]
    means: Mapping[str, float]
    peak: int
