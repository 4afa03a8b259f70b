"""One tick: every candidate is decided against one snapshot, and what is to be remembered afterwards.

The live beat, a preview and a replay all call `plan_tick`. It is pure: the same state, snapshot and candidates give the
same plan in any process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from packages.scheduling.candidate import Candidate
from packages.scheduling.decide import decide
from packages.scheduling.decision import BACKFILL, TRIGGER, Decision, Reason, Verdict
from packages.scheduling.model import Job
from packages.scheduling.policies import CatchUpMode
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.state import JobState, OpenFire

FIRST_RETRY_MS: Final = 1_000
LONGEST_RETRY_MS: Final = 30_000
_ASKED_FOR: Final = (TRIGGER, BACKFILL)


@dataclass(frozen=True, slots=True)
class Fire:
    """A fire to publish, with the decision behind it. `attempts` counts publishes of it that failed before."""

    job: Job
    decision: Decision
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class TickPlan:
    """What to publish, in this order, and every decision of the tick."""

    fires: tuple[Fire, ...]
    decisions: tuple[Decision, ...]


def plan_tick(
    state: Mapping[str, JobState], snapshot: Snapshot, candidates: Sequence[Candidate]
) -> tuple[TickPlan, dict[str, JobState]]:
    """Decide `candidates` in the order of their planned instants.

    `state` has the state of each job of them, without the fires that the candidates are. The result has the new state
    of each of these jobs, as it is when every fire has been published; `publish_failed` takes one of them back.
    """
    states = {candidate.job.name: state[candidate.job.name] for candidate in candidates}
    candidates = _set_aside(candidates, states)
    ahead: dict[str, int] = {}
    decisions: list[Decision] = []
    fires: list[Fire] = []
    for candidate in sorted(candidates, key=lambda c: (c.planned, c.nominal, c.job.name, c.origin)):
        name = candidate.job.name
        before = ahead.get(name, 0)
        decision = decide(replace(candidate, ahead=before) if before else candidate, snapshot)
        job_state, since = states[name], candidate.planned if candidate.since is None else candidate.since
        if decision.verdict is not Verdict.SKIP and not decision.origin.startswith(_ASKED_FOR):
            superseded, job_state = _supersede(candidate.job, job_state, decision)
            decisions += [_superseded_by(decision, fire) for fire in superseded]
            since = min((fire.since for fire in superseded), default=since)
        decisions.append(decision)
        match decision.verdict:
            case Verdict.FIRE:
                fires.append(Fire(candidate.job, decision, candidate.attempts))
                ahead[name] = before + 1
                job_state = replace(job_state, fired=job_state.fired + 1)
            case Verdict.DEFER:
                job_state = replace(job_state, open=(*job_state.open, _kept_open(candidate, decision, since)))
            case Verdict.SKIP:
                pass
        states[name] = job_state
    return TickPlan(tuple(fires), tuple(decisions)), states


def publish_failed(state: JobState, fire: Fire, now: int) -> JobState:
    """The state of a job one of whose fires could not be published: it stays open and is tried again, ever later."""
    decision = fire.decision
    wait_ms = min(LONGEST_RETRY_MS, FIRST_RETRY_MS << min(fire.attempts, 10))
    kept = OpenFire(
        nominal=decision.nominal,
        planned=decision.planned,
        origin=decision.origin,
        retry_at=now + wait_ms,
        reason=Reason.PUBLISH_FAILED,
        since=decision.planned,
        attempts=fire.attempts + 1,
        # The gates have let it pass; only a pause or a closed market may still hold it.
        forced=True,
    )
    return replace(state, open=(*state.open, kept), fired=state.fired - 1)


def _kept_open(candidate: Candidate, decision: Decision, since: int) -> OpenFire:
    if decision.until is None:
        raise ValueError(f"a deferred fire of {decision.job} has no instant to ask again")
    # Never the same instant again, or the loop would spin on it.
    retry_at = max(decision.until, candidate.at + 1)
    return replace(_waiting(candidate, decision.reason), retry_at=retry_at, since=since)


def _set_aside(candidates: Sequence[Candidate], states: dict[str, JobState]) -> list[Candidate]:
    """Put a waiting fire back beside which a newer one of its job is due: what becomes of that one decides about it."""
    newest: dict[str, int] = {}
    for candidate in candidates:
        if not candidate.origin.startswith(_ASKED_FOR):
            newest[candidate.job.name] = max(candidate.nominal, newest.get(candidate.job.name, candidate.nominal))
    kept: list[Candidate] = []
    for candidate in candidates:
        if candidate.waited is None or candidate.nominal >= newest.get(candidate.job.name, candidate.nominal):
            kept.append(candidate)
            continue
        fire = _waiting(candidate, candidate.waited)
        if _is_replaceable(candidate.job, fire):
            states[candidate.job.name] = replace(
                states[candidate.job.name], open=(*states[candidate.job.name].open, fire)
            )
        else:
            kept.append(candidate)
    return kept


def _waiting(candidate: Candidate, reason: Reason) -> OpenFire:
    return OpenFire(
        nominal=candidate.nominal,
        planned=candidate.planned,
        origin=candidate.origin,
        retry_at=candidate.at,
        reason=reason,
        since=candidate.planned if candidate.since is None else candidate.since,
        attempts=candidate.attempts,
        forced=candidate.forced,
    )


def _supersede(job: Job, state: JobState, newer: Decision) -> tuple[list[OpenFire], JobState]:
    """Take out the open fires of the schedule that a newer one makes pointless: a sweep owes one fire, not several."""
    ended = [fire for fire in state.open if fire.nominal < newer.nominal and _is_replaceable(job, fire)]
    if not ended:
        return ended, state
    return ended, replace(state, open=tuple(fire for fire in state.open if fire not in ended))


def _is_replaceable(job: Job, fire: OpenFire) -> bool:
    if fire.origin.startswith(_ASKED_FOR):
        return False
    return job.policies.catch_up.mode is not CatchUpMode.ALL or fire.reason is Reason.STILL_RUNNING


def _superseded_by(newer: Decision, fire: OpenFire) -> Decision:
    return Decision(
        job=newer.job,
        nominal=fire.nominal,
        planned=fire.planned,
        origin=fire.origin,
        at=newer.at,
        verdict=Verdict.SKIP,
        reason=Reason.SUPERSEDED,
    )
