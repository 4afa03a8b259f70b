"""One tick: order, superseding, staleness, overlap, and what a failed publish leaves behind."""

import pytest

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.instants import DAY_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.plan import Fire, TickPlan, plan_tick, publish_failed
from packages.scheduling.policies import CatchUp, CatchUpMode, GateMode, OverlapMode, Policies
from packages.scheduling.snapshot import Pause, PauseScope, Reading, Run, Snapshot
from packages.scheduling.state import JobState
from packages.scheduling.waiting import FIRST_RETRY_MS, LONGEST_RETRY_MS
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job

NOW = MIDNIGHT
BUFFERED = Policies(overlap=OverlapMode.BUFFER_ONE)


def candidate(job: Job, minute: int = 0, *, at: int = NOW, origin: str = "schedule", **more: object) -> Candidate:
    nominal = NOW + minute * MINUTE
    return Candidate(job=job, nominal=nominal, planned=nominal, origin=origin, at=at, **more)  # type: ignore[arg-type]  # fields of the value


def snapshot(*, running: dict[str, int] | None = None, pauses: tuple[Pause, ...] | None = None) -> Snapshot:
    """`running`: job name and until when its one run counts."""
    runs = {job: (Run(f"id-{job}", NOW - MINUTE, until),) for job, until in (running or {}).items()}
    return Snapshot(
        taken_at=NOW,
        running=Reading(runs, NOW) if running is not None else None,
        pauses=Reading(pauses, NOW) if pauses is not None else None,
    )


def plan(
    *candidates: Candidate, state: JobState | None = None, known: Snapshot | None = None
) -> tuple[TickPlan, dict[str, JobState]]:
    states = {c.job.name: state or JobState(watermark=NOW) for c in candidates}
    return plan_tick(states, known or snapshot(), candidates)


def said(decisions: tuple[Decision, ...]) -> list[tuple[int, Verdict, Reason]]:
    return [((d.nominal - NOW) // MINUTE, d.verdict, d.reason) for d in decisions]


def test_candidates_are_decided_in_the_order_of_their_planned_instants_whatever_the_order_given() -> None:
    first, second = candidate(a_job("b.x"), -1), candidate(a_job("a.x"))
    assert plan(first, second) == plan(second, first)
    assert [fire.job.name for fire in plan(second, first)[0].fires] == ["b.x", "a.x"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, Reason.ON_TIME),
        ({"at": NOW + 1_001}, Reason.CAUGHT_UP),
        ({"waited": Reason.OUTSIDE_WINDOW, "at": NOW + MINUTE}, Reason.WAITED),
        ({"origin": "trigger:1"}, Reason.REQUESTED),
        ({"origin": "backfill:1"}, Reason.REQUESTED),
    ],
)
def test_a_fire_says_why_it_goes_out(given: dict[str, object], reason: Reason) -> None:
    (decision,) = plan(candidate(a_job(), **given))[0].decisions  # type: ignore[arg-type]  # fields of the value
    assert (decision.verdict, decision.reason) == (Verdict.FIRE, reason)


@pytest.mark.parametrize(
    ("policy", "verdict", "cancels"),
    [
        (OverlapMode.ALLOW, Verdict.FIRE, ()),
        (OverlapMode.SKIP, Verdict.SKIP, ()),
        (OverlapMode.BUFFER_ONE, Verdict.DEFER, ()),
        (OverlapMode.CANCEL_OTHER, Verdict.FIRE, ("id-area.job",)),
    ],
)
def test_an_earlier_run_that_is_not_over(policy: OverlapMode, verdict: Verdict, cancels: tuple[str, ...]) -> None:
    job = a_job(policies=Policies(overlap=policy))
    (decision,) = plan(candidate(job), known=snapshot(running={job.name: NOW + 1}))[0].decisions
    assert (decision.verdict, decision.cancels) == (verdict, cancels)
    for known in (snapshot(running={job.name: NOW}), snapshot(running={}), snapshot()):
        (decision,) = plan(candidate(job), known=known)[0].decisions
        assert (decision.verdict, decision.cancels) == (Verdict.FIRE, ())


def test_of_two_fires_in_one_tick_the_second_finds_the_first_at_work() -> None:
    job = a_job(policies=Policies(overlap=OverlapMode.SKIP, catch_up=CatchUp(CatchUpMode.ALL)))
    found = plan(candidate(job, -1), candidate(job, 0), known=snapshot(running={}))[0]
    assert [verdict for _, verdict, _ in said(found.decisions)] == [Verdict.FIRE, Verdict.SKIP]


def test_a_forced_request_goes_out_beside_a_run_and_a_plain_one_does_not() -> None:
    job = a_job(policies=Policies(overlap=OverlapMode.SKIP))
    known = snapshot(running={job.name: NOW + MINUTE})
    assert plan(candidate(job, origin="trigger:1"), known=known)[0].fires == ()
    assert len(plan(candidate(job, origin="trigger:1", forced=True), known=known)[0].fires) == 1


def test_a_request_is_not_held_by_a_pause_but_the_pause_is_told() -> None:
    known = snapshot(pauses=(Pause(PauseScope.ALL, "", NOW, None, "maintenance"),))
    (decision,) = plan(candidate(a_job(), origin="trigger:1"), known=known)[0].decisions
    assert decision.verdict is Verdict.FIRE
    assert [(o.gate, o.mode) for o in decision.opinions] == [("pause", GateMode.OBSERVE)]
    (decision,) = plan(candidate(a_job(), origin="backfill:1"), known=known)[0].decisions
    assert decision.verdict is Verdict.SKIP


