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
