"""The operator's word as versioned JSON, and back. What is not of this form is refused with what is wrong with it."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from packages.scheduling.control.shares import ONE
from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode
from packages.scheduling.requests import BackfillRequest, Request, ResetRequest, TriggerRequest
from packages.scheduling.snapshot import Exemption, Pause, PauseScope, Pin

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
    return Pause(
        scope=_member(values, "scope", PauseScope),
        target=_text(values, "target"),
        since=_instant(values, "since"),
        until=_end(values),
        note=_text(values, "note"),
    )


def encode_pin(pin: Pin) -> str:
    """A pin as text."""
    criticality = None if pin.criticality is None else pin.criticality.value
    return _encode(
        queue=pin.queue, criticality=criticality, rate=pin.rate, since=pin.since, until=pin.until, note=pin.note
    )


def decode_pin(text: bytes) -> Pin:
    """The pin of a text.

    Raises:
        RecordError: it is none.
    """
    values = _decode(text)
    if not 0 <= (rate := _whole(values, "rate")) <= ONE:
        raise RecordError(f"`rate` is not between 0 and {ONE}")
    return Pin(
        queue=_text(values, "queue"),
        criticality=None if values.get("criticality") is None else _member(values, "criticality", Criticality),
        rate=rate,
        since=_instant(values, "since"),
        until=_end(values),
        note=_text(values, "note"),
    )


def encode_exemption(exemption: Exemption) -> str:
    """An exemption as text."""
    return _encode(**exemption._asdict())


def decode_exemption(text: bytes) -> Exemption:
    """The exemption of a text.

    Raises:
        RecordError: it is none.
    """
    values = _decode(text)
    return Exemption(
        job=_text(values, "job"),
        since=_instant(values, "since"),
        until=_end(values),
        note=_text(values, "note"),
    )


def encode_request(request: Request) -> str:
    """A request as text."""
    common = {"id": request.id, "requested_at": request.requested_at}
    match request:
        case TriggerRequest():
            return _encode(kind="trigger", **common, job=request.job, forced=request.forced)
        case BackfillRequest():
            span = {"start": request.start, "end": request.end, "every_ms": request.every_ms}
            return _encode(kind="backfill", **common, job=request.job, **span)
        case ResetRequest():
            return _encode(kind="reset", **common, queue=request.queue)


def decode_request(text: bytes) -> Request:
    """The request of a text.

    Raises:
        RecordError: it is none.
    """
    values = _decode(text)
    id_, requested_at = _text(values, "id"), _instant(values, "requested_at")
    match values.get("kind"):
        case "trigger":
            job, forced = _text(values, "job"), values.get("forced") is True
            return TriggerRequest(id=id_, job=job, requested_at=requested_at, forced=forced)
        case "backfill":
            job = _text(values, "job")
            every_ms = _whole(values, "every_ms")
            start, end = _instant(values, "start"), _instant(values, "end")
            if every_ms <= 0 or start > end:
                raise RecordError("the range or the pace is empty")
            return BackfillRequest(id=id_, job=job, start=start, end=end, every_ms=every_ms, requested_at=requested_at)
        case "reset":
            queue = None if values.get("queue") is None else _text(values, "queue")
            return ResetRequest(id=id_, requested_at=requested_at, queue=queue)
        case _:
            raise RecordError("`kind` is not trigger, backfill or reset")


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


def _end(values: Mapping[str, Any]) -> int | None:
    return None if values.get("until") is None else _instant(values, "until")


def _member(values: Mapping[str, Any], name: str, kind: Callable[[str], E]) -> E:
    try:
        return kind(_text(values, name))
    except RecordError:
        raise
    except ValueError:
        raise RecordError(f"`{name}` is not known here") from None
