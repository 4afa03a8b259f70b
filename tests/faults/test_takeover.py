"""One replica publishes; when it is gone, another one goes on: each fire once, and nothing under an old term."""

import pytest

from tests.faults.frames import carries_what_is_not_made_up_for
from tests.faults.proxy import When
from tests.faults.stage import Stage

TAKEOVER_AFTER_A_KILL_LEASES = 1.5
TAKEOVER_AFTER_A_SIGTERM_MS = 1_000
EXIT_WITHIN_S = 5.0


@pytest.mark.parametrize("count", [1, 2, 5])
def test_one_of_any_number_publishes_and_each_fire_comes_once(stage: Stage, count: int) -> None:
    stage.begin(count)
    stage.run_for(4)
    assert len(stage.terms) == 1
    assert sum(bool(replica.proxy.jobs) for replica in stage.replicas) == 1
    stage.assert_in_order()


def test_a_killed_leader_is_replaced(stage: Stage) -> None:
    stage.begin(3)
    stage.run_for(1)
    at, killed = stage.now(), stage.leader
    killed.kill()
    assert stage.outage(at) - at <= TAKEOVER_AFTER_A_KILL_LEASES * stage.lease_period_ms
    assert stage.leader is not killed
    stage.assert_in_order()


@pytest.mark.parametrize("when", When)
def test_a_leader_killed_at_its_commit_loses_and_doubles_nothing(stage: Stage, when: When) -> None:
    stage.begin(2)
    hold = stage.leader.proxy.hold(when)
    hold.wait()
    at = stage.now()
    stage.leader.kill()
    hold.release(drop=True)
    stage.outage(at)
    stage.assert_in_order()


def test_a_leader_that_is_told_to_end_hands_over_at_once(stage: Stage) -> None:
    stage.begin(2)
    at, ended = stage.now(), stage.leader
    ended.terminate()
    assert ended.wait(EXIT_WITHIN_S) == 0, ended.log[-3_000:]
    assert "Traceback" not in ended.log
    assert stage.outage(at) - at <= TAKEOVER_AFTER_A_SIGTERM_MS + 500  # until the next fire is due
    stage.assert_in_order()


def test_a_leader_that_was_frozen_publishes_nothing_any_more_and_follows(stage: Stage) -> None:
    stage.begin(2)
    at, frozen = stage.now(), stage.leader
    frozen.freeze()
    stage.outage(at)
    stage.run_for(2 * stage.lease_period_ms / 1_000)
    frozen.thaw()
    stage.run_for(1)
    assert stage.leader is not frozen
    at = stage.now()
    stage.leader.terminate()
    stage.outage(at, since=at + 1_000)
    assert frozen.lives
    assert len(stage.terms) == 3
    stage.assert_in_order()


def test_a_commit_that_was_frozen_on_its_way_is_refused(stage: Stage) -> None:
    stage.begin(2)
    hold, frozen = stage.leader.proxy.hold(When.BEFORE, carries_what_is_not_made_up_for), stage.leader
    hold.wait()
    at = stage.now()
    frozen.freeze()
    stage.outage(at)
    # The process goes on first: it may take its silence for an answer. What it sent comes in after that.
    frozen.thaw()
    hold.release()
    stage.run_for(1)
    assert frozen.lives
    assert stage.leader is not frozen
    stage.assert_in_order()
