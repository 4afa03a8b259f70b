"""What one tick of the engine came to. Values; nothing is decided here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from packages.scheduling.decision import Decision
from packages.scheduling.plan import Fire
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.state import JobState


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that raised, and was put aside until `until`."""

    job: str
    error: Exception
    until: int


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick came to. `states`: of every job that was looked at, as when all fires are published.

    `more`: others are due that this tick had no room for. `snapshot`: what the gates were asked under.
    """

    fires: tuple[Fire, ...] = ()
    decisions: tuple[Decision, ...] = ()
    states: Mapping[str, JobState] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    more: bool = False
    snapshot: Snapshot | None = field(default=None, compare=False)
