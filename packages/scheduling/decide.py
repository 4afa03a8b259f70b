"""One decision for one candidate, out of what every gate says of it.

All gates run. A skip beats a defer, a defer beats a fire, and of several defers the latest `until` counts: adding an
objection never makes the result more permissive. A defer ends: at the candidate's deadline a critical fire goes out and
a sheddable one is dropped. Adding a gate is one file in `gates/` and one line in `GATES`.
"""

from dataclasses import replace
from typing import Final, Protocol

from packages.scheduling.candidate import ON_TIME_MS, Candidate
from packages.scheduling.decision import SCHEDULE, Decision, Opinion, Reason, Verdict
from packages.scheduling.gates import backlog, failing_target, overlap, pause, pin, slo, trading_hours, windows
from packages.scheduling.instants import NEVER_ENDS
from packages.scheduling.policies import GateMode, OverlapMode, Policies
from packages.scheduling.snapshot import Snapshot


class Gate(Protocol):
    """A module of `gates/`. Both functions are pure."""

    @property
    def NAME(self) -> str:  # noqa: N802  # a constant of the module
        """What its opinions are signed with, and what operators know it by."""
        ...

    def may_speak(self, policies: Policies, snapshot: Snapshot) -> bool:
        """False only if it has no opinion on any fire of any job with these policies under this snapshot."""
        ...

    def opinion(self, candidate: Candidate, snapshot: Snapshot) -> Opinion | None:
        """What it says of one fire; None for no opinion."""
        ...


# In the order in which a person would want to hear the reasons: of two equally strict opinions the first one is given
# as the reason. An operator's word comes first, then what the calendar says, then what is going on: with the job, with
# what it calls, with its queue, with the whole service.
GATES: Final[tuple[Gate, ...]] = (
    pause,
    pin,
    trading_hours,
    windows,
    overlap,
    failing_target,
    backlog,
    slo,
)

# An operator who asks for a run means now: only a run that is not over holds it back.
_HOLDS_A_REQUEST: Final = frozenset({overlap.NAME})
_STRICTNESS: Final = {Verdict.SKIP: 2, Verdict.DEFER: 1, Verdict.FIRE: 0}
# Looking a member up in its enumeration costs more than all else that is done for a fire that nothing holds back.
_new: Final = tuple.__new__
_FIRE, _DEFER, _ON_TIME, _CAUGHT_UP = Verdict.FIRE, Verdict.DEFER, Reason.ON_TIME, Reason.CAUGHT_UP
_PUBLISH_FAILED: Final = Reason.PUBLISH_FAILED
_OFF, _OBSERVE, _ENFORCE = GateMode.OFF, GateMode.OBSERVE, GateMode.ENFORCE


class Panel:
    """The gates under one snapshot: each job is put only to those that may speak on it, which is found out once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        # By identity, which is quicker than equality, and with the policies, so that the identity stays theirs.
        self._asked: dict[int, tuple[Policies, tuple[Gate, ...]]] = {}

    def decide(self, candidate: Candidate) -> Decision:
        """The decision on `candidate`, with every opinion in it, also of gates that only observe."""
        policies = candidate.job.policies
        if (known := self._asked.get(id(policies))) is None:
            gates = tuple(gate for gate in GATES if gate.may_speak(policies, self._snapshot))
            known = self._asked[id(policies)] = policies, gates
        if not known[1]:
            return combine(candidate, ())
        snapshot = self._snapshot
        opinions: tuple[Opinion, ...] = ()
        for gate in known[1]:
            if (given := gate.opinion(candidate, snapshot)) is not None:
                opinion = _in_its_mode(given, candidate, snapshot)
                if opinion.mode is not _OFF:
                    opinions += (opinion,)
        if policies.overlap is not OverlapMode.CANCEL_OTHER:
            return combine(candidate, opinions)
        return combine(candidate, opinions, cancels=_cancelled(candidate, snapshot, opinions))


def decide(candidate: Candidate, snapshot: Snapshot) -> Decision:
    """`Panel.decide` on one candidate."""
    return Panel(snapshot).decide(candidate)


def combine(candidate: Candidate, opinions: tuple[Opinion, ...], *, cancels: tuple[str, ...] = ()) -> Decision:
    """The decision that opinions in their final modes make together. `cancels`: the runs that a fire would revoke."""
    if not opinions and candidate.waited is None:
        job, nominal, planned, origin, at = candidate[:5]
        on_time = at == planned and origin == SCHEDULE
        reason = _ON_TIME if on_time else _reason_to_fire(candidate)
        return _new(
            Decision,
            (job.name, nominal, planned, origin, at, _FIRE, reason, None, (), NEVER_ENDS, 1, None, (), None),
        )
    verdict, reason, until = _FIRE, _reason_to_fire(candidate), None
    objections = [o for o in opinions if o.verdict is not _FIRE and o.mode is _ENFORCE]
    if len(objections) == 1:
        # Nearly always; and where a queue is throttled, for every fire.
        verdict, reason, until = objections[0].verdict, objections[0].reason, objections[0].until
    elif objections:
        strictest = max(objections, key=lambda opinion: _STRICTNESS[opinion.verdict])
        verdict, reason = strictest.verdict, strictest.reason
        if verdict is _DEFER:
            latest = max(objections, key=lambda opinion: opinion.until or 0)
            reason, until = latest.reason, latest.until
    job, nominal, planned, origin, at, waited = candidate[:6]
    if until is not None or waited is _PUBLISH_FAILED:
        deadline = candidate.deadline
        if at >= deadline:
            # A publish that kept failing is given up whatever the job; what only waited is worth it for a critical one.
            given_up = waited is _PUBLISH_FAILED or not job.criticality.is_critical
            verdict, reason, until = (Verdict.SKIP if given_up else _FIRE), Reason.STALE, None
        elif until is not None and until > deadline:
            until = deadline
    holds_until = min([opinion.holds_until for opinion in opinions], default=NEVER_ENDS)
    cancelled = cancels if verdict is _FIRE else ()
    return _new(
        Decision,
        (
            job.name,
            nominal,
            planned,
            origin,
            at,
            verdict,
            reason,
            until,
            opinions,
            holds_until,
            1,
            None,
            cancelled,
            None,
        ),
    )


def _in_its_mode(opinion: Opinion, candidate: Candidate, snapshot: Snapshot) -> Opinion:
    mode = snapshot.gate_modes.get(opinion.gate, opinion.mode)
    if mode is _ENFORCE and candidate.origin != SCHEDULE and candidate.is_asked_for:
        mode = mode if opinion.gate in _HOLDS_A_REQUEST else _OBSERVE
    return opinion if mode is opinion.mode else replace(opinion, mode=mode)


def _reason_to_fire(candidate: Candidate) -> Reason:
    if candidate.origin != SCHEDULE and (candidate.is_asked_for or candidate.is_backfill):
        return Reason.REQUESTED
    if candidate.waited is not None:
        return Reason.WAITED
    return _ON_TIME if candidate.at - candidate.planned <= ON_TIME_MS else _CAUGHT_UP


def _cancelled(candidate: Candidate, snapshot: Snapshot, opinions: tuple[Opinion, ...]) -> tuple[str, ...]:
    if not any(opinion.gate == overlap.NAME and opinion.mode is GateMode.ENFORCE for opinion in opinions):
        return ()
    return tuple(run.task_id for run in overlap.running(candidate, snapshot))
