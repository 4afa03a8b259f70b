"""Which decisions are worth telling, and the log line of each. Nothing is decided here."""

import logging
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.decision import Decision, Opinion, Reason, Verdict
from packages.scheduling.instants import to_datetime
from packages.scheduling.policies import GateMode

log = logging.getLogger(__name__)

_MOST_REMEMBERED: Final = 50_000


class Outcome(NamedTuple):
    """A decision, and when (an instant) the broker had the message, if it was published by it."""

    decision: Decision
    published_at: int | None = None


class DeferFilter:
    """Leaves out that a fire keeps waiting for the same reason; log and ledger have the first time and the end of it.

    It remembers what waits, so each decision is shown to it once, in the order in which they were made.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int, str], Reason] = {}

    def fresh(self, decisions: Iterable[Decision]) -> list[Decision]:
        """Those that say something new."""
        return [decision for decision in decisions if self.is_fresh(decision)]

    def is_fresh(self, decision: Decision) -> bool:
        """Whether it says something new: it is final, or its fire waits from now on, or for another reason."""
        waiting = self._waiting
        if decision.verdict is not Verdict.DEFER:
            if waiting:
                waiting.pop((decision.job, decision.nominal, decision.origin), None)
            return True
        if len(waiting) > _MOST_REMEMBERED:
            # Fires of jobs that are no more.
            waiting.clear()
        fire = (decision.job, decision.nominal, decision.origin)
        if waiting.get(fire) is decision.reason:
            return False
        waiting[fire] = decision.reason
        return True


def are_said() -> bool:
    """Whether the log takes decisions at all: whoever collects many for it need not, else."""
    return log.isEnabledFor(logging.INFO)


def say(outcomes: Sequence[Outcome]) -> None:
    """A log line for each of these; next to nothing where the log leaves them out."""
    if not are_said():
        return
    for outcome in outcomes:
        log.info("decision", extra=fields_of(outcome))


def fields_of(outcome: Outcome) -> dict[str, object]:
    """The fields of a decision's log line, instants in UTC.

    `late_ms`: how long after its planned instant a fire was published. `held_by`: the gates that held it back, and why.
    `would_hold`: those that would have if they did not merely observe.
    """
    decision = outcome.decision
    fields: dict[str, object] = {
        "job": decision.job,
        "nominal": _text(decision.nominal),
        "planned": _text(decision.planned),
        "verdict": decision.verdict.value,
        "reason": decision.reason.value,
        "origin": decision.origin,
    }
    if outcome.published_at is not None:
        fields["late_ms"] = outcome.published_at - decision.planned
    if decision.until is not None:
        fields["until"] = _text(decision.until)
    if decision.count > 1:
        fields["count"] = decision.count
    if decision.cancels:
        fields["cancels"] = ",".join(decision.cancels)
    if decision.arm is not None:
        fields["arm"] = decision.arm
    objections = [opinion for opinion in decision.opinions if opinion.verdict is not Verdict.FIRE]
    if held := [opinion for opinion in objections if opinion.mode is GateMode.ENFORCE]:
        fields["held_by"] = ",".join(_said(opinion) for opinion in held)
    if observed := [opinion for opinion in objections if opinion.mode is GateMode.OBSERVE]:
        fields["would_hold"] = ",".join(_said(opinion) for opinion in observed)
    return fields


def _said(opinion: Opinion) -> str:
    return f"{opinion.gate}:{opinion.reason.value}"


def _text(instant: int) -> str:
    return rfc3339(to_datetime(instant))
