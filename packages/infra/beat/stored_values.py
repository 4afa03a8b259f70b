"""How a state and a decision are written: JSON with the number of its version, and the same text for the same value.

Fields with their default are left out. What cannot be read raises `ForeignValueError`; who reads decides what then.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, Final

from packages.scheduling.decision import Decision, Opinion, Reason, Verdict
from packages.scheduling.policies import GateMode
from packages.scheduling.state import Backfill, JobState, OpenFire

VERSION: Final = 1
_FIELDS: Final[Mapping[type, tuple[Field[Any], ...]]] = {
    JobState: fields(JobState),
    OpenFire: fields(OpenFire),
    Backfill: fields(Backfill),
    Decision: fields(Decision),
    Opinion: fields(Opinion),
}
_PLAIN_FIELDS: Final[tuple[tuple[str, type], ...]] = (
    ("watermark", int),
    ("trigger", str),
    ("clock", int),
    ("fired", int),
)


class ForeignValueError(ValueError):
    """A stored value is not one that this version has written."""


def state_text(state: JobState) -> str:
    """A job's state as text."""
    return _text(state)


def state_of(text: str | bytes) -> JobState:
    """The state that `state_text` wrote.

    Raises:
        ForeignValueError: it is no such text.
    """
    try:
        raw = _raw(text)
        raw["open"] = tuple(OpenFire(**{**fire, "reason": Reason(fire["reason"])}) for fire in raw.get("open", ()))
        raw["backfills"] = tuple(Backfill(**backfill) for backfill in raw.get("backfills", ()))
        raw["taken"] = tuple(raw.get("taken", ()))
        if not all(isinstance(raw.get(name, kind()), kind) for name, kind in _PLAIN_FIELDS):
            raise ForeignValueError("a field is of another type")
        return JobState(**raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ForeignValueError(f"no state of version {VERSION}: {error}") from error


def decision_text(decision: Decision) -> str:
    """A decision as text."""
    return _text(decision)


def decision_of(text: str | bytes) -> Decision:
    """The decision that `decision_text` wrote.

    Raises:
        ForeignValueError: it is no such text.
    """
    try:
        raw = _raw(text)
        raw["verdict"], raw["reason"] = Verdict(raw["verdict"]), Reason(raw["reason"])
        raw["opinions"] = tuple(_opinion(opinion) for opinion in raw.get("opinions", ()))
        raw["cancels"] = tuple(raw.get("cancels", ()))
        return Decision(**raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ForeignValueError(f"no decision of version {VERSION}: {error}") from error


def _opinion(raw: dict[str, Any]) -> Opinion:
    given = {**raw, "verdict": Verdict(raw["verdict"]), "reason": Reason(raw["reason"])}
    if "mode" in raw:
        given["mode"] = GateMode(raw["mode"])
    given["facts"] = tuple((name, fact) for name, fact in raw.get("facts", ()))
    return Opinion(**given)


def _raw(text: str | bytes) -> dict[str, Any]:
    raw = json.loads(text)
    if not isinstance(raw, dict):
        raise ForeignValueError("no object")
    version = raw.pop("v", None)
    if version != VERSION:
        raise ForeignValueError(f"version {version!r}")
    return raw


def _text(value: object) -> str:
    return json.dumps({"v": VERSION, **_plain(value)}, separators=(",", ":"))


def _plain(value: object) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in _FIELDS[type(value)]:
        given = getattr(value, field.name)
        if field.default is MISSING or given != field.default:
            plain[field.name] = (
                [_plain(item) if hasattr(item, "__dataclass_fields__") else item for item in given]
                if isinstance(given, tuple)
                else given
            )
    return plain
