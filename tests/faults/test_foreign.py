"""Entries that raise, and values in Redis that are not ours: contained, reported, and all other jobs are in order."""

import pytest

from tests.faults.replicas import Replica
from tests.faults.stage import Stage

pytestmark = pytest.mark.chaos


def test_poisoned_entries_stop_nobody_else(stage: Stage) -> None:
    stage.begin(2, FAULTS_POISON="1")
    stage.run_for(5)
    at = stage.now()
    stage.leader.kill()
    stage.outage(at)
    stage.run_for(5)
    said = warnings_of(stage.leader)
    assert all(any(name in line for line in said) for name in ("poisoned-entry", "poisoned-job")), said
    stage.assert_in_order()


def test_values_that_are_not_ours_concern_their_jobs_alone(stage: Stage) -> None:
    spoiled = {
        "half": b"\xff\x00no text",
        "one": b'{"version": 99, "watermark": "yesterday"}',
        "two": b'{"watermark": ' + b"9" * 5_000_000,
    }
    stage.begin(2)
    stage.run_for(2)
    at = stage.now()
    # Frozen first, so that the leader does not write over them.
    stage.leader.freeze()
    with stage.server.client() as client:
        client.hset("faults:beat:state", mapping=spoiled)
    stage.leader.kill()
    stage.outage(at)
    stage.run_for(5)
    said = warnings_of(stage.leader)
    assert all(any(f"field={name} " in line for line in said) for name in spoiled), said
    jobs = stage.jobs
    stage.jobs = [job for job in jobs if job.name not in spoiled]
    # They go on, too, when their time aside is over.
    went_on = {arrival.job for arrival in stage.drain.arrivals if arrival.scheduled_for > stage.outages[-1].end}
    stage.assert_in_order()
    assert went_on >= spoiled.keys()


@pytest.mark.parametrize(
    "key",
    [
        "beat:state",
        "beat:anchors",
        "ledger",
        "beat:counters",
        "running:runs",
        "beat:claims",
        "beat:controllers",
        "beat:lease",
        "beat:term",
    ],
)
def test_a_key_of_another_kind_stops_nobody(stage: Stage, key: str) -> None:
    with stage.server.client() as client:
        client.rpush(f"faults:{key}", "not ours")
    stage.begin(2)
    stage.run_for(3)
    with stage.server.client() as client, client.pipeline() as pipeline:
        pipeline.delete(f"faults:{key}")
        pipeline.rpush(f"faults:{key}", "not ours")
        at = stage.now()
        pipeline.execute()
    stage.outages.append(stage.window_until_now(at))
    stage.outage(at)
    stage.run_for(3)
    said = [line for replica in stage.replicas for line in warnings_of(replica)]
    assert any(key in line for line in said), said
    assert all(replica.lives for replica in stage.replicas)
    stage.assert_in_order()


@pytest.mark.parametrize("key", ["beat:lease", "beat:term"])
@pytest.mark.parametrize("text", ["not ours", "", "somebody:else", "9" * 400])
def test_a_text_that_is_no_lease_and_never_ends_stops_nobody(stage: Stage, key: str, text: str) -> None:
    with stage.server.client() as client:
        client.set(f"faults:{key}", text)
    stage.begin(2)
    stage.run_for(1)
    at = stage.now()
    with stage.server.client() as client:
        client.set(f"faults:{key}", text)
    stage.outage(at)
    stage.run_for(2)
    stage.assert_in_order()


def warnings_of(replica: Replica) -> list[str]:
    return [line for line in replica.log.splitlines() if ": WARNING/" in line or ": ERROR/" in line]
