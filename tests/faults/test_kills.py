"""Minutes of kills among several replicas, and of starting again from nothing."""

from pathlib import Path

import pytest

from tests.faults.frames import carries_what_is_not_made_up_for
from tests.faults.proxy import Way, When
from tests.faults.stage import Stage, staged

KILLS = 20
TAKEOVER_LEASES = 1.5
EXIT_WITHIN_S = 5.0
STARTED_AGAIN_WITHIN_MS = 5_000
# How a leader is caught: at any moment, with a commit on its way out, or with its answer on the way back.
MOMENTS = (None, When.BEFORE, When.AFTER)

pytestmark = pytest.mark.chaos


def test_twenty_kills_among_three_replicas(stage: Stage) -> None:
    stage.begin(3)
    for n in range(KILLS):
        stage.run_for(0.13 * (n % 7))
        killed = stage.leader
        moment = MOMENTS[n % len(MOMENTS)]
        hold = None if moment is None else killed.proxy.hold(moment)
        if hold is not None:
            hold.wait()
        at = stage.now()
        killed.kill()
        if hold is not None:
            hold.release(drop=True)
        assert stage.outage(at) - at <= TAKEOVER_LEASES * stage.lease_period_ms
        seen = killed.proxy.commands
        killed.start()
        stage.until(lambda proxy=killed.proxy, seen=seen: proxy.commands > seen, "replica that follows")  # type: ignore[misc]  # bound defaults
    assert len(stage.terms) == KILLS + 1
    stage.assert_in_order()


@pytest.mark.parametrize("lease_period_s", [2.0, 10.0])
def test_all_are_killed_and_started_again(tmp_path: Path, lease_period_s: float) -> None:
    with staged(tmp_path, lease_period_s=lease_period_s) as stage:
        stage.begin(3)
        stage.run_for(2)
        at = stage.now()
        for replica in stage.replicas:
            replica.kill()
        stage.run_for(1)
        started = stage.now()
        for replica in stage.replicas:
            replica.start()
        assert stage.outage(at) - started <= stage.lease_period_ms + STARTED_AGAIN_WITHIN_MS
        stage.run_for(2)
        stage.assert_in_order()


def test_a_leader_frozen_for_three_default_periods(tmp_path: Path) -> None:
    with staged(tmp_path, lease_period_s=10.0) as stage:
        stage.begin(3)
        hold, frozen = stage.leader.proxy.hold(When.BEFORE, carries_what_is_not_made_up_for), stage.leader
        hold.wait()
        at = stage.now()
        frozen.freeze()
        assert stage.outage(at) - at <= TAKEOVER_LEASES * stage.lease_period_ms
        stage.run_for(30 - (stage.now() - at) / 1_000)
        # Now what it had sent comes first, and it wakes up after that.
        hold.release()
        stage.run_for(1)
        frozen.thaw()
        stage.run_for(5)
        assert stage.leader is not frozen
        at = stage.now()
        for other in stage.others:
            if other is not frozen:
                other.terminate()
        stage.leader.terminate()
        stage.outage(at, since=at + 2_000)
        assert frozen.lives
        stage.assert_in_order()


def test_every_leader_in_turn_is_told_to_end(stage: Stage) -> None:
    stage.begin(3)
    for n in range(9):
        ended, moment = stage.leader, MOMENTS[n % len(MOMENTS)]
        hold = None if moment is None else ended.proxy.hold(moment)
        if hold is not None:
            hold.wait()
        at = stage.now()
        ended.terminate()
        assert ended.wait(EXIT_WITHIN_S) == 0, ended.log[-3_000:]
        if hold is not None:
            # Late, and from a process that is no more.
            hold.release()
        stage.outage(at)
        seen = ended.proxy.commands
        ended.start()
        stage.until(lambda proxy=ended.proxy, seen=seen: proxy.commands > seen, "replica that follows")  # type: ignore[misc]  # bound defaults
    stage.assert_in_order()


@pytest.mark.parametrize("way", [Way.REFUSE, Way.SILENCE])
def test_a_replica_ends_when_it_is_told_to_be_the_server_away(stage: Stage, way: Way) -> None:
    stage.begin(2)
    at = stage.now()
    for replica in stage.replicas:
        replica.proxy.be(way)
    stage.run_for(1)
    ended = stage.leader
    ended.terminate()
    assert ended.wait(EXIT_WITHIN_S) == 0, ended.log[-3_000:]
    for replica in stage.replicas:
        replica.proxy.be(Way.PASS)
    stage.outage(at, since=stage.now())
    stage.assert_in_order()
