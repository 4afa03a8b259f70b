"""What an operator says to a running beat, and where it is kept until beat has heard it.

Nothing is decided here about a fire: the gates and the engine do that.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode
from packages.scheduling.requests import Request
from packages.scheduling.snapshot import Exemption, Pause, PauseScope, Pin

# What is said of a stretch of time, and ends with it.
Lasting = Pause | Pin | Exemption


class Control(NamedTuple):
    """All that is said at one instant.

    `pauses` are those that have not ended, in the order of scope and target; so are `pins`, by queue and criticality,
    the one of every criticality first, and `exemptions`, by job. `requests` are those that beat has not taken over, in
    the order of their ids. `gate_modes` are by gate, above every job's own.
    """

    pauses: tuple[Pause, ...] = ()
    requests: tuple[Request, ...] = ()
    gate_modes: Mapping[str, GateMode] = MappingProxyType({})
    pins: tuple[Pin, ...] = ()
    exemptions: tuple[Exemption, ...] = ()


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

    def pin(self, pin: Pin) -> None:
        """Keep a pin, in place of an earlier one of the same queue and criticality."""
        ...

    def unpin(self, queue: str, criticality: Criticality | None) -> bool:
        """Drop the pin of this queue and criticality, None being that of every one; whether there was one."""
        ...

    def exempt(self, exemption: Exemption) -> None:
        """Keep an exemption, in place of an earlier one of the same job."""
        ...

    def unexempt(self, job: str) -> bool:
        """Drop the exemption of this job; whether there was one."""
        ...


def in_order(pauses: Collection[Pause]) -> tuple[Pause, ...]:
    """Pauses in the order in which `Control` has them: the widest scope first."""
    scopes = list(PauseScope)
    return tuple(sorted(pauses, key=lambda pause: (scopes.index(pause.scope), pause.target)))


def pins_in_order(pins: Collection[Pin]) -> tuple[Pin, ...]:
    """Pins in the order in which `Control` has them: of a queue the widest first."""
    criticalities = [None, *Criticality]
    return tuple(sorted(pins, key=lambda pin: (pin.queue, criticalities.index(pin.criticality))))


def has_ended(said: Lasting, now: int) -> bool:
    """Whether it holds nothing any more at the instant `now`."""
    return said.until is not None and now >= said.until


def as_of(control: Control, now: int) -> Control:
    """The same without what has ended at the instant `now`; the same object if nothing has."""
    lasting: tuple[Lasting, ...] = (*control.pauses, *control.pins, *control.exemptions)
    if not any(has_ended(said, now) for said in lasting):
        return control
    return control._replace(
        pauses=tuple(pause for pause in control.pauses if not has_ended(pause, now)),
        pins=tuple(pin for pin in control.pins if not has_ended(pin, now)),
        exemptions=tuple(exemption for exemption in control.exemptions if not has_ended(exemption, now)),
    )
