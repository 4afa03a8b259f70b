"""How the state of the adaptive control is written: JSON with the number of its version, sorted, defaults left out.

Nothing is decided here. What cannot be read raises `ForeignValueError`; who reads decides what then.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from packages.infra.beat.stored_groups import Group, GroupTable, group_of, groups_of_plain
from packages.infra.beat.stored_values import VERSION, ForeignValueError, json_text, raw_of
from packages.scheduling.control.controllers import (
    Controllers,
    LevelControl,
    QueueControl,
    TargetControl,
    Unheard,
    WaitBasis,
)
from packages.scheduling.control.shares import ONE
from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT
from packages.scheduling.model import Criticality

T = TypeVar("T")

_MOST: Final = 1 << 53
_HIGHEST_LEVEL: Final = 3
_QUEUE_FIELDS: Final = frozenset(QueueControl._fields)
_LEVEL_FIELDS: Final = frozenset(LevelControl._fields)
_TARGET_FIELDS: Final = frozenset(TargetControl._fields)
_FIELDS: Final = frozenset(Controllers._fields)


def controllers_text(controllers: Controllers) -> str:
    """The state as text: the same one for equal states."""
    groups = GroupTable()
    plain = controllers_plain(controllers, groups)
    return json_text({"v": VERSION, **plain, **_without_nothing(groups=groups.plain)})


def controllers_plain(controllers: Controllers, groups: GroupTable) -> dict[str, Any]:
    """The state as what JSON knows, without a version and its groups: for a text that has it and them as parts."""
    return _without_nothing(
        stepped_at=controllers.stepped_at,
        queues={name: _queue_plain(queue, groups) for name, queue in sorted(controllers.queues.items())},
        levels={name: _level_plain(level) for name, level in sorted(controllers.levels.items())},
        targets={task: _without_nothing(**target._asdict()) for task, target in sorted(controllers.targets.items())},
        coalesced=[[*key, count] for key, count in sorted(controllers.coalesced.items())],
        observed=controllers.observed,
    )


def controllers_of(text: str | bytes) -> Controllers:
    """The state that `controllers_text` wrote.

    Raises:
        ForeignValueError: it is no such text.
    """
    try:
        raw = raw_of(text)
        groups = groups_of_plain(raw.pop("groups", []))
        return controllers_of_plain(raw, groups)
    except ValueError as error:
        raise ForeignValueError(f"no state of the control of version {VERSION}: {error}") from error


def controllers_of_plain(raw: object, groups: Sequence[Group]) -> Controllers:
    """The state that `controllers_plain` made, with the groups of the same text.

    Raises:
        ForeignValueError: it is no such thing.
    """
    try:
        given = _fields(raw, _FIELDS)
        return Controllers(
            stepped_at=_instant_or_none(given.get("stepped_at")),
            queues={_str(name): _queue(queue, groups) for name, queue in _dict(given.get("queues", {})).items()},
            levels={_str(name): _level(level) for name, level in _dict(given.get("levels", {})).items()},
            targets={_str(task): _target(target) for task, target in _dict(given.get("targets", {})).items()},
            coalesced={
                (_str(queue), Criticality(criticality)): _count(count)
                for queue, criticality, count in _list(given.get("coalesced", []))
            },
            observed=_of_type(bool, given.get("observed", False)),
        )
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ForeignValueError(f"no state of the control: {error}") from error


def _queue_plain(queue: QueueControl, groups: GroupTable) -> dict[str, Any]:
    return _without_nothing(
        wait_ms=queue.wait_ms,
        basis=queue.basis,
        messages=queue.messages,
        above_since=queue.above_since,
        looked_at=queue.looked_at,
        looked_messages=queue.looked_messages,
        calm_since=queue.calm_since,
        fits=dict(sorted(queue.fits.items())),
        rates=dict(sorted(queue.rates.items())),
        since=queue.since,
        unserved_since=queue.unserved_since,
        group=groups.number(queue.group),
        unheard=None if queue.unheard is None else list(queue.unheard),
        told_at=queue.told_at,
        by_length=queue.by_length,
    )


def _level_plain(level: LevelControl) -> dict[str, Any]:
    plain = {"level": level.level, "since": level.since}
    # None of them, and every one, are two things.
    sheds = {} if level.sheds is None else {"sheds": sorted(level.sheds)}
    return plain | _without_nothing(calm_since=level.calm_since) | sheds


def _without_nothing(**values: object) -> dict[str, Any]:
    """Those that say something: zero does, nothing, no, and an empty collection do not."""
    return {name: value for name, value in values.items() if not (value is None or value is False or value in ({}, []))}


def _queue(raw: object, groups: Sequence[Group]) -> QueueControl:
    given = _fields(raw, _QUEUE_FIELDS)
    basis = given.get("basis")
    return QueueControl(
        wait_ms=_count_or_none(given.get("wait_ms")),
        basis=None if basis is None else WaitBasis(basis),
        messages=_count_or_none(given.get("messages")),
        above_since=_instant_or_none(given.get("above_since")),
        looked_at=_instant_or_none(given.get("looked_at")),
        looked_messages=_count_or_none(given.get("looked_messages")),
        calm_since=_instant_or_none(given.get("calm_since")),
        fits=_shares(given.get("fits", {})),
        rates=_shares(given.get("rates", {})),
        since=_instant_or_none(given.get("since")),
        unserved_since=_instant_or_none(given.get("unserved_since")),
        group=group_of(given.get("group"), groups),
        unheard=None if (unheard := given.get("unheard")) is None else _unheard(unheard),
        told_at=_instant_or_none(given.get("told_at")),
        by_length=_of_type(bool, given.get("by_length", False)),
    )


def _unheard(raw: object) -> Unheard:
    ready, *instants = _list(raw)
    oldest_at, taken_at, told_at = map(_instant_or_none, instants)
    return Unheard(_count_or_none(ready), oldest_at, taken_at, told_at)


def _shares(raw: object) -> dict[Criticality, int]:
    return {Criticality(name): _share(share) for name, share in _dict(raw).items()}


def _level(raw: object) -> LevelControl:
    given = _fields(raw, _LEVEL_FIELDS)
    return LevelControl(
        level=_number(given["level"], 0, _HIGHEST_LEVEL),
        since=_instant(given["since"]),
        calm_since=_instant_or_none(given.get("calm_since")),
        sheds=None if (sheds := given.get("sheds")) is None else _names(sheds),
    )


def _target(raw: object) -> TargetControl:
    given = _fields(raw, _TARGET_FIELDS)
    return TargetControl(rate=_share(given["rate"]), since=_instant(given["since"]))


def _fields(raw: object, known: frozenset[str]) -> dict[str, Any]:
    given = _dict(raw)
    if unknown := given.keys() - known:
        raise ForeignValueError(f"unknown: {', '.join(sorted(unknown))}")
    return given


def _number(value: object, least: int, most: int) -> int:
    # A truth value is a number to Python.
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ForeignValueError(f"{value!r} is no whole number from {least} to {most}")
    return value


def _instant(value: object) -> int:
    return _number(value, FIRST_INSTANT, LAST_INSTANT)


def _instant_or_none(value: object) -> int | None:
    return None if value is None else _instant(value)


def _share(value: object) -> int:
    return _number(value, 0, ONE)


def _count(value: object) -> int:
    return _number(value, 0, _MOST)


def _count_or_none(value: object) -> int | None:
    return None if value is None else _count(value)


def _names(value: object) -> frozenset[str]:
    return frozenset(_str(name) for name in _list(value))


def _str(value: object) -> str:
    return _of_type(str, value)


def _dict(value: object) -> dict[str, Any]:
    return _of_type(dict, value)


def _list(value: object) -> list[Any]:
    return _of_type(list, value)


def _of_type(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise ForeignValueError(f"{value!r} is no {kind.__name__}")
    return value
