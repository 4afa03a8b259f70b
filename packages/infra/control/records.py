"""The operator's word as versioned JSON, and back. What is not of this form is refused with what is wrong with it."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from packages.infra.control.control import Request
from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT
from packages.scheduling.policies import GateMode
from packages.scheduling.requests import BackfillRequest, TriggerRequest
from packages.scheduling.snapshot import Pause, PauseScope

VERSION = 1

E = TypeVar("E")


class RecordError(ValueError):
    """A stored value is not what this version wrote; the text says why and does not quote it."""


def encode_pause(pause: Pause) -> str:
    """A pause as text."""
    return _encode(scope=pause.scope.value, target=pause.target, since=pause.since, until=pause.until, note=pause.note)


def decode_pause(text: bytes) -> Pause:
    """The pause of a text.

    Raises:
        RecordError: it is none.
    """
    values = _decode(text)
    until = values.get("until")
    return Pause(
        scope=_member(values, "scope", PauseScope),
        target=_text(values, "target"),
        since=_instant(values, "since"),
        until=None if until is None else _instant(values, "until"),
        note=_text(values, "note"),
    )


def encode_request(request: Request) -> str:
    """A request as text."""
    common = {"id": request.id, "job": request.job, "requested_at": request.requested_at}
    match request:
        case TriggerRequest():
            return _encode(kind="trigger", **common, forced=request.forced)
        case BackfillRequest():
            return _encode(kind="backfill", **common, start=request.start, end=request.end, every_ms=request.every_ms)


def decode_request(text: bytes) -> Request:
    """The request of a text.

    Raises:
        RecordError: it is none.
    """
    values = _decode(text)
    id_, job, requested_at = _text(values, "id"), _text(values, "job"), _instant(values, "requested_at")
    match values.get("kind"):
        case "trigger":
            return TriggerRequest(id=id_, job=job, requested_at=requested_at, forced=values.get("forced") is True)
        case "backfill":
            every_ms = _whole(values, "every_ms")
            start, end = _instant(values, "start"), _instant(values, "end")
            if every_ms <= 0 or start > end:
                raise RecordError("the range or the pace is empty")
            return BackfillRequest(id=id_, job=job, start=start, end=end, every_ms=every_ms, requested_at=requested_at)
        case _:
            raise RecordError("`kind` is neither trigger nor backfill")


def encode_gate_mode(mode: GateMode) -> str:
    """A word on a gate as text."""
    return _encode(mode=mode.value)


def decode_gate_mode(text: bytes) -> GateMode:
    """The word on a gate of a text.

    Raises:
        RecordError: it is none.
    """
    return _member(_decode(text), "mode", GateMode)


def _encode(**values: object) -> str:
    return json.dumps({"v": VERSION, **values}, separators=(",", ":"))


def _decode(text: bytes) -> Mapping[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise RecordError("it is no JSON") from None
    if not isinstance(values, dict):
        raise RecordError("it is no JSON object")
    if values.get("v") != VERSION:
        raise RecordError(f"its version is not {VERSION}")
    return values


def _text(values: Mapping[str, Any], name: str) -> str:
    if not isinstance(value := values.get(name), str):
        raise RecordError(f"`{name}` is no text")
    return value


def _whole(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RecordError(f"`{name}` is no whole number")
    return value


def _instant(values: Mapping[str, Any], name: str) -> int:
    if not FIRST_INSTANT <= (value := _whole(values, name)) <= LAST_INSTANT:
        raise RecordError(f"`{name}` is not between 1970 and 2200")
    return value


def _member(values: Mapping[str, Any], name: str, kind: Callable[[str], E]) -> E:
    try:
        return kind(_text(values, name))
    except RecordError:
        raise
    except ValueError:
        raise RecordError(f"`{name}` is not known here") from None
