"""Decisions, opinions and instants in the words of `minsy preview`, `explain` and `ledger`."""

from typing import Any
from zoneinfo import ZoneInfo

from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.decision import Decision, Opinion, Verdict
from packages.scheduling.instants import NEVER_ENDS, SECOND_MS, to_datetime
from packages.scheduling.policies import GateMode

# Facts that are instants where the others are counts.
_INSTANTS = frozenset({"since", "until"})


def instant_text(instant: int) -> str:
    """An instant in UTC, RFC 3339, to the millisecond only where it has any: `2026-11-22T09:30:00Z`."""
    text = rfc3339(to_datetime(instant))
    return text.replace(".000Z", "Z")


def local_text(instant: int, zone: ZoneInfo) -> str:
    """An instant in a zone, with its offset: `2026-11-22 10:30:00+01:00`."""
    fraction = "milliseconds" if instant % SECOND_MS else "seconds"
    return to_datetime(instant).astimezone(zone).isoformat(sep=" ", timespec=fraction)


def decision_text(decision: Decision) -> str:
    """The reason, with the facts of the opinion that decided, and what gates that only observe would have done."""
    said = [decision.reason.value]
    if decided := _deciding(decision):
        said.append(facts_text(decided))
    elif decision.count > 1:
        said.append(f"{decision.count} nominals")
    texts = [" ".join(part for part in said if part)]
    texts += [
        f"observe: would have been held back: {opinion_text(opinion)}"
        for opinion in decision.opinions
        if opinion.mode is GateMode.OBSERVE and opinion.verdict is not Verdict.FIRE
    ]
    return "; ".join(texts)


def decision_as_json(decision: Decision) -> dict[str, Any]:
    """A decision by name, but for its job; instants as RFC 3339."""
    return {
        "at": instant_text(decision.at),
        "nominal": instant_text(decision.nominal),
        "planned": instant_text(decision.planned),
        "origin": decision.origin,
        "decision": decision.verdict.value,
        "reason": decision.reason.value,
        "until": None if decision.until is None else instant_text(decision.until),
        "detail": decision_text(decision),
    }


def opinion_text(opinion: Opinion) -> str:
    """The reason of an opinion with its facts."""
    return " ".join(part for part in (opinion.reason.value, facts_text(opinion)) if part)


def facts_text(opinion: Opinion) -> str:
    """The facts of an opinion, such as `market XNYS, next_open 2026-11-23T14:30:00Z`."""
    return ", ".join(f"{name} {_fact(name, value)}" for name, value in opinion.facts)


def facts_as_json(opinion: Opinion) -> dict[str, str | int]:
    """The facts of an opinion by name; instants as RFC 3339."""
    return {name: _fact(name, value) for name, value in opinion.facts}


def ends_at(opinion: Opinion) -> int | None:
    """When the gate may say something else by itself; None if never while nobody changes anything."""
    if opinion.until is not None:
        return opinion.until
    return opinion.holds_until if opinion.holds_until < NEVER_ENDS else None


def _deciding(decision: Decision) -> Opinion | None:
    return next(
        (
            opinion
            for opinion in decision.opinions
            if (opinion.verdict, opinion.reason, opinion.mode) == (decision.verdict, decision.reason, GateMode.ENFORCE)
        ),
        None,
    )


def _fact(name: str, value: str | int) -> str | int:
    return instant_text(value) if name in _INSTANTS and isinstance(value, int) else value
