"""What beat asks about queues, tasks and objectives, as a port."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from packages.scheduling.control.objective import Objective
from packages.scheduling.readings import ObjectiveReading, QueueReading, TaskReading
from packages.scheduling.snapshot import Reading

_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


class ProbeReadings(NamedTuple):
    """What is known, by name of queue, task or objective, each with the instant of its asking; what is missing is not.

    Instants are of beat's clock, and so are ages of messages.
    """

    queues: Mapping[str, Reading[QueueReading]] = _NOTHING
    tasks: Mapping[str, Reading[TaskReading]] = _NOTHING
    objectives: Mapping[str, Reading[ObjectiveReading]] = _NOTHING


class Probe(Protocol):
    """Asks at most once in `interval_ms`, which may be changed. Never raises because a server is away."""

    interval_ms: int

    def want(self, queues: Collection[str], tasks: Collection[str], objectives: Collection[Objective]) -> None:
        """Ask about these from now on, and forget all others."""
        ...

    def read(self, now_ms: int) -> ProbeReadings:
        """What is known at the instant `now_ms`: what was told last stays, with its age, while nobody answers."""
        ...

    def close(self) -> None:
        """Let go of the connections that are its own."""
        ...
