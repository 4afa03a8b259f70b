"""One decision for one candidate, out of what every gate says of it.

All gates run. A skip beats a defer, a defer beats a fire, and of several defers the latest `until` counts: adding an
objection never makes the result more permissive. A defer ends: at the candidate's deadline a critical fire goes out and
a sheddable one is dropped. Adding a gate is one file in `gates/` and one line in `GATES`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from packages.scheduling.candidate import ON_TIME_MS, Candidate
from packages.scheduling.decision import Decision, Opinion, Reason, Verdict
from packages.scheduling.gates import overlap, pause, trading_hours, windows
from packages.scheduling.instants import NEVER_ENDS
from packages.scheduling.policies import GateMode, OverlapMode
from packages.scheduling.snapshot import Snapshot

Gate = Callable[[Candidate, Snapshot], Opinion | None]

# In the order in which a person would want to hear the reasons: of two equally strict opinions the first one is given
# as the reason. An operator's word comes first, then what the calendar says, then what is going on.
GATES: Final[tuple[Gate, ...]] = (pause.opinion, trading_hours.opinion, windows.opinion, overlap.opinion)

# An operator who asks for a run means now: only a run that is not over holds it back.
_HOLDS_A_REQUEST: Final = frozenset({overlap.NAME})
_STRICTNESS: Final = {Verdict.SKIP: 2, Verdict.DEFER: 1, Verdict.FIRE: 0}


def decide(candidate: Candidate, snapshot: Snapshot) -> Decision:
    """The decision on `candidate` under `snapshot`, with every opinion in it, also of gates that only observe."""
    given = [opinion for gate in GATES if (opinion := gate(candidate, snapshot)) is not None]
    if not given:
        return combine(candidate, ())
    in_their_modes = (_in_its_mode(opinion, candidate, snapshot) for opinion in given)
    opinions = tuple(opinion for opinion in in_their_modes if opinion.mode is not GateMode.OFF)
    return combine(candidate, opinions, cancels=_cancelled(candidate, snapshot, opinions))


def combine(candidate: Candidate, opinions: tuple[Opinion, ...], *, cancels: tuple[str, ...] = ()) -> Decision:
    """The decision that opinions in their final modes make together. `cancels`: the runs that a fire would revoke."""
    verdict, reason, until = Verdict.FIRE, _reason_to_fire(candidate), None
    if objections := [o for o in opinions if o.mode is GateMode.ENFORCE and o.verdict is not Verdict.FIRE]:
        strictest = max(objections, key=lambda opinion: _STRICTNESS[opinion.verdict])
        verdict, reason = strictest.verdict, strictest.reason
        if verdict is Verdict.DEFER:
            latest = max(objections, key=lambda opinion: opinion.until or 0)
            reason, until = latest.reason, latest.until
    if candidate.at >= candidate.deadline and (verdict is Verdict.DEFER or candidate.waited is Reason.PUBLISH_FAILED):
        # A publish that kept failing is given up whatever the job; what only waited is worth it for a critical one.
        given_up = candidate.waited is Reason.PUBLISH_FAILED or not candidate.job.criticality.is_critical
        verdict, reason, until = (Verdict.SKIP if given_up else Verdict.FIRE), Reason.STALE, None
    return Decision(
        job=candidate.job.name,
        nominal=candidate.nominal,
        planned=candidate.planned,
        origin=candidate.origin,
        at=candidate.at,
        verdict=verdict,
        reason=reason,
        until=min(until, candidate.deadline) if until is not None else None,
        opinions=opinions,
        holds_until=min((opinion.holds_until for opinion in opinions), default=NEVER_ENDS),
        cancels=cancels if verdict is Verdict.FIRE else (),
    )


def _in_its_mode(opinion: Opinion, candidate: Candidate, snapshot: Snapshot) -> Opinion:
    mode = snapshot.gate_modes.get(opinion.gate, opinion.mode)
    if candidate.is_asked_for and opinion.gate not in _HOLDS_A_REQUEST and mode is GateMode.ENFORCE:
        mode = GateMode.OBSERVE
    return opinion if mode is opinion.mode else replace(opinion, mode=mode)


def _reason_to_fire(candidate: Candidate) -> Reason:
    if candidate.is_asked_for or candidate.is_backfill:
        return Reason.REQUESTED
    if candidate.waited is not None:
        return Reason.WAITED
    return Reason.ON_TIME if candidate.at - candidate.planned <= ON_TIME_MS else Reason.CAUGHT_UP


def _cancelled(candidate: Candidate, snapshot: Snapshot, opinions: tuple[Opinion, ...]) -> tuple[str, ...]:
    if candidate.job.policies.overlap is not OverlapMode.CANCEL_OTHER:
        return ()
    if not any(opinion.gate == overlap.NAME and opinion.mode is GateMode.ENFORCE for opinion in opinions):
        return ()
    return tuple(run.task_id for run in overlap.running(candidate, snapshot))
