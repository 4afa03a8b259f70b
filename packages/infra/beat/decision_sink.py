"""Where decisions go: a log line for each one that is worth it, and the last few of each job for `explain`.

Nothing is decided here. `packages.infra.beat.redis_decisions` keeps them in the broker's Redis.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.decision import Decision, Opinion, Verdict
from packages.scheduling.instants import to_datetime
from packages.scheduling.policies import GateMode

log = logging.getLogger(__name__)

KEPT_PER_JOB: Final = 20
_MOST_REMEMBERED: Final = 50_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """A decision, and when (an instant) the broker had the message, if it was published by it."""

    decision: Decision
    published_at: int | None = None


class DecisionSink(Protocol):
    """Takes the decisions of a tick and gives back the last `KEPT_PER_JOB` of a job.

    Both methods may raise `packages.infra.beat.state_store.StoreAwayError`.
    """

    def record(self, decisions: Sequence[Decision]) -> None:
        """Take these, in the order in which they were made."""
        ...

    def read(self, job: str) -> list[Decision]:
        """The last ones of a job, the newest first."""
        ...


class MemoryDecisions:
    """Kept in the process."""

    def __init__(self) -> None:
        self._kept: dict[str, deque[Decision]] = {}

    def record(self, decisions: Sequence[Decision]) -> None:
        """See `DecisionSink`."""
        for decision in decisions:
            self._kept.setdefault(decision.job, deque(maxlen=KEPT_PER_JOB)).appendleft(decision)

    def read(self, job: str) -> list[Decision]:
        """See `DecisionSink`."""
        return list(self._kept.get(job, ()))


class DecisionLog:
    """Says each decision in the log; a fire that keeps waiting only when the reason is another than before."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int, str], str] = {}

    def say(self, outcomes: Sequence[Outcome]) -> None:
        """Log what is new among these."""
        for outcome in outcomes:
            decision = outcome.decision
            fire = (decision.job, decision.nominal, decision.origin)
            if decision.verdict is Verdict.DEFER:
                if len(self._waiting) > _MOST_REMEMBERED:
                    # Fires of jobs that are no more.
                    self._waiting.clear()
                if self._waiting.get(fire) == decision.reason.value:
                    continue
                self._waiting[fire] = decision.reason.value
            else:
                self._waiting.pop(fire, None)
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
