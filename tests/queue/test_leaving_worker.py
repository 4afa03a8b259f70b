"""What is known of the work of a worker that leaves, in whatever way, and of other pools than the usual one."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from packages.infra.embedded.services import EmbeddedServices
from packages.infra.embedded.state import read_state, state_directory
from packages.infra.queue.worker_heartbeats import WorkerState
from tests.queue.test_running_worker import eventually, working
from tests.queue.work_reading import Counted, read_workers


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_other_pools_count_and_say_the_same(redis_url: str, tmp_path: Path, pool: str) -> None:
    orders = tmp_path / "orders"
    with working(redis_url, tmp_path, "-P", pool), closing(Counted(redis_url, orders)) as counted:
        for order in ("succeed", "fail", "retry once"):
            counted.publish(order, waited_ms=1_500)
        counted.publish("succeed", expires=datetime.now(UTC) - timedelta(seconds=1))
        eventually(lambda: counted.counted() == (2, 1, 1), "they are not counted")
        assert counted.worker().size == (1 if pool == "solo" else 2)
        counted.publish("wait")
        eventually(lambda: counted.worker().running == {"maintenance": 1}, "it does not say what runs")
        counted.let_go()
        eventually(lambda: counted.counted() == (3, 1, 1), "it is not counted")


def test_a_worker_that_stops_says_so_at_once_and_its_last_runs_are_counted(redis_url: str, tmp_path: Path) -> None:
    orders = tmp_path / "orders"
    with working(redis_url, tmp_path) as worker, closing(Counted(redis_url, orders)) as counted:
        counted.publish("wait")
        eventually(counted.begun, "it does not start")
        worker.send_signal(signal.SIGTERM)
        eventually(lambda: counted.worker().queues == frozenset(), "it still says that it serves its queues")
        assert counted.worker().left == {"maintenance"}
        counted.let_go()
        worker.wait(60)
        [state] = read_workers(counted.redis).values()
        assert state == WorkerState(frozenset({"maintenance"}), 0, {}, {}, is_alive=False)
        assert counted.counted() == (1, 0, 0)


def test_a_worker_that_is_killed_is_known_to_have_served(redis_url: str, tmp_path: Path) -> None:
    orders = tmp_path / "orders"
    with working(redis_url, tmp_path) as worker, closing(Counted(redis_url, orders)) as counted:
        eventually(lambda: counted.worker().queues, "it does not say what it serves")
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(30)
        eventually(lambda: not any(s.is_alive for s in read_workers(counted.redis).values()), "it still lives")
        [state] = read_workers(counted.redis).values()
        assert state.queues == {"maintenance"}


def test_a_broker_that_dies_and_comes_back_loses_and_doubles_nothing(tmp_path: Path) -> None:
    services = EmbeddedServices(tmp_path / "var")
    with services.hold(want={"valkey"}) as endpoints:
        assert endpoints.redis_url is not None
        orders = tmp_path / "orders"
        with working(endpoints.redis_url, tmp_path) as worker, closing(Counted(endpoints.redis_url, orders)) as counted:
            counted.publish("succeed")
            eventually(lambda: counted.counted() == (1, 0, 0), "it is not counted")
            counted.publish("wait")
            eventually(lambda: counted.begun() == 2, "it does not start")
            state = read_state(state_directory(services.var_dir), "valkey")
            assert state is not None
            state.process.send(signal.SIGKILL)
            eventually(lambda: not state.process.is_alive(), "the broker lives")
            services.revive()
            counted.let_go()
            log = tmp_path / "worker.log"
            eventually(lambda: log.read_text().count("Connected to") == 2, "the worker does not connect again")
            counted.publish("fail")
            eventually(lambda: counted.counted() == (2, 1, 0), "they are not counted")
            eventually(lambda: counted.worker().queues == {"maintenance"}, "it does not say what it serves")
            assert worker.poll() is None
    services.delete_data()


def test_only_its_own_main_process_reads_the_pipe() -> None:
    # A process that only imports the app, such as a shell, starts nothing.
    code = "import threading, tests.queue.running_app; print([t.name for t in threading.enumerate()])"
    environment = {**os.environ, "RUNNING_APP_URL": "redis://127.0.0.1:1/0"}
    output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True)
    assert output.stdout.strip() == "['MainThread']"
