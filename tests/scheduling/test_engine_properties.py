"""What holds of every engine, whatever the jobs and readings: one final decision for each fire, and in its place."""

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packages.scheduling.decision import THROTTLED_BY, Decision, Reason, Verdict
from packages.scheduling.engine import Engine
from packages.scheduling.instants import DAY_MS, HOUR_MS, SECOND_MS
from packages.scheduling.planned import planned_of, planned_of_many
from packages.scheduling.policies import CatchUpMode
from packages.scheduling.requests import BackfillRequest, TriggerRequest
from packages.scheduling.state import JobState
from tests.scheduling.generated import Scene, scenes

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A shaky loop: it wakes on time, a little late, or after the host has slept.
DELAYS = st.lists(st.sampled_from([0, 0, 0, 1, 700, 30 * SECOND_MS, 2 * HOUR_MS]), min_size=1, max_size=5)


def run(scene: Scene, *, delays: list[int], failures: list[bool], ask: bool = False) -> tuple[list[Decision], Engine]:
    """Step an engine through a scene; some publishes fail. Its decisions, without those of failed publishes."""
    engine = Engine(scene.snapshot.markets)
    for job in scene.jobs:
        engine.add(job, JobState(watermark=scene.start - 1, trigger=job.trigger.describe()), scene.start)
    if ask:
        name = scene.jobs[0].name
        engine.take([TriggerRequest("1", name, scene.start, forced=True)], scene.start)
        engine.take([BackfillRequest("2", name, scene.start - DAY_MS, scene.start, HOUR_MS, scene.start)], scene.start)
    decisions: list[Decision] = []
    steps = now = 0
    while (wake := engine.next_wake()) is not None and wake < scene.end:
        now = max(now, wake + delays[steps % len(delays)])
        tick = engine.tick(scene.snapshot._replace(taken_at=now), now)
        assert not tick.failures
        failed = set()
        for fire in tick.fires:
            if failures[steps % len(failures)]:
                engine.publish_failed(fire, now)
                failed.add(fire.decision)
            steps += 1
        decisions += [decision for decision in tick.decisions if decision not in failed]
        steps += 1
        assert engine.open_fires == sum(len(engine.state(job.name).open) for job in scene.jobs)
        owing = [job for job in scene.jobs if any(f.reason in THROTTLED_BY for f in engine.state(job.name).open)]
        assert engine.debt == Counter((job.queue, job.criticality) for job in owing)
    return decisions, engine


@QUICK
@given(scene=scenes(), delays=DELAYS, failures=st.lists(st.booleans(), min_size=1, max_size=7), ask=st.booleans())
def test_each_fire_has_one_final_decision_or_is_open(
    scene: Scene, delays: list[int], failures: list[bool], *, ask: bool
) -> None:
    decisions, engine = run(scene, delays=delays, failures=failures, ask=ask)
    final = [decision for decision in decisions if decision.is_final]
    settled = Counter((decision.job, decision.nominal, decision.origin) for decision in final)
    assert all(count == 1 for count in settled.values())
    for job in scene.jobs:
        state = engine.state(job.name)
        due = sum(len(array) for array in job.trigger.between(scene.start - 1, state.watermark))
        counted = sum(decision.count for decision in final if (decision.job, decision.origin) == (job.name, "schedule"))
        waiting = [fire for fire in state.open if fire.origin == "schedule"]
        assert counted + len(waiting) == due
        assert not settled.keys() & {(job.name, fire.nominal, fire.origin) for fire in state.open}


@QUICK
@given(scene=scenes(), delays=DELAYS, failures=st.lists(st.booleans(), min_size=1, max_size=7))
def test_what_waits_is_asked_again_later_and_within_its_time(
    scene: Scene, delays: list[int], failures: list[bool]
) -> None:
    decisions, engine = run(scene, delays=delays, failures=failures)
    stale_after_ms = {job.name: job.policies.stale_after_ms for job in scene.jobs}
    # A critical fire that may go although it is stale, and cannot be published, has one more wait of that length.
    waits = 2 if any(failures) else 1
    for decision in decisions:
        if decision.verdict is Verdict.DEFER:
            assert decision.until is not None
            ends_by = max(decision.planned + waits * stale_after_ms[decision.job], decision.at + 1)
            assert decision.at < decision.until <= ends_by
    asked_at = {(decision.job, decision.nominal): decision.at for decision in decisions}
    for job in scene.jobs:
        for fire in engine.state(job.name).open:
            if fire.reason is not Reason.PUBLISH_FAILED:
                # The wait of the oldest fire that it stands for ends it, too.
                deadline = fire.since + stale_after_ms[job.name]
                assert fire.retry_at <= max(deadline, asked_at[job.name, fire.nominal] + 1)


@QUICK
@given(scene=scenes(), delays=DELAYS, fails=st.booleans())
def test_no_more_wait_than_the_catch_up_makes_up_for(scene: Scene, delays: list[int], *, fails: bool) -> None:
    _, engine = run(scene, delays=delays, failures=[fails])
    for job in scene.jobs:
        waiting = [fire for fire in engine.state(job.name).open if fire.reason is not Reason.PUBLISH_FAILED]
        assert len(waiting) <= (job.policies.catch_up.limit if job.policies.catch_up.mode is CatchUpMode.ALL else 1)


@QUICK
@given(scene=scenes())
def test_planned_lies_between_its_nominal_and_the_following_one(scene: Scene) -> None:
    for job in scene.jobs:
        markets = scene.snapshot.markets
        for nominals in job.trigger.between(scene.start, scene.end):
            following = [*nominals[1:].tolist(), job.trigger.next_after(int(nominals[-1]))]
            planned = planned_of_many(job, nominals, following[-1], markets).tolist()
            for nominal, at, behind in zip(nominals.tolist(), planned, following, strict=True):
                assert nominal <= at < (behind or at + 1)
                assert at - nominal < max(1, job.policies.jitter_ms)
                assert at == planned_of(job, nominal, behind, markets)
