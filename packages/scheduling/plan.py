"""One tick: every candidate is decided against one snapshot, and what is to be remembered afterwards.

The live beat, a preview and a replay all call `plan_tick`. It is pure: the same state, snapshot and candidates give the
same plan in any process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from packages.scheduling.backfilling import stepped
from packages.scheduling.candidate import Candidate
from packages.scheduling.decide import Panel
from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.model import Job
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.state import JobState, OpenFire
from packages.scheduling.throttle import credit_after, takes_turns
from packages.scheduling.waiting import (
    beyond_limit,
    counted_since,
    ending_in_time,
    is_scheduled,
    kept_open,
    retry_after_ms,
    set_aside,
    superseded,
    superseded_by,
)

# Looking a member up in its enumeration is slow, and this is done for every fire.
_new: Final = tuple.__new__
_FIRE, _DEFER, _SKIP = Verdict.FIRE, Verdict.DEFER, Verdict.SKIP
_PUBLISH_FAILED: Final = Reason.PUBLISH_FAILED


class Fire(NamedTuple):
    """A fire to publish, with the decision behind it.

    `attempts` counts publishes of it that failed before. `since` is from when on its wait is counted, None for its own
    instant. `forced`: whatever else still runs.
    """

    job: Job
    decision: Decision
    attempts: int = 0
    since: int | None = None
    forced: bool = False


@dataclass(frozen=True, slots=True)
class TickPlan:
    """What to publish, in this order, and every decision of the tick."""

    fires: tuple[Fire, ...]
    decisions: tuple[Decision, ...]


def plan_tick(
    state: Mapping[str, JobState], snapshot: Snapshot, candidates: Sequence[Candidate]
) -> tuple[TickPlan, dict[str, JobState]]:
    """Decide `candidates` in the order of their planned instants.

    `state` has the state of each job of them, without the fires that the candidates are. The result is `state` with the
    new states of these jobs, as they are when every fire has been published; `publish_failed` takes one of them back.
    """
    states = dict(state)
    panel = Panel(snapshot)
    ahead: dict[str, int] = {}
    decisions: list[Decision] = []
    fires: list[Fire] = []
    uncounted = counted = JobState(0)
    for due in sorted(set_aside(candidates, states), key=_in_order):
        job = due.job
        name = job.name
        before, job_state = ahead.get(name, 0), states[name]
        candidate = due
        if before or job_state.credit is not None:
            candidate = _new(Candidate, (*due[:9], before, job_state.credit if due.credit is None else due.credit))
        decision = panel.decide(candidate)
        verdict = decision.verdict
        stands = False
        if decision.opinions or job_state.credit is not None:
            decision, job_state, stands = _turned(job_state, candidate, decision)
        ended: list[OpenFire] = []
        if job_state.open and verdict is not _SKIP and is_scheduled(decision.origin):
            ended, job_state = superseded(job, job_state, decision)
            decisions += superseded_by(decision, ended)
        if verdict is _FIRE:
            fires.append(_new(Fire, (job, decision, candidate.attempts, candidate.since, candidate.forced)))
            ahead[name] = before + 1
            # Many jobs are in one state: they go on with one, too.
            if job_state is not uncounted:
                uncounted, counted = job_state, job_state.with_a_fire()
            job_state = counted
        elif verdict is _DEFER and not stands:
            since = candidate.planned if candidate.since is None else candidate.since
            if ended:
                since = counted_since(job, decision, since, ended)
            decision = ending_in_time(decision, job, since)
            job_state = job_state.with_open((*job_state.open, kept_open(candidate, decision, since)))
        decisions.append(decision)
        if job_state.open:
            ended, job_state = beyond_limit(job, job_state)
            decisions += superseded_by(decision, ended)
        states[name] = job_state
    return TickPlan(tuple(fires), tuple(decisions)), states


def _turned(state: JobState, candidate: Candidate, decision: Decision) -> tuple[Decision, JobState, bool]:
    """What a turn costs; and whether it was that of a backfill, which stands still now."""
    if candidate.waited is _PUBLISH_FAILED:
        # It has had its turn. No gate throttles it any more, which must not look as if none throttled its job.
        return decision, state, False
    if takes_turns(candidate):
        credit = credit_after(candidate, decision)
        return decision, state if credit == state.credit else state.with_credit(credit), False
    if candidate.is_backfill:
        return stepped(state, candidate, decision)
    return decision, state, False


def publish_failed(state: JobState, fire: Fire, now: int) -> JobState:
    """The state of a job one of whose fires could not be published: it stays open and is tried again, ever later."""
    decision = fire.decision
    since = decision.planned
    if fire.attempts:
        since = decision.planned if fire.since is None else fire.since
    elif decision.reason is Reason.STALE or any(opinion.reason is Reason.STALE for opinion in decision.opinions):
        # It is worth it although it has waited as long as it may: so is more than one try.
        since = decision.at
    kept = OpenFire(
        nominal=decision.nominal,
        planned=decision.planned,
        origin=decision.origin,
        retry_at=now + retry_after_ms(fire.attempts),
        reason=Reason.PUBLISH_FAILED,
        since=since,
        attempts=fire.attempts + 1,
        forced=fire.forced,
    )
    # A state of which the job began anew meanwhile has not counted it.
    return state._replace(open=(*state.open, kept), fired=max(0, state.fired - 1))


def _in_order(candidate: Candidate) -> tuple[int, int, str, str]:
    job, nominal, planned, origin = candidate[:4]
    return planned, nominal, job.name, origin
