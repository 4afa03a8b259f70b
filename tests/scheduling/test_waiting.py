"""What waits: how long, how much of it, and what a failed publish, a change or another clock makes of it."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.engine import Engine
from packages.scheduling.model import Criticality, Job
from packages.scheduling.plan import Fire, plan_tick, publish_failed
from packages.scheduling.policies import CatchUp, CatchUpMode, GateMode, OverlapMode, Policies
from packages.scheduling.requests import BackfillRequest, TriggerRequest
from packages.scheduling.snapshot import Pause, PauseScope, Reading, Run, Snapshot
from packages.scheduling.state import JobState, OpenFire
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.windows import parse_windows
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job

if TYPE_CHECKING:
    from collections.abc import Mapping

HOUR = 60 * MINUTE
NIGHT = parse_windows("20:00-21:00")


def open_fire(minute: int, *, reason: Reason = Reason.OUTSIDE_WINDOW, retry_at: int = MIDNIGHT) -> OpenFire:
    nominal = MIDNIGHT + minute * MINUTE
    return OpenFire(nominal, nominal, "schedule", retry_at=retry_at, reason=reason, since=nominal)


def an_engine(job: Job, *waiting: OpenFire, watermark: int = MIDNIGHT, now: int = MIDNIGHT) -> Engine:
    engine = Engine()
    engine.add(job, JobState(watermark=watermark, trigger=job.trigger.describe(), open=waiting), now)
    return engine


def walked(engine: Engine, until: int, *, publishes: bool = True) -> list[Decision]:
    """All decisions of an engine that is ticked at each wake-up before `until`; the fires go out, or all fail."""
    decisions: list[Decision] = []
    while (now := engine.next_wake()) is not None and now < until:
        tick = engine.tick(Snapshot(taken_at=now), now)
        assert not tick.failures
        decisions += tick.decisions
        if not publishes:
            for fire in tick.fires:
                engine.publish_failed(fire, now)
    return decisions


@pytest.mark.parametrize(
    ("criticality", "ends"),
    [
        # What goes out in the end is not put off by newer fires. What is dropped then is so for its own age.
        (Criticality.CRITICAL, [11, 22, 33]),
        (Criticality.SHEDDABLE, []),
    ],
)
def test_a_wait_for_a_window_ends(criticality: Criticality, ends: list[int]) -> None:
    job = a_job(policies=Policies(windows=NIGHT, max_staleness_ms=10 * MINUTE), criticality=criticality)
    decisions = walked(an_engine(job), MIDNIGHT + 35 * MINUTE)
    stale = [(d.at - MIDNIGHT) // MINUTE for d in decisions if d.reason is Reason.STALE]
    assert stale == ends
    for decision in decisions:
        assert (decision.until is None) == decision.is_final
        assert decision.until is None or decision.at < decision.until


@pytest.mark.parametrize("mode", CatchUpMode)
@pytest.mark.parametrize("max_staleness_ms", [None, 10 * MINUTE])
def test_sheddable_work_that_waits_for_a_run_is_there_when_the_run_is_over(
    mode: CatchUpMode, max_staleness_ms: int | None
) -> None:
    policies = Policies(
        overlap=OverlapMode.BUFFER_ONE,
        catch_up=CatchUp(mode, window_ms=10 * MINUTE),
        max_staleness_ms=max_staleness_ms,
    )
    engine = an_engine(a_job(policies=policies, criticality=Criticality.SHEDDABLE))
    runs: Mapping[str, tuple[Run, ...]] = {"area.job": (Run("long", MIDNIGHT, MIDNIGHT + HOUR),)}
    for now in range(MIDNIGHT + MINUTE, MIDNIGHT + 30 * MINUTE, 1_000):
        engine.tick(Snapshot(taken_at=now, running=Reading(runs, now)), now)
        assert [fire.nominal for fire in engine.state("area.job").open] == [now // MINUTE * MINUTE]


@pytest.mark.parametrize("publishes", [True, False])
def test_no_more_fires_wait_than_may_be_caught_up_with(*, publishes: bool) -> None:
    windows = NIGHT if publishes else None
    policies = Policies(windows=windows, catch_up=CatchUp(CatchUpMode.ALL, limit=5))
    engine = an_engine(a_job(policies=policies))
    decisions = walked(engine, MIDNIGHT + 10 * HOUR, publishes=publishes)
    waiting = engine.state("area.job").open
    # With a broker that is away, those of the last tick have not been counted yet.
    assert len(waiting) <= (5 if publishes else 6)
    assert [fire.nominal for fire in waiting] == sorted(fire.nominal for fire in waiting)
    assert waiting[-1].nominal == MIDNIGHT + 599 * MINUTE, "the newest are kept"
    settled = [d for d in decisions if d.reason is Reason.SUPERSEDED]
    assert {d.nominal for d in settled}.isdisjoint({fire.nominal for fire in waiting})
    assert len(settled) + len(waiting) == 599


def a_failed(fire: Fire, now: int, state: JobState | None = None) -> OpenFire:
    return publish_failed(state or JobState(watermark=MIDNIGHT, fired=1), fire, now).open[-1]


def decided(candidate: Candidate, snapshot: Snapshot | None = None) -> tuple[Decision, tuple[Fire, ...]]:
    state = {candidate.job.name: JobState(watermark=MIDNIGHT)}
    plan, _ = plan_tick(state, snapshot or Snapshot(taken_at=candidate.at), [candidate])
    return plan.decisions[-1], plan.fires


def retried(job: Job, kept: OpenFire) -> Candidate:
    return Candidate(
        job=job,
        nominal=kept.nominal,
        planned=kept.planned,
        origin=kept.origin,
        at=kept.retry_at,
        waited=kept.reason,
        attempts=kept.attempts,
        forced=kept.forced,
        since=kept.since,
    )


def test_one_that_goes_out_stale_is_tried_again_as_any_other() -> None:
    job = a_job(policies=Policies(windows=NIGHT, max_staleness_ms=10 * MINUTE))
    late = MIDNIGHT + 10 * MINUTE
    stale = Candidate(job, MIDNIGHT, MIDNIGHT, "schedule", at=late, waited=Reason.OUTSIDE_WINDOW, since=MIDNIGHT)
    decision, (fire,) = decided(stale)
    assert (decision.verdict, decision.reason) == (Verdict.FIRE, Reason.STALE)
    kept = a_failed(fire, late)
    job = replace(job, policies=replace(job.policies, windows=None))
    decision, (fire,) = decided(retried(job, kept))
    assert (decision.verdict, decision.reason) == (Verdict.FIRE, Reason.WAITED)
    # And no longer than any other.
    kept = a_failed(fire, kept.retry_at)
    ended, _ = decided(retried(job, kept)._replace(at=late + 10 * MINUTE))
    assert (ended.verdict, ended.reason) == (Verdict.SKIP, Reason.STALE)


@pytest.mark.parametrize("overlap", [OverlapMode.SKIP, OverlapMode.BUFFER_ONE])
def test_what_failed_to_be_published_does_not_overlap_when_the_broker_is_back(overlap: OverlapMode) -> None:
    policies = Policies(overlap=overlap, catch_up=CatchUp(CatchUpMode.ALL))
    job = a_job(policies=policies)
    waiting = [open_fire(minute, reason=Reason.PUBLISH_FAILED) for minute in (-2, -1)]
    engine = an_engine(job, *waiting)
    # The reading may still have the run that the failed publish would have been: it does not hold the fire itself.
    runs: Mapping[str, tuple[Run, ...]] = {job.name: (Run("its own", MIDNIGHT - MINUTE, MIDNIGHT + HOUR),)}
    tick = engine.tick(Snapshot(taken_at=MIDNIGHT, running=Reading(runs, MIDNIGHT)), MIDNIGHT)
    assert [fire.decision.nominal for fire in tick.fires] == [MIDNIGHT - 2 * MINUTE]
    assert tick.decisions[-1].reason is Reason.STILL_RUNNING


def test_a_forced_request_stays_forced_when_its_publish_failed() -> None:
    job = a_job(policies=Policies(overlap=OverlapMode.SKIP))
    for forced in (True, False):
        asked = Candidate(job, MIDNIGHT, MIDNIGHT, "trigger:1", at=MIDNIGHT, waited=Reason.REQUESTED, forced=forced)
        assert a_failed(decided(asked)[1][0], MIDNIGHT).forced is forced


def test_the_count_of_fires_never_goes_below_none() -> None:
    _, (fire,) = decided(Candidate(a_job(), MIDNIGHT, MIDNIGHT, "schedule", at=MIDNIGHT))
    assert publish_failed(JobState(watermark=MIDNIGHT), fire, MIDNIGHT).fired == 0


def test_a_wait_that_is_over_by_other_policies_ends_when_these_are_taken_in() -> None:
    waiting = open_fire(0, retry_at=MIDNIGHT + 20 * HOUR)
    now = MIDNIGHT + 30_000
    engine = an_engine(a_job(policies=Policies(windows=NIGHT)), waiting, now=MIDNIGHT)
    engine.tick(Snapshot(taken_at=MIDNIGHT), MIDNIGHT)
    engine.add(a_job(), engine.state("area.job"), now)
    (fire,) = engine.tick(Snapshot(taken_at=now), now).fires
    assert (fire.decision.nominal, fire.decision.reason) == (MIDNIGHT, Reason.WAITED)


def test_a_wait_that_is_over_by_the_word_of_an_operator_ends_at_once() -> None:
    engine = an_engine(a_job(every=24 * HOUR, policies=Policies(windows=NIGHT)), open_fire(0))
    engine.tick(Snapshot(taken_at=MIDNIGHT), MIDNIGHT)
    now = MIDNIGHT + MINUTE
    assert engine.tick(Snapshot(taken_at=now), now).fires == ()
    told = Snapshot(taken_at=now, gate_modes={"windows": GateMode.OBSERVE})
    assert [fire.decision.nominal for fire in engine.tick(told, now).fires] == [MIDNIGHT]


def test_what_waits_when_the_clock_is_set_back_does_not_wait_so_much_longer() -> None:
    engine = an_engine(a_job(every=24 * HOUR), watermark=MIDNIGHT, now=MIDNIGHT + 2 * HOUR)
    now, back = MIDNIGHT + 2 * HOUR, MIDNIGHT + HOUR
    requests: list[TriggerRequest | BackfillRequest] = [
        TriggerRequest("t", "area.job", now),
        BackfillRequest("b", "area.job", MIDNIGHT - 200 * HOUR, MIDNIGHT, MINUTE, now),
    ]
    engine.take(requests, now)
    for fire in engine.tick(Snapshot(taken_at=now), now).fires:
        engine.publish_failed(fire, now)
    assert set(engine.clock_set_back(back)) == {"area.job"}
    state = engine.state("area.job")
    assert state.clock == 0, "its watermark is not ahead"
    assert len(state.open) == 2
    assert all(back < fire.retry_at <= back + 30_000 for fire in state.open)
    assert all(fire.since <= back for fire in state.open)
    assert [backfill.next_at for backfill in state.backfills] == [back + MINUTE]
    assert engine.clock_set_back(back) == {}


def test_another_trigger_after_the_clock_was_set_back_does_not_name_the_same_fires_again() -> None:
    state = JobState(watermark=MIDNIGHT + HOUR, trigger=IntervalTrigger(30_000).describe())
    began = Engine().add(a_job(), state, MIDNIGHT)
    assert (began.watermark, began.origin) == (MIDNIGHT, "clock:1")
    # A difference between two clocks is waited for, so that no nominal is settled twice.
    state = state._replace(watermark=MIDNIGHT + 30_000)
    began = Engine().add(a_job(), state, MIDNIGHT)
    assert (began.watermark, began.origin) == (MIDNIGHT + 30_000, "schedule")


def test_a_pause_holds_from_when_beat_knows_of_it_whatever_clock_dated_it() -> None:
    pauses = (Pause(PauseScope.ALL, "", MIDNIGHT + MINUTE, None, "by a clock that is ahead"),)
    decision, _ = decided(
        Candidate(a_job(), MIDNIGHT, MIDNIGHT, "schedule", at=MIDNIGHT),
        Snapshot(taken_at=MIDNIGHT, pauses=Reading(pauses, MIDNIGHT)),
    )
    assert decision.reason is Reason.PAUSED
