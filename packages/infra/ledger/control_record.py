"""What the adaptive control knew at a tick, as a part of the tick's record.

It changes once per control interval, and ticks may be many: it is written with the first record after a change, and
the records that follow name that one. Nothing is decided here.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from packages.infra.beat.stored_controllers import controllers_of_plain, controllers_plain
from packages.scheduling.control.controllers import NEUTRAL, Controllers
from packages.scheduling.model import Criticality
from packages.scheduling.readings import ObjectiveReading, QueueReading, TaskReading, WindowCount
from packages.scheduling.snapshot import Exemption, Pin, Reading, Snapshot

T = TypeVar("T")
_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


class ControlRecord(NamedTuple):
    """The fields of a snapshot that the control and its gates look at."""

    queues: Mapping[str, Reading[QueueReading]] = _NOTHING
    tasks: Mapping[str, Reading[TaskReading]] = _NOTHING
    objectives: Mapping[str, Reading[ObjectiveReading]] = _NOTHING
    pins: Mapping[tuple[str, Criticality | None], Pin] = _NOTHING
    exempt: Mapping[str, Exemption] = _NOTHING
    controllers: Controllers = NEUTRAL

    @classmethod
    def of(cls, snapshot: Snapshot) -> "ControlRecord":
        """Those of a snapshot."""
        return cls(*(getattr(snapshot, name) for name in cls._fields))

    def put_into(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with these."""
        return snapshot._replace(**self._asdict())


NOTHING_KNOWN: Final = ControlRecord()


def control_plain(known: ControlRecord, at: int) -> dict[str, Any]:
    """The same as what JSON knows; a reading is written with its age at the instant `at`, in ms.

    Queues that share workers are told by their number among the sorted names of `queues`: else each would name all.
    """
    numbers = {name: number for number, name in enumerate(sorted(known.queues))}
    controllers = controllers_plain(known.controllers)
    for queue in controllers.get("queues", {}).values():
        if beside := queue.get("beside"):
            queue["beside"] = _numbered(beside, numbers)
    plain: dict[str, Any] = {
        "queues": {
            name: _aged(known.queues[name], at, _queue_plain(known.queues[name].value, numbers)) for name in numbers
        },
        "tasks": {name: _aged(each, at, list(each.value)) for name, each in sorted(known.tasks.items())},
        "objectives": {
            name: _aged(each, at, [list(count) for count in each.value])
            for name, each in sorted(known.objectives.items())
        },
        "pins": [list(pin) for pin in known.pins.values()],
        "exempt": [list(each) for each in known.exempt.values()],
        "controllers": controllers,
    }
    return {name: value for name, value in plain.items() if value}


def control_of_plain(raw: dict[str, Any], at: int) -> ControlRecord:
    """What `control_plain` made.

    Raises:
        ValueError, TypeError, LookupError, AttributeError: it is no such thing.
    """
    pins = [_pin(*each) for each in raw.get("pins", ())]
    exempt = [Exemption(*each) for each in raw.get("exempt", ())]
    names = sorted(raw.get("queues", ()))
    controllers = raw.get("controllers", {})
    for queue in controllers.get("queues", {}).values():
        if "beside" in queue:
            queue["beside"] = _named(queue["beside"], names)
    return ControlRecord(
        queues={
            name: _reading(each, at, lambda plain: _queue(plain, names)) for name, each in raw.get("queues", {}).items()
        },
        tasks={name: _reading(each, at, _task) for name, each in raw.get("tasks", {}).items()},
        objectives={name: _reading(each, at, _windows) for name, each in raw.get("objectives", {}).items()},
        pins={(pin.queue, pin.criticality): pin for pin in pins},
        exempt={each.job: each for each in exempt},
        controllers=controllers_of_plain(controllers),
    )


def _aged(reading: Reading[T], at: int, plain: list[Any]) -> list[Any]:
    return [at - reading.taken_at, plain]


def _reading(raw: Any, at: int, value_of: Any) -> Reading[Any]:  # noqa: ANN401  # whatever JSON has, and its reader
    age_ms, plain = raw
    return Reading(value_of(plain), at - _int(age_ms))


def _queue_plain(queue: QueueReading, numbers: Mapping[str, int]) -> list[Any]:
    *counts, beside = queue
    return [*counts, *_numbered(sorted(beside), numbers)]


def _numbered(names: Iterable[str], numbers: Mapping[str, int]) -> list[str | int]:
    return [numbers.get(name, name) for name in names]


def _named(numbered: Iterable[str | int], names: Sequence[str]) -> list[str]:
    return [names[each] if isinstance(each, int) else _str(each) for each in numbered]


def _queue(plain: list[Any], names: Sequence[str]) -> QueueReading:
    ready, oldest_ms, reserved, running, completed, over_ms, consumers, *beside = plain
    for number in (ready, oldest_ms, reserved, running, completed, consumers):
        if number is not None:
            _int(number)
    return QueueReading(
        ready, oldest_ms, reserved, running, completed, _int(over_ms), consumers, frozenset(_named(beside, names))
    )


def _task(plain: list[Any]) -> TaskReading:
    return TaskReading(*map(_int, plain))


def _windows(plain: list[Any]) -> ObjectiveReading:
    return tuple(WindowCount(*map(_int, count)) for count in plain)


def _pin(  # noqa: PLR0913, PLR0917  # one for each field
    queue: str, criticality: str | None, rate: int, since: int, until: int | None, note: str
) -> Pin:
    return Pin(_str(queue), None if criticality is None else Criticality(criticality), _int(rate), since, until, note)


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
