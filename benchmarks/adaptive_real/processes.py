"""The processes of a real run: `celery beat` and Celery workers, started, resized, hit and cleaned up from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from celery import Celery

from benchmarks.adaptive_real.run import APP_MODULE, RealRun, present
from packages.catalogue.queues import Profile
from packages.scheduling.simulation.scenario import QueueOrder, WorkerSpec
from packages.shared_settings.layers import ROOT
from packages.shared_settings.loading import KNOWN_VARIABLES

_ENDS_WITHIN_S: Final = 10.0
_SHRINKS_WITHIN_S: Final = 5.0
_ANSWERS_WITHIN_S: Final = 1.0
_PAUSE_S: Final = 0.02
_QUIET: Final = ("--without-gossip", "--without-mingle")
_FOREIGN: Final = {*KNOWN_VARIABLES, "MINSY_ENV", "MINSY_ENV_DIR", "MINSY_ENV_FILE", "MINSY_SERVICE"}


class Processes:
    """Those of one run, in a directory of their own. `redis_url`: the broker.

    A worker's node is its name in the scenario, `<name>@real`.
    """

    def __init__(self, directory: Path, redis_url: str, run: RealRun) -> None:
        self.redis_url = redis_url
        self._directory = directory
        self._run = run
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        # Neither the settings of this shell nor the env files of this directory.
        kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        self.environment = {
            **kept,
            "REDIS_URL": redis_url,
            "MINSY_VAR_DIR": str(directory / "var"),
            "MINSY_ENV_DIR": str(directory),
            "PYTHONUNBUFFERED": "1",
        }

    def start_worker(self, spec: WorkerSpec) -> None:
        """Start a worker of the scenario."""
        arguments = ["-Q", ",".join(spec.queues), "-c", str(spec.processes), "-n", node_of(spec.name), *_QUIET]
        if spec.order is QueueOrder.PRIORITY:
            raise SystemExit(f"worker {spec.name}: only round_robin is run for real")
        self._start(spec.name, Profile.IO, self._run, "worker", "-l", "info", *arguments)

    def start_beat(self, name: str, begins: int) -> None:
        """Start a beat of the scenario that begins at this instant; beside another one it waits for the lease."""
        self._start(name, Profile.BEAT, self._run._replace(begins=begins), "beat", "-l", "info")

    def kill(self, name: str) -> None:
        """SIGKILL; it is gone when this returns."""
        process = self._running.pop(name)
        _signal(process, signal.SIGKILL)
        process.wait(_ENDS_WITHIN_S)

    def end(self, name: str) -> None:
        """SIGTERM; it is gone when this returns, in good order unless it takes too long."""
        process = self._running.pop(name)
        process.terminate()
        try:
            process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait(_ENDS_WITHIN_S)

    def check(self) -> None:
        """See that all of them run.

        Raises:
            SystemExit: one has ended.
        """
        for name, process in self._running.items():
            if (code := process.poll()) is not None:
                raise SystemExit(f"{name} ended with {code}; its log ends:\n{self.log(name)[-4000:]}")

    def log(self, name: str) -> str:
        """What one has printed so far."""
        return self._log_path(name).read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        """Leave none of them behind; all that hold on are given the same time to end."""
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + _ENDS_WITHIN_S
        for process in self._running.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait(_ENDS_WITHIN_S)
        self._running.clear()

    def _start(self, name: str, profile: Profile, run: RealRun, *arguments: str) -> None:
        environment = {**self.environment, **run.environment(), "MINSY_CELERY_PROFILE": profile.value}
        with self._log_path(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", APP_MODULE, *arguments],
                cwd=self._directory,
                env={**environment, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the command alone, which then ends all of them.
                start_new_session=True,
            )

    def _log_path(self, name: str) -> Path:
        return self._directory / f"{name}.log"


def node_of(worker: str) -> str:
    """The node name of a worker."""
    return f"{worker}@real"


def resize(app: Celery, worker: str, by: int) -> list[int]:
    """Give a worker more processes, or fewer: idle ones end, one after the other, and have some seconds to become idle.

    Returns the instants: one for each process that ended, or one for all that were added.

    Raises:
        SystemExit: none became idle, or the worker does not answer.
    """
    if by > 0:
        _ask(app, "pool_grow", worker, n=by)
        return [present()]
    done: list[int] = []
    deadline = time.monotonic() + _SHRINKS_WITHIN_S
    while len(done) < -by:
        if _ask(app, "pool_shrink", worker, n=1):
            done.append(present())
        elif time.monotonic() > deadline:
            raise SystemExit(f"no process of {worker} has become idle")
        else:
            time.sleep(_PAUSE_S)
    return done


def _ask(app: Celery, command: str, worker: str, **arguments: int) -> bool:
    node = node_of(worker)
    answers = app.control.broadcast(
        command, arguments=arguments, destination=[node], reply=True, timeout=_ANSWERS_WITHIN_S, limit=1
    )
    if not answers:
        raise SystemExit(f"{worker} does not answer to {command}")
    return "ok" in answers[0][node]


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    # With the processes of its pool.
    os.killpg(process.pid, number)


@contextmanager
def real_processes(directory: Path, redis_url: str, run: RealRun) -> Iterator[Processes]:
    """The processes for the length of the block; none is started yet."""
    processes = Processes(directory, redis_url, run)
    try:
        yield processes
    finally:
        processes.close()
