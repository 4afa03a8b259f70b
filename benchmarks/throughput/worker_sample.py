"""A real worker of plain Celery, in the peers' environment, executes a sample of the messages of a run."""

import os
import subprocess
import time
from collections.abc import Sequence

from benchmarks.throughput.arrivals import Arrival
from benchmarks.throughput.contenders import peers_python
from benchmarks.throughput.run import EXECUTED, QUEUE, Run
from benchmarks.throughput.server import Server
from packages.shared_settings.layers import ROOT

_WITHIN_S = 60.0
_POLL_S = 0.05
_OPTIONS = ("--pool=solo", "--loglevel=error", "--without-gossip", "--without-mingle", "--without-heartbeat")


def executed(server: Server, run: Run, arrivals: Sequence[Arrival], count: int) -> int:
    """Let a worker execute the oldest `count` messages, the others are thrown away; how many it was.

    Raises:
        SystemExit: it executed others, or not all of them.
    """
    sample = {arrival.task_id: arrival.number for arrival in arrivals[:count]}
    with server.client() as broker, server.client(1) as beside:
        broker.ltrim(QUEUE, -len(sample), -1)
        process = subprocess.Popen(
            [peers_python(), "-m", "celery", "-A", "benchmarks.throughput.app", "worker", *_OPTIONS],
            cwd=ROOT,
            env={**os.environ, **run.environment()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + _WITHIN_S
            while beside.hlen(EXECUTED) < len(sample) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        finally:
            process.terminate()
            process.wait(_WITHIN_S)
        done = {key.decode(): int(value) for key, value in beside.hgetall(EXECUTED).items()}
    if done != sample:
        raise SystemExit(f"The worker executed {len(done)} messages of {len(sample)}, or others.")
    return len(done)
