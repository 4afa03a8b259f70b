"""What was known at one tick. Each reading carries when it was taken, and may be absent: an absent one is not zero."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from packages.scheduling.control.controllers import NEUTRAL, Controllers
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode
from packages.scheduling.readings import ObjectiveReading, QueueReading, TaskReading
from packages.scheduling.sessions import SessionTable

T = TypeVar("T")
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Reading(NamedTuple, Generic[T]):
    """A value and the instant at which it was true."""

    value: T
    taken_at: int

    def age_ms(self, now: int) -> int:
        """How far from `now` it was taken: before a clock was set back, that is ahead of it, and says as little."""
        return abs(now - self.taken_at)


class PauseScope(StrEnum):
    """What a pause holds: everything, a criticality, a queue, or one job."""

    ALL = "all"
    CRITICALITY = "criticality"
    QUEUE = "queue"
    JOB = "job"


class Pause(NamedTuple):
    """An operator's word that nothing of `target` is to be published until `until` (exclusive); None: until resumed.

    `target` is a criticality, a queue or a job by name, empty for the scope `all`. `since` is when it was said, for
    people: a pause holds from when it is known, whatever clock has dated it.
    """

    scope: PauseScope
    target: str
    since: int
    until: int | None
    note: str

    def holds(self, job: Job, at: int) -> bool:
        """Whether the pause holds back a fire of `job` at the instant `at`."""
        if self.until is not None and at >= self.until:
            return False
        match self.scope:
            case PauseScope.ALL:
                return True
            case PauseScope.CRITICALITY:
                return job.criticality.value == self.target
            case PauseScope.QUEUE:
                return job.queue == self.target
            case PauseScope.JOB:
                return job.name == self.target


class Run(NamedTuple):
    """A run of a job that is not over: published, and neither ended nor given up.

    It counts until `counts_until` (exclusive), which the worker that runs it keeps moving.
    """

    task_id: str
    published_at: int
    counts_until: int


class Pin(NamedTuple):
    """An operator's word that this share of the fires of a queue goes out, whatever the control thinks.

    `criticality` None: every one. `rate` is in millionths. It ends at `until` (exclusive); None: when it is taken back.
    """

    queue: str
    criticality: Criticality | None
    rate: int
    since: int
    until: int | None
    note: str

    def holds(self, at: int) -> bool:
        """Whether it has not ended at the instant `at`."""
        return self.until is None or at < self.until


class Exemption(NamedTuple):
    """An operator's word that no fire of `job` is throttled until `until` (exclusive); None: until taken back."""

    job: str
    since: int
    until: int | None
    note: str

    def holds(self, at: int) -> bool:
        """Whether it has not ended at the instant `at`."""
        return self.until is None or at < self.until


class Snapshot(NamedTuple):
    """All readings of one tick. Mappings are by name of queue, job, market or gate; a missing key is an absent reading.

    markets: compiled calendars by MIC code. active_markets: codes that the workers say are in use.
    running: runs by job. gate_modes: an operator's word on a gate, above the job's own. queues, tasks, objectives: what
    the probes tell. pins: by queue and criticality (None: every one); exempt: by job. controllers: the adaptive
    control's state, as of this tick.
    """

    taken_at: int
    markets: Mapping[str, SessionTable] = _NOTHING
    active_markets: Reading[frozenset[str]] | None = None
    pauses: Reading[tuple[Pause, ...]] | None = None
    running: Reading[Mapping[str, tuple[Run, ...]]] | None = None
    gate_modes: Mapping[str, GateMode] = _NOTHING
    queues: Mapping[str, Reading[QueueReading]] = _NOTHING
    tasks: Mapping[str, Reading[TaskReading]] = _NOTHING
    objectives: Mapping[str, Reading[ObjectiveReading]] = _NOTHING
    pins: Mapping[tuple[str, Criticality | None], Pin] = _NOTHING
    exempt: Mapping[str, Exemption] = _NOTHING
    controllers: Controllers = NEUTRAL