@pytest.mark.parametrize(
    ("pause", "holds"),
    [
        (Pause(PauseScope.ALL, "", NOW, None, ""), True),
        (Pause(PauseScope.JOB, "area.job", NOW, None, ""), True),
        (Pause(PauseScope.JOB, "area.other", NOW, None, ""), False),
        (Pause(PauseScope.QUEUE, "area", NOW, None, ""), True),
        (Pause(PauseScope.QUEUE, "other", NOW, None, ""), False),
        (Pause(PauseScope.CRITICALITY, "critical", NOW, None, ""), True),
        (Pause(PauseScope.CRITICALITY, "sheddable", NOW, None, ""), False),
        (Pause(PauseScope.ALL, "", NOW, NOW + 1, ""), True),
        (Pause(PauseScope.ALL, "", NOW - 9, NOW, ""), False),
    ],
)
def test_what_a_pause_holds(pause: Pause, *, holds: bool) -> None:
    (decision,) = plan(candidate(a_job()), known=snapshot(pauses=(pause,)))[0].decisions
    assert (decision.reason is Reason.PAUSED) is holds


def test_a_newer_fire_ends_the_one_that_waits() -> None:
    job = a_job(policies=BUFFERED)
    known = snapshot(running={job.name: NOW + DAY_MS})
    _, states = plan(candidate(job, 0), known=known)
    found, states = plan(candidate(job, 1, at=NOW + MINUTE), state=states[job.name], known=known)
    assert said(found.decisions) == [
        (0, Verdict.SKIP, Reason.SUPERSEDED),
        (1, Verdict.DEFER, Reason.STILL_RUNNING),
    ]
    (waiting,) = states[job.name].open
    # It stands for the first one, too, so that its wait is counted from there.
    assert (waiting.nominal, waiting.since) == (NOW + MINUTE, NOW)


def test_two_that_become_due_together_are_one_sweep() -> None:
    job = a_job()
    found, states = plan(candidate(job, -5, waited=Reason.OUTSIDE_WINDOW), candidate(job, 0))
    assert said(found.decisions) == [(-5, Verdict.SKIP, Reason.SUPERSEDED), (0, Verdict.FIRE, Reason.ON_TIME)]
    assert states[job.name].open == ()


def test_all_means_all() -> None:
    job = a_job(policies=Policies(catch_up=CatchUp(CatchUpMode.ALL)))
    found, _ = plan(candidate(job, -5, waited=Reason.OUTSIDE_WINDOW), candidate(job, 0))
    assert [nominal for nominal, _, _ in said(found.decisions)] == [-5, 0]
    assert len(found.fires) == 2


@pytest.mark.parametrize(
    ("criticality", "verdict"),
    [
        (Criticality.CRITICAL_PLUS, Verdict.FIRE),
        (Criticality.CRITICAL, Verdict.FIRE),
        (Criticality.SHEDDABLE_PLUS, Verdict.SKIP),
        (Criticality.SHEDDABLE, Verdict.SKIP),
    ],
)
def test_a_wait_ends_by_criticality(criticality: Criticality, verdict: Verdict) -> None:
    policies = Policies(overlap=OverlapMode.BUFFER_ONE, max_staleness_ms=MINUTE)
    job = a_job(policies=policies, criticality=criticality)
    known = snapshot(running={job.name: NOW + DAY_MS})
    waiting = candidate(job, -1, at=NOW - 1, waited=Reason.STILL_RUNNING)
    found, states = plan(waiting, known=known)
    assert said(found.decisions) == [(-1, Verdict.DEFER, Reason.STILL_RUNNING)]
    assert states[job.name].open[0].retry_at == NOW, "no wait goes on past the deadline"
    found, _ = plan(candidate(job, -1, at=NOW, waited=Reason.STILL_RUNNING), known=known)
    assert said(found.decisions) == [(-1, verdict, Reason.STALE)]


def test_a_failed_publish_is_tried_again_ever_later_and_then_given_up() -> None:
    job = a_job(policies=Policies(max_staleness_ms=10 * MINUTE))
    found, states = plan(candidate(job))
    (fire,) = found.fires
    assert states[job.name].fired == 1
    waits, now, state = [], NOW, states[job.name]
    while True:
        state = publish_failed(state, fire, now)
        (kept,) = state.open
        assert (kept.reason, kept.nominal, state.fired) == (Reason.PUBLISH_FAILED, NOW, 0)
        waits.append(kept.retry_at - now)
        now = kept.retry_at
        again = candidate(job, at=now, waited=kept.reason, attempts=kept.attempts, forced=kept.forced, since=kept.since)
        found, states = plan(again, state=JobState(watermark=NOW))
        state = states[job.name]
        if not found.fires:
            break
        (fire,) = found.fires
    assert waits[0] == FIRST_RETRY_MS
    assert waits == sorted(waits)
    assert max(waits) == LONGEST_RETRY_MS
    assert said(found.decisions) == [(0, Verdict.SKIP, Reason.STALE)]
    assert now - NOW >= 10 * MINUTE
    assert state.open == ()


def test_an_open_fire_is_never_asked_again_at_the_same_instant() -> None:
    job = a_job(policies=BUFFERED)
    _, states = plan(candidate(job), known=snapshot(running={job.name: NOW + DAY_MS}))
    assert [fire.retry_at > NOW for fire in states[job.name].open] == [True]


def test_a_fire_carries_its_decision() -> None:
    found, _ = plan(candidate(a_job()))
    assert found.fires == (Fire(a_job(), found.decisions[0], 0),)
