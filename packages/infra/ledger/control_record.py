"""What the adaptive control knew at a tick, as a part of the tick's record.

It changes once per control interval, and ticks may be many: it is written with the first record after a change, and
the records that follow name that one. Nothing is decided here.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from packages.infra.beat.stored_controllers import controllers_of_plain, controllers_plain
from packages.infra.beat.stored_groups import Group, GroupTable, group_of, groups_of_plain
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
    """The same as what JSON knows; a reading is written with its age at the instant `at`, in ms."""
    groups = GroupTable()
    plain: dict[str, Any] = {
        "queues": {
            name: _aged(each, at, _queue_plain(each.value, groups)) for name, each in sorted(known.queues.items())
        },
        "tasks": {name: _aged(each, at, list(each.value)) for name, each in sorted(known.tasks.items())},
        "objectives": {
            name: _aged(each, at, [list(count) for count in each.value])
            for name, each in sorted(known.objectives.items())
        },
        "pins": [list(pin) for pin in known.pins.values()],
        "exempt": [list(each) for each in known.exempt.values()],
        "controllers": controllers_plain(known.controllers, groups),
    }
    plain["groups"] = groups.plain
    return {name: value for name, value in plain.items() if value}


def control_of_plain(raw: dict[str, Any], at: int) -> ControlRecord:
    """What `control_plain` made.

    Raises:
        ValueError, TypeError, LookupError, AttributeError: it is no such thing.
    """
    pins = [_pin(*each) for each in raw.get("pins", ())]
    exempt = [Exemption(*each) for each in raw.get("exempt", ())]
    groups = groups_of_plain(raw.get("groups", []))
    return ControlRecord(
        queues={
            name: _reading(each, at, lambda plain: _queue(plain, groups))
            for name, each in raw.get("queues", {}).items()
        },
        tasks={name: _reading(each, at, _task) for name, each in raw.get("tasks", {}).items()},
        objectives={name: _reading(each, at, _windows) for name, each in raw.get("objectives", {}).items()},
        pins={(pin.queue, pin.criticality): pin for pin in pins},
        exempt={each.job: each for each in exempt},
        controllers=controllers_of_plain(raw.get("controllers", {}), groups),
    )


def _aged(reading: Reading[T], at: int, plain: list[Any]) -> list[Any]:
    return [at - reading.taken_at, plain]


def _reading(raw: Any, at: int, value_of: Any) -> Reading[Any]:  # noqa: ANN401  # whatever JSON has, and its reader
    age_ms, plain = raw
    return Reading(value_of(plain), at - _int(age_ms))


def _queue_plain(queue: QueueReading, groups: GroupTable) -> list[Any]:
    *counts, group = queue
    number = groups.number(group)
    return counts if number is None else [*counts, number]


def _queue(plain: list[Any], groups: Sequence[Group]) -> QueueReading:
    ready, oldest_ms, reserved, running, completed, over_ms, consumers, *named = plain
    for number in (ready, oldest_ms, reserved, running, completed, consumers):
        if number is not None:
            _int(number)
    [group] = named or [None]
    return QueueReading(
        ready, oldest_ms, reserved, running, completed, _int(over_ms), consumers, group_of(group, groups)
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
