"""What the network does between the replicas and the server: slow, cut, lossy. Nothing is lost, nothing comes twice."""

import time
from pathlib import Path

import pytest

from tests.faults.proxy import Way, When
from tests.faults.stage import Stage, staged

DEFAULT_LEASE_PERIOD_S = 10.0


def test_a_lost_answer_is_asked_for_again(stage: Stage) -> None:
    stage.begin(2)
    leader = stage.leader
    for _ in range(4):
        leader.proxy.answers_to_lose = 1
        stage.until(lambda: leader.proxy.answers_to_lose == 0, "answer that was lost")
        stage.run_for(0.3)
    stage.outages.append(stage.window_until_now(stage.begun))
    assert len(stage.terms) == 1
    stage.assert_in_order()


@pytest.mark.chaos
def test_an_answer_that_comes_too_late(stage: Stage) -> None:
    stage.begin(2)
    leader, at = stage.leader, stage.now()
    for _ in range(3):
        hold = leader.proxy.hold(When.AFTER)
        hold.wait()
        # Longer than anybody waits for an answer, and shorter than a lease.
        stage.run_for(1.6)
        hold.release()
        stage.published_since(stage.now())
    stage.outages.append(stage.window_until_now(at))
    assert leader.lives
    stage.assert_in_order()


@pytest.mark.chaos
def test_connections_killed_ten_times_a_second_for_half_a_minute(tmp_path: Path) -> None:
    with staged(tmp_path, lease_period_s=DEFAULT_LEASE_PERIOD_S) as stage:
        stage.begin(3)
        at = stage.now()
        ends_at_s = time.monotonic() + 30
        while time.monotonic() < ends_at_s:
            for replica in stage.replicas:
                replica.proxy.reset_all()
            stage.run_for(0.1)
        stage.outage(at)
        assert len(stage.terms) == 1, stage.terms
        stage.assert_in_order()


@pytest.mark.chaos
@pytest.mark.parametrize("delay_s", [0.3, 0.5])
def test_a_slow_network(tmp_path: Path, delay_s: float) -> None:
    with staged(tmp_path, lease_period_s=DEFAULT_LEASE_PERIOD_S) as stage:
        stage.begin(3)
        at = stage.now()
        for replica in stage.replicas:
            replica.proxy.delay_s = delay_s
        stage.run_for(30)
        for replica in stage.replicas:
            replica.proxy.delay_s = 0
        stage.outage(at)
        assert len(stage.terms) == 1, stage.terms
        stage.assert_in_order()


@pytest.mark.chaos
@pytest.mark.parametrize("way", [Way.REFUSE, Way.SILENCE])
def test_a_leader_that_alone_is_cut_off(tmp_path: Path, way: Way) -> None:
    with staged(tmp_path, lease_period_s=DEFAULT_LEASE_PERIOD_S) as stage:
        stage.begin(3)
        at, cut_off = stage.now(), stage.leader
        cut_off.proxy.be(way)
        # What was on its way to the queues by then is not what another one publishes.
        again = stage.outage(at, since=at + 1_000)
        assert again - at <= 1.5 * stage.lease_period_ms
        stage.run_for(15 - (stage.now() - at) / 1_000)
        cut_off.proxy.be(Way.PASS)
        stage.run_for(5)
        assert cut_off.lives
        assert stage.leader is not cut_off
        assert len(stage.terms) == 2, stage.terms
        stage.assert_in_order()
