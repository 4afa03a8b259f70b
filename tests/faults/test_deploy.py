"""Two versions of the schedule side by side, as in a rolling deploy; and a queue that nobody empties."""

import pytest

from tests.faults.checker import Span
from tests.faults.drain import Drain
from tests.faults.laws import ADDED, QUEUES, REMOVED
from tests.faults.stage import Stage

WAITING = 500_000

pytestmark = pytest.mark.chaos


def test_two_versions_in_a_rolling_deploy(stage: Stage) -> None:
    stage.begin(2, FAULTS_VERSION="1")
    stage.run_for(3)
    # First the one that follows, then the one that leads, as it comes.
    follower = stage.others[0]
    follower.terminate()
    follower.wait()
    follower.start(FAULTS_VERSION="2")
    stage.run_for(4)
    leader = stage.leader
    assert leader is not follower
    assert ADDED not in leader.proxy.jobs
    at = stage.now()
    leader.terminate()
    leader.wait()
    stage.outage(at)
    changed = stage.now()
    leader.start(FAULTS_VERSION="2")
    stage.run_for(5)
    assert REMOVED not in follower.proxy.jobs
    assert follower.proxy.jobs[ADDED] > 0
    versions = {job.name: job for job in stage.jobs}
    removed = versions.pop(REMOVED)
    stage.jobs = list(versions.values())
    stage.assert_in_order()
    stage.jobs = [removed]
    report = stage.report([Span(stage.begun, at - 1_000)])
    assert not report.faults, str(report)
    assert max(a.scheduled_for for a in stage.drain.arrivals if a.job == REMOVED) <= changed
    # The new one has no past to make up for.
    assert min(a.scheduled_for for a in stage.drain.arrivals if a.job == ADDED) > stage.begun + 3_000


def test_a_queue_with_half_a_million_messages(stage: Stage) -> None:
    with stage.server.client() as client:
        for _ in range(WAITING // 10_000):
            client.rpush(QUEUES[1], *[f"waiting {'x' * 100}"] * 10_000)
    stage.drain = Drain(stage.server.client, clock=stage.now, floors={QUEUES[1]: WAITING})
    stage.begin(2)
    stage.run_for(10)
    stage.assert_in_order()
    with stage.server.client() as client:
        assert client.llen(QUEUES[1]) == WAITING
