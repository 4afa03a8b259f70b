"""Holds back what an operator has paused: such a fire is skipped, with the operator's note."""

from typing import Final

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import Opinion, Reason, Verdict
from packages.scheduling.instants import NEVER_ENDS
from packages.scheduling.policies import Policies
from packages.scheduling.snapshot import Pause, Snapshot

NAME: Final = "pause"


def may_speak(policies: Policies, snapshot: Snapshot) -> bool:  # noqa: ARG001  # of any job
    """Whether there are pauses at all."""
    return snapshot.pauses is not None and bool(snapshot.pauses.value)


def opinion(candidate: Candidate, snapshot: Snapshot) -> Opinion | None:
    """A skip while a pause holds the job. No reading of the pauses is no pause: an outage must not stop the work."""
    if snapshot.pauses is None:
        return None
    holding = [pause for pause in snapshot.pauses.value if pause.holds(candidate.job, candidate.at)]
    if not holding:
        return None
    longest = max(holding, key=lambda pause: NEVER_ENDS if pause.until is None else pause.until)
    until = NEVER_ENDS if longest.until is None else longest.until
    return Opinion(NAME, Verdict.SKIP, Reason.PAUSED, holds_until=until, facts=_facts(longest))


def _facts(pause: Pause) -> tuple[tuple[str, str | int], ...]:
    facts: list[tuple[str, str | int]] = [("scope", pause.scope.value), ("since", pause.since)]
    if pause.target:
        facts.append(("target", pause.target))
    if pause.until is not None:
        facts.append(("until", pause.until))
    if pause.note:
        facts.append(("note", pause.note))
    return tuple(facts)
