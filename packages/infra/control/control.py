"""What an operator says to a running beat, and where it is kept until beat has heard it.

Nothing is decided here about a fire: the pause gate and the engine do that.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from packages.scheduling.policies import GateMode
from packages.scheduling.requests import BackfillRequest, TriggerRequest
from packages.scheduling.snapshot import Pause, PauseScope

Request = TriggerRequest | BackfillRequest


class Control(NamedTuple):
    """All that is said at one instant.

    `pauses` are those that have not ended, in the order of scope and target. `requests` are those that beat has not
    taken over, in the order of their ids. `gate_modes` are by gate, above every job's own.
    """

    pauses: tuple[Pause, ...] = ()
    requests: tuple[Request, ...] = ()
    gate_modes: Mapping[str, GateMode] = MappingProxyType({})


class ControlStore(Protocol):
    """Keeps the operator's word. Each method raises `redis.RedisError` when what is behind it cannot be reached."""

    def read(self, now: int) -> Control:
        """All that is said at the instant `now`."""
        ...

    def pause(self, pause: Pause) -> None:
        """Keep a pause, in place of an earlier one of the same scope and target."""
        ...

    def resume(self, scope: PauseScope, target: str) -> bool:
        """Drop the pause of this scope and target; whether there was one."""
        ...

    def request(self, request: Request) -> None:
        """Keep a request until it is acknowledged."""
        ...

    def acknowledge(self, ids: Collection[str]) -> None:
        """Drop requests that beat has taken over and stored; ids that are not there do not matter."""
        ...

    def set_gate_mode(self, gate: str, mode: GateMode | None) -> None:
        """Put a word on a gate above the jobs' own; None takes it back."""
        ...


def in_order(pauses: Collection[Pause]) -> tuple[Pause, ...]:
    """Pauses in the order in which `Control` has them: the widest scope first."""
    scopes = list(PauseScope)
    return tuple(sorted(pauses, key=lambda pause: (scopes.index(pause.scope), pause.target)))


def has_ended(pause: Pause, now: int) -> bool:
    """Whether the pause holds nothing any more at the instant `now`."""
    return pause.until is not None and now >= pause.until
