"""One beat in a process of its own, and what it says of itself."""

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from benchmarks.throughput.contenders import Contender
from benchmarks.throughput.run import Run
from benchmarks.throughput.server import Server
from packages.shared_settings.layers import ROOT

_ANSWERS_WITHIN_S = 60.0
_ENDS_WITHIN_S = 10.0


class BeatFailedError(Exception):
    """The process ended, or said nothing; or it is not what it has to be."""


class Beat:
    """A running process. `run` says what it was started for."""

    def __init__(self, process: subprocess.Popen[str], run: Run, log: Path) -> None:
        self.run = run
        self._process = process
        self._log = log
        self._said: SimpleQueue[dict[str, Any]] = SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def first_tick(self, *, within_s: float, is_ours: bool) -> dict[str, Any]:
        """What it says once it is ready.

        Raises:
            BeatFailedError: it is not, or runs without hiredis, or a peer has imported what is ours.
        """
        said = self._next("first_tick", within_s)
        if not said["has_hiredis"]:
            raise BeatFailedError(f"{self.run.scheduler} runs without hiredis")
        if not is_ours and said["of_ours"]:
            raise BeatFailedError(f"{self.run.scheduler} runs with {said['of_ours']}")
        return said

    def so_far(self) -> dict[str, Any]:
        """Its ticks and its seconds of CPU up to now.

        Raises:
            BeatFailedError: it does not answer.
        """
        if self._process.stdin is not None:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return self._next("so_far", _ANSWERS_WITHIN_S)

    def end(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(_ENDS_WITHIN_S)

    def _next(self, event: str, within_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                said = self._said.get(timeout=0.2)
            except Empty:
                if self._process.poll() is not None:
                    break
                continue
            if said["event"] == event:
                return said
        tail = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise BeatFailedError(f"{self.run.scheduler}: no {event} (exit code {self._process.poll()}): {tail}")

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            if line.startswith("{"):
                self._said.put(json.loads(line))


@contextmanager
def running_beat(contender: Contender, server: Server, **what: Any) -> Iterator[Beat]:  # noqa: ANN401  # fields of `Run`
    """A beat for the length of the block, on the emptied server. `what`: see `Run`."""
    server.empty()
    with tempfile.TemporaryDirectory(prefix="minsy-bench-", dir=server.directory) as name:
        run = Run(scheduler=contender.scheduler, broker=server.url(), beside=server.url(1), directory=name, **what)
        log = Path(name) / "log"
        with log.open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(
                [contender.python(), "-m", "benchmarks.throughput.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env={**os.environ, **run.environment(), "PYTHONUNBUFFERED": "1"},
            )
        beat = Beat(process, run, log)
        try:
            yield beat
        finally:
            beat.end()
