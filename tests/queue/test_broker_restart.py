"""The broker dies while a worker has a task in its hands: the worker lives, and every task runs, once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import redis

from packages.infra.embedded.services import EmbeddedServices
from packages.infra.embedded.state import read_state, state_directory
from packages.shared_settings.layers import ROOT

PATIENCE_S = 60.0
SEND = """
from tests.queue.slow_app import slow
for name in ["waits", "one", "two", "three"]:
    slow.apply_async((name,))
"""


def wait_for(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.1)


def test_a_worker_survives_its_broker_and_runs_each_task_once(tmp_path: Path) -> None:
    services = EmbeddedServices(tmp_path / "var")
    runs, log = tmp_path / "runs", tmp_path / "log"
    runs.touch()
    with services.hold(want={"valkey"}) as endpoints:
        assert endpoints.redis_url is not None
        environment = {**os.environ, "SLOW_APP_URL": endpoints.redis_url, "SLOW_APP_RUNS": str(runs)}
        subprocess.run([sys.executable, "-c", SEND], cwd=ROOT, env=environment, check=True, timeout=60)
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "tests.queue.slow_app",
            "worker",
            "-l",
            "info",
            "-Q",
            "maintenance",
        ]
        with log.open("wb") as stream:
            worker = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: "waits" in runs.read_text(), log)
            state = read_state(state_directory(services.var_dir), "valkey")
            assert state is not None
            state.process.send(signal.SIGKILL)
            wait_for(lambda: not state.process.is_alive(), log)
            wait_for(lambda: "Cannot connect to" in log.read_text(), log)
            services.revive()
            wait_for(lambda: log.read_text().count("Connected to") == 2, log)
            (tmp_path / "go").touch()
            wait_for(lambda: "three" in runs.read_text(), log)
            with redis.Redis.from_url(endpoints.redis_url) as client:
                wait_for(lambda: client.hlen("unacked") == 0, log)
            assert worker.poll() is None, log.read_text()[-4000:]
            assert sorted(runs.read_text().split()) == ["one", "three", "two", "waits"]
        finally:
            worker.terminate()
            worker.wait(30)
    services.delete_data()
