"""How values are written: JSON with the number of its version, and the same text for the same value.

Here: what all of them have in common, and the state of a job. Fields with their default are left out. What cannot be
read raises `ForeignValueError`; who reads decides what then.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from packages.scheduling.decision import Decision, Opinion, Reason
from packages.scheduling.instants import to_datetime
from packages.scheduling.state import Backfill, JobState, OpenFire

VERSION: Final = 1
# Of a field that has none.
_NO_DEFAULT: Final = object()
_PLAIN_FIELDS: Final[tuple[tuple[str, type], ...]] = (
    ("watermark", int),
    ("trigger", str),
    ("clock", int),
    ("fired", int),
)
# JSON without blanks.
json_text: Final = json.JSONEncoder(separators=(",", ":")).encode


class ForeignValueError(ValueError):
    """A stored value is not one that this version has written."""


def state_text(state: JobState) -> str:
    """A job's state as text."""
    if state.open or state.backfills or state.taken:
        return value_text(state)
    # As `value_text` writes it, which takes several times as long. Most states are such.
    trigger, clock, fired = state.trigger, state.clock, state.fired
    text = f'{{"v":{VERSION},"watermark":{state.watermark}'
    if trigger:
        text += f',"trigger":{encode_basestring_ascii(trigger)}'
    if clock:
        text += f',"clock":{clock}'
    if fired:
        text += f',"fired":{fired}'
    return f"{text}}}" if state.credit is None else f'{text},"credit":{state.credit}}}'


def state_of(text: str | bytes) -> JobState:
    """The state that `state_text` wrote.

    Raises:
        ForeignValueError: it is no such text.
    """
    try:
        raw = raw_of(text)
        raw["open"] = tuple(OpenFire(**{**fire, "reason": Reason(fire["reason"])}) for fire in raw.get("open", ()))
        raw["backfills"] = tuple(Backfill(**backfill) for backfill in raw.get("backfills", ()))
        raw["taken"] = tuple(raw.get("taken", ()))
        if not all(isinstance(raw.get(name, kind()), kind) for name, kind in _PLAIN_FIELDS):
            raise ForeignValueError("a field is of another type")
        if not isinstance(raw.get("credit"), int | None):
            raise ForeignValueError("a credit is no number")
        state = JobState(**raw)
        if not all(map(_has_its_types, (*state.open, *state.backfills))):
            raise ForeignValueError("a field of a fire or a backfill is of another type")
        if not all(isinstance(request, str) for request in state.taken):
            raise ForeignValueError("the id of a request is no text")
        to_datetime(state.watermark)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ForeignValueError(f"no state of version {VERSION}: {error}") from error
    return state


def value_text(value: object, *, without: str | None = None) -> str:
    """A state or a decision as text, whatever it has, but for one field."""
    plain = _plain(value)
    if without is not None:
        del plain[without]
    return json_text({"v": VERSION, **plain})


def raw_of(text: str | bytes) -> dict[str, Any]:
    """The fields of a value that this version has written.

    Raises:
        ValueError: it is no JSON object, or one of another version.
    """
    try:
        raw = json.loads(text)
    except RecursionError as error:
        raise ForeignValueError("nested too deeply") from error
    if not isinstance(raw, dict):
        raise ForeignValueError("no object")
    version = raw.pop("v", None)
    if version != VERSION:
        raise ForeignValueError(f"version {version!r}")
    return raw


def _has_its_types(value: object) -> bool:
    return all(isinstance(getattr(value, name), kind) for name, kind in _TYPES[type(value)])


def _plain(value: object) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, default in _FIELDS[type(value)]:
        given = getattr(value, name)
        if default is _NO_DEFAULT or given != default:
            plain[name] = (
                [_plain(item) if type(item) in _FIELDS else item for item in given]
                if isinstance(given, tuple)
                else given
            )
    return plain


def _fields_of(kind: Any) -> tuple[tuple[str, object], ...]:  # noqa: ANN401  # a class of values, of either sort
    """The fields of a named tuple or a dataclass, each with its default."""
    if issubclass(kind, tuple):
        return tuple((name, kind._field_defaults.get(name, _NO_DEFAULT)) for name in kind._fields)
    return tuple((field.name, _NO_DEFAULT if field.default is MISSING else field.default) for field in fields(kind))


_TYPES: Final[Mapping[type, tuple[tuple[str, Any], ...]]] = {
    kind: tuple((field.name, field.type) for field in fields(kind)) for kind in (OpenFire, Backfill)
}
_FIELDS: Final[Mapping[type, tuple[tuple[str, object], ...]]] = {
    kind: _fields_of(kind) for kind in (JobState, OpenFire, Backfill, Decision, Opinion)
}
