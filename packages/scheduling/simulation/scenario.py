"""A scenario of the laboratory: a platform, its jobs, and what befalls it. Frozen values; who reads them is elsewhere.

Durations are in whole milliseconds; instants of a scenario are counted from its beginning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import exp
from typing import Final

from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.instants import HOUR_MS, MINUTE_MS
from packages.scheduling.message_priority import FIRST, PRIORITIES
from packages.scheduling.model import Criticality
from packages.scheduling.policies import CatchUpMode, OverlapMode

# 2026-03-02 08:00 UTC, a Monday, for a scenario that does not say when it begins.
DEFAULT_BEGINNING: Final = 1_772_438_400_000
DEFAULT_MESSAGE_MS: Final = 2
DEFAULT_VISIBILITY_MS: Final = HOUR_MS


class ScenarioError(ValueError):
    """`source` says something at `place` (table and key) that is not allowed; the text says what is."""

    def __init__(self, source: str, place: str, problem: str) -> None:
        self.source = source
        self.place = place
        super().__init__(f"{source}: {place}: {problem}" if place else f"{source}: {problem}")


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """How long a run takes: lognormal with this median and the standard deviation `sigma` of its logarithm.

    `sigma` 0: always the median.
    """

    median_ms: int
    sigma: float = 0.0

    @property
    def mean_ms(self) -> float:
        """The mean of the distribution."""
        return self.median_ms * exp(self.sigma**2 / 2)


class InFlight(StrEnum):
    """What becomes of the messages that a worker held when it died.

    They are back when the worker is, or after the visibility timeout, or gone.
    """

    RETURNED = "returned"
    VISIBILITY = "visibility"
    LOST = "lost"


class QueueOrder(StrEnum):
    """Which queue a worker takes from, of several with messages of one priority (kombu's `queue_order_strategy`).

    Each in its turn, as by default; or always the first in the worker's list.
    """

    ROUND_ROBIN = "round_robin"
    PRIORITY = "priority"


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One worker: the queues that it serves, in this order at first, and how many runs it does at once."""

    name: str
    queues: tuple[str, ...]
    processes: int
    in_flight: InFlight = InFlight.RETURNED
    order: QueueOrder = QueueOrder.ROUND_ROBIN


@dataclass(frozen=True, slots=True)
class JobGroup:
    """`count` jobs of one kind, named `<name>.<number>`.

    Every `every_ms`, or as `cron` (in UTC) says. `spread`: each on a grid of its own. `failing`: the share of runs that
    fail. `begins_at` and `ends_at`: when it is active; None: to the end of the scenario.
    """

    name: str
    count: int
    task: str
    queue: str
    criticality: Criticality
    service: ServiceTime
    every_ms: int | None = None
    cron: str | None = None
    jitter_ms: int = 0
    spread: bool = False
    failing: float = 0.0
    expires_ms: int | None = None
    max_staleness_ms: int | None = None
    catch_up: CatchUpMode = CatchUpMode.LATEST
    overlap: OverlapMode = OverlapMode.ALLOW
    begins_at: int = 0
    ends_at: int | None = None


@dataclass(frozen=True, slots=True)
class Resized:
    """`worker` has another number of processes; runs that are under way end."""

    at: int
    worker: str
    processes: int
    lasts_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """`worker` is dead at once."""

    at: int
    worker: str
    lasts_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Slowed:
    """Runs that begin take `factor` times as long: those of `task`, of `queue`, or all."""

    at: int
    factor: float
    task: str | None = None
    queue: str | None = None
    lasts_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Failing:
    """This share of the runs of `task` that begin fails."""

    at: int
    task: str
    share: float
    lasts_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """`messages` of the jobs of a group are there at once, as if they had been published evenly over `over_ms`."""

    at: int
    group: str
    messages: int
    over_ms: int = 0
    lasts_ms: None = None


@dataclass(frozen=True, slots=True)
class Blind:
    """The probes say nothing."""

    at: int
    lasts_ms: int | None = None


Event = Resized | Stopped | Slowed | Failing | Backlog | Blind
"""What befalls the platform at `at`; with `lasts_ms` it is undone after that."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The whole of it. `begins`: the instant at which it begins. `message_ms`: what a worker needs to take a message.

    `objectives_ms`: by queue, how long a run may wait for its start. `control`: the thresholds of the adaptive control.
    `message_priorities`: whether messages carry the priority of their job's criticality, as on a Redis broker.
    """

    name: str
    title: str
    length_ms: int
    objectives_ms: Mapping[str, int]
    workers: tuple[WorkerSpec, ...]
    groups: tuple[JobGroup, ...]
    events: tuple[Event, ...] = ()
    control: ControlPolicy = field(default_factory=ControlPolicy)
    begins: int = DEFAULT_BEGINNING
    message_ms: int = DEFAULT_MESSAGE_MS
    visibility_ms: int = DEFAULT_VISIBILITY_MS
    message_priorities: bool = True

    def priority_of(self, criticality: Criticality) -> int:
        """That of the messages of such jobs."""
        return PRIORITIES[criticality] if self.message_priorities else FIRST

    @property
    def ends(self) -> int:
        """The instant at which it is over."""
        return self.begins + self.length_ms

    @property
    def queues(self) -> tuple[str, ...]:
        """The names of the queues."""
        return tuple(self.objectives_ms)


LONGEST_MS: Final = 7 * 24 * HOUR_MS
SHORTEST_MS: Final = MINUTE_MS
