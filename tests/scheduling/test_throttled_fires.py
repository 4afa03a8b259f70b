"""What becomes of a fire out of turn: taken up by the next one, out at its max_staleness, or soon after."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from packages.scheduling.control.controllers import Controllers, QueueControl
from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.engine import Engine
from packages.scheduling.explain import explain
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import CatchUp, CatchUpMode, Policies
from packages.scheduling.requests import BackfillRequest, TriggerRequest
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.state import JobState
from packages.scheduling.throttle import ASK_AGAIN_MS
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job
from tests.scheduling.test_throttle import run, throttled

if TYPE_CHECKING:
    from packages.scheduling.plan import Fire

SHEDDABLE, PLUS = Criticality.SHEDDABLE, Criticality.SHEDDABLE_PLUS


def driven(job: Job, snapshots: Mapping[int, Snapshot], minutes: int) -> tuple[list[Decision], Engine]:
    """An engine that is woken when it wants, with the snapshot of the last minute that has one."""
    engine = Engine()
    engine.add(job, JobState(MIDNIGHT, job.trigger.describe()), MIDNIGHT)
    made: list[Decision] = []
    while (wake := engine.next_wake()) is not None and wake < MIDNIGHT + minutes * MINUTE:
        past = [minute for minute in snapshots if minute <= (wake - MIDNIGHT) // MINUTE]
        snapshot = snapshots[max(past)] if past else Snapshot(MIDNIGHT)
        made += engine.tick(snapshot._replace(taken_at=wake), wake).decisions
    return made, engine


def test_a_sweep_owes_one_fire_and_the_next_one_takes_it_up() -> None:
    stopped = Snapshot(MIDNIGHT, controllers=throttled(0))
    policies = Policies(catch_up=CatchUp(window_ms=60 * MINUTE))
    job = a_job(criticality=SHEDDABLE, policies=policies)
    made, engine = driven(job, {0: stopped}, 10)
    assert {d.reason for d in made if d.is_final} == {Reason.COALESCED}
    assert len(engine.state(job.name).open) == 1
    assert engine.debt == {("area", SHEDDABLE): 1}
    made, engine = driven(job, {0: stopped, 8: Snapshot(MIDNIGHT)}, 12)
    assert [d.reason for d in made if d.verdict is Verdict.FIRE] == [Reason.ON_TIME] * 4
    assert not engine.debt


def test_a_job_that_fires_seldom_goes_out_soon_after_the_throttle_ends() -> None:
    stopped = Snapshot(MIDNIGHT, controllers=throttled(0))
    job = a_job(every=60 * MINUTE, criticality=SHEDDABLE)
    made, _ = driven(job, {60: stopped, 80: Snapshot(MIDNIGHT)}, 110)
    [out] = [d for d in made if d.verdict is Verdict.FIRE]
    assert out.reason is Reason.WAITED
    assert 0 <= out.at - (MIDNIGHT + 80 * MINUTE) <= 2 * ASK_AGAIN_MS


@pytest.mark.parametrize("mode", [CatchUpMode.LATEST, CatchUpMode.SKIP])
@pytest.mark.parametrize("window_ms", [MINUTE, 2 * MINUTE, 7 * MINUTE])
def test_one_fire_waits_for_as_long_as_nothing_goes_out(mode: CatchUpMode, window_ms: int) -> None:
    stopped = Snapshot(MIDNIGHT, controllers=throttled(0))
    job = a_job(criticality=SHEDDABLE, policies=Policies(catch_up=CatchUp(mode, window_ms=window_ms)))
    for minutes in range(2, 30):
        made, engine = driven(job, {0: stopped}, minutes)
        assert {d.reason for d in made if d.is_final} <= {Reason.COALESCED}
        assert [fire.nominal for fire in engine.state(job.name).open] == [MIDNIGHT + (minutes - 1) * MINUTE]


@pytest.mark.parametrize("mode", CatchUpMode)
def test_what_no_newer_fire_takes_up_is_dropped_when_it_is_itself_too_old(mode: CatchUpMode) -> None:
    stopped = Snapshot(MIDNIGHT, controllers=throttled(0))
    job = a_job(
        every=10 * MINUTE, criticality=SHEDDABLE, policies=Policies(catch_up=CatchUp(mode, window_ms=4 * MINUTE))
    )
    made, _ = driven(job, {0: stopped}, 60)
    dropped = [d for d in made if d.is_final]
    assert [(d.reason, d.at - d.nominal) for d in dropped] == [(Reason.STALE, 4 * MINUTE)] * 5


def test_critical_work_that_newer_fires_take_up_goes_out_as_soon_as_the_first_one_would() -> None:
    stopped = Snapshot(MIDNIGHT, controllers=throttled(0, Criticality.CRITICAL))
    job = a_job(policies=Policies(catch_up=CatchUp(window_ms=5 * MINUTE)))
    made, _ = driven(job, {0: stopped}, 30)
    out = [d.at - MIDNIGHT for d in made if d.verdict is Verdict.FIRE]
    assert [at // MINUTE for at in out] == [6, 12, 18, 24]


@pytest.mark.parametrize("criticality", [SHEDDABLE, PLUS])
def test_a_job_of_its_own_max_staleness_goes_out_at_it_whatever_throttles(criticality: Criticality) -> None:
    stopped = Snapshot(MIDNIGHT, controllers=throttled(0, criticality))
    job = a_job(criticality=criticality, policies=Policies(max_staleness_ms=5 * MINUTE))
    made, _ = driven(job, {0: stopped}, 30)
    out = [d.at for d in made if d.verdict is Verdict.FIRE]
    first = MIDNIGHT + MINUTE
    # A newer fire that is due in the same instant is decided first, and leaves the wait to the next millisecond.
    assert first + 5 * MINUTE <= out[0] <= first + 5 * MINUTE + 1
    assert all(b - a <= 6 * MINUTE for a, b in pairwise(out))


def test_where_every_fire_counts_each_waits_for_itself() -> None:
    stopped = Snapshot(MIDNIGHT, controllers=throttled(0))
    policies = Policies(catch_up=CatchUp(CatchUpMode.ALL, window_ms=600 * MINUTE))
    job = a_job(criticality=SHEDDABLE, policies=policies)
    _, engine = driven(job, {0: stopped}, 10)
    assert len(engine.state(job.name).open) == 9
    made, engine = driven(job, {0: stopped, 10: Snapshot(MIDNIGHT)}, 14)
    assert len({d.nominal for d in made if d.verdict is Verdict.FIRE}) == 13


@pytest.mark.parametrize(
    ("expires_ms", "out"), [(2 * MINUTE, 10), (MINUTE, 20), (30_000, 20), (5 * MINUTE, 4), (None, 20)]
)
def test_while_nobody_serves_a_queue_critical_work_has_one_message_there(expires_ms: int | None, out: int) -> None:
    unserved = Snapshot(MIDNIGHT, controllers=Controllers(queues={"area": QueueControl(unserved_since=MIDNIGHT)}))
    for criticality, goes_out in ((Criticality.CRITICAL, out), (Criticality.CRITICAL_PLUS, 20), (PLUS, 0)):
        made, _ = run(replace(a_job(criticality=criticality), expires_ms=expires_ms), unserved, 20)
        assert sum(decision.verdict is Verdict.FIRE for decision in made) == goes_out


@pytest.mark.parametrize("away_ms", [0, 1, 7_000, MINUTE - 1])
def test_a_fire_that_is_only_asked_about_has_the_rate_of_the_nominals_beside_it(away_ms: int) -> None:
    unserved = Snapshot(MIDNIGHT, controllers=Controllers(queues={"area": QueueControl(unserved_since=MIDNIGHT)}))
    job = replace(a_job(criticality=Criticality.CRITICAL), expires_ms=2 * MINUTE)
    [opinion] = explain(job, unserved, MIDNIGHT + away_ms).decision.opinions
    assert opinion.rate == ONE // 2


@pytest.mark.parametrize("criticality", [SHEDDABLE, Criticality.CRITICAL])
def test_what_goes_out_at_its_max_staleness_is_tried_again_when_the_publish_fails(criticality: Criticality) -> None:
    unserved = Snapshot(MIDNIGHT, controllers=Controllers(queues={"area": QueueControl(unserved_since=MIDNIGHT)}))
    job = replace(
        a_job(every=180 * MINUTE, criticality=criticality, policies=Policies(max_staleness_ms=60 * MINUTE)),
        expires_ms=720 * MINUTE,
    )
    engine = Engine()
    engine.add(job, JobState(MIDNIGHT, job.trigger.describe(), credit=0), MIDNIGHT)
    out: list[Fire] = []
    wake = MIDNIGHT
    while not out:
        wake = engine.next_wake() or wake
        out += engine.tick(unserved._replace(taken_at=wake), wake).fires
    engine.publish_failed(out[0], wake)
    again = engine.next_wake()
    assert again is not None
    tried = engine.tick(unserved._replace(taken_at=again), again).fires
    assert [each.decision.nominal for each in tried] == [out[0].decision.nominal]


@pytest.mark.parametrize("rate", [50_000, 200_000, 500_000])
@pytest.mark.parametrize("failures", [1, 3])
def test_a_publish_that_fails_takes_no_turn_and_wins_none(rate: int, failures: int) -> None:
    throttling = Snapshot(MIDNIGHT, controllers=throttled(rate))
    # The names have different parts of a credit to begin with.
    for name in (f"area.job_{number}" for number in range(20)):
        job = a_job(name, criticality=SHEDDABLE)
        engine = Engine()
        engine.add(job, JobState(MIDNIGHT, job.trigger.describe()), MIDNIGHT)
        out: list[int] = []
        while (wake := engine.next_wake()) is not None and wake < MIDNIGHT + 101 * MINUTE:
            for fire in engine.tick(throttling._replace(taken_at=wake), wake).fires:
                if fire.attempts < failures:
                    engine.publish_failed(fire, wake)
                else:
                    out.append(fire.decision.nominal)
        assert len(set(out)) == len(out)
        assert abs(len(out) - rate * 100 // ONE) <= 1


@pytest.mark.parametrize("asked", ["trigger", "backfill"])
def test_what_is_asked_for_leaves_the_turns_alone_when_its_publish_fails(asked: str) -> None:
    throttling = Snapshot(MIDNIGHT, controllers=throttled(500_000))
    job = a_job(every=60 * MINUTE, criticality=SHEDDABLE)
    engine = Engine()
    engine.add(job, JobState(MIDNIGHT, job.trigger.describe(), credit=123_456), MIDNIGHT)
    request: TriggerRequest | BackfillRequest = TriggerRequest("r", job.name, MIDNIGHT)
    if asked == "backfill":
        request = BackfillRequest("r", job.name, MIDNIGHT - 60 * MINUTE, MIDNIGHT - 1, MINUTE, MIDNIGHT)
    engine.take([request], MIDNIGHT)
    attempts: list[int] = []
    while (wake := engine.next_wake()) is not None and wake < MIDNIGHT + 30 * MINUTE:
        for fire in engine.tick(throttling._replace(taken_at=wake), wake).fires:
            attempts.append(fire.attempts)
            if fire.attempts < 2:
                engine.publish_failed(fire, wake)
        assert engine.state(job.name).credit == 123_456
    assert attempts == [0, 1, 2]
