"""What a real worker tells of its work: each run counted once, however it ends, and that the worker lives."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from packages.infra.queue.worker_heartbeats import WorkerState
from tests.queue.test_running_worker import eventually, working
from tests.queue.work_reading import EARLY, Counted


@pytest.fixture(scope="module")
def one_worker(valkey_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis with one worker on it; nothing may be flushed while it works."""
    with redis.Redis.from_url(valkey_server) as client:
        client.flushall()
    with working(valkey_server, tmp_path_factory.mktemp("worker")):
        yield valkey_server


@pytest.fixture
def counted(one_worker: str, tmp_path: Path) -> Iterator[Counted]:
    with closing(Counted(one_worker, tmp_path)) as counted:
        yield counted
        counted.let_go()
        eventually(lambda: not counted.worker().running, "something still runs")


@pytest.mark.parametrize(
    ("order", "ok", "failed"),
    [
        ("succeed", 1, 0),
        ("fail", 0, 1),
        ("retry once", 1, 0),
        ("reject", 0, 1),
        ("requeue once", 1, 0),
        ("die once", 1, 0),
    ],
)
def test_a_run_is_counted_once_when_it_has_ended(counted: Counted, order: str, ok: int, failed: int) -> None:
    counted.publish(order)
    eventually(lambda: counted.counted() != (0, 0, 0), "it is not counted")
    counted.publish("succeed", EARLY)
    eventually(lambda: counted.counted(EARLY) == (1, 0, 0), "what comes after it is not counted")
    assert counted.counted() == (ok, failed, 0)


@pytest.mark.parametrize("order", ["ignore", "retry in ten minutes"])
def test_what_is_no_end_is_not_counted(counted: Counted, order: str) -> None:
    counted.publish(order)
    eventually(counted.begun, "it does not start")
    counted.publish("succeed", EARLY)
    eventually(lambda: counted.counted(EARLY) == (1, 0, 0), "what comes after it is not counted")
    assert counted.counted() == (0, 0, 0)
    # One that waits for its time holds nobody up.
    assert counted.worker().reserved == {}
    counted.app.control.purge()


@pytest.mark.parametrize("order", ["wait longer than may be", "die once"])
def test_a_run_whose_process_is_gone_is_a_failure(counted: Counted, order: str) -> None:
    counted.publish(order, EARLY, waited_ms=600_000, soft_time_limit=1, time_limit=2)
    eventually(lambda: counted.counted(EARLY) != (0, 0, 0), "it is not counted")
    assert counted.counted(EARLY) == (0, 1, 0)
    count = counted.count(EARLY)
    assert count is not None
    assert count.wait.get(900_000)
    assert sum(count.run.values()) == count.ok + count.failed


def test_a_message_that_expired_is_no_failure(counted: Counted) -> None:
    counted.publish("succeed", expires=datetime.now(UTC) - timedelta(seconds=1))
    eventually(lambda: counted.counted() == (0, 0, 1), "it is not counted")


def test_nor_is_a_run_that_an_operator_ended(counted: Counted) -> None:
    task_id = counted.publish("wait")
    eventually(counted.begun, "it does not start")
    counted.app.control.revoke(task_id, terminate=True, signal="SIGKILL")
    eventually(lambda: counted.counted() == (0, 0, 1), "it is not counted")


def test_waits_are_those_of_the_first_try_and_run_times_those_of_each_end(counted: Counted) -> None:
    before = counted.count()
    for order in ("succeed", "retry once"):
        counted.publish(order, waited_ms=40_000)
    counted.publish("succeed")
    eventually(lambda: counted.counted() == (3, 0, 0), "they are not counted")
    after = counted.count()
    assert after is not None
    waits, runs = (0, 0) if before is None else (sum(before.wait.values()), sum(before.run.values()))
    assert sum(after.wait.values()) == waits + 1
    assert after.wait[60_000] >= 1
    assert after.wait_ms >= 40_000
    assert sum(after.run.values()) == runs + 3


def test_a_worker_says_what_it_serves_and_holds(counted: Counted) -> None:
    assert counted.worker() == WorkerState(frozenset({"maintenance"}), 2, {}, {}, is_alive=True)
    for _ in range(3):
        # Acknowledged when begun, so that one more is taken than there are processes.
        counted.publish("wait", EARLY)
    eventually(lambda: counted.worker().running == {"maintenance": 2}, "it does not say what runs")
    eventually(lambda: counted.worker().reserved == {"maintenance": 1}, "it does not say what waits")


def test_a_worker_follows_what_it_is_told_to_serve(counted: Counted) -> None:
    counted.app.control.add_consumer("stress", reply=True)
    eventually(lambda: counted.worker().queues == {"maintenance", "stress"}, "it does not say that it serves it")
    assert counted.worker().left == frozenset()
    counted.app.control.cancel_consumer("stress", reply=True)
    eventually(lambda: counted.worker().queues == {"maintenance"}, "it still says that it serves it")
    assert counted.worker().left == {"stress"}
