"""The real `celery beat` command with the scheduler class: it publishes, answers, and ends when it is told to."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

APP = """
import os
from celery import Celery

app = Celery("commanded", broker=os.environ["BROKER"])
app.conf.update(
    beat_schedule={"often": {"task": "t", "schedule": 0.2, "options": {"queue": "q"}}},
    beat_scheduler="packages.infra.beat.scheduler:AdaptiveScheduler",
)
"""
PATIENCE_S = 30.0


@pytest.fixture
def beat(redis_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "commanded.py").write_text(APP, encoding="utf-8")
    root = str(Path(__file__).parents[2])
    environ = {**os.environ, "BROKER": redis_url, "PYTHONPATH": os.pathsep.join([str(tmp_path), root])}
    arguments = ["-A", "commanded", "beat", "-l", "info", "--enable-remote-control", "-n", "beat@here"]
    with subprocess.Popen(
        [sys.executable, "-m", "celery", *arguments],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_the_command_publishes_answers_and_ends(beat: subprocess.Popen[str], redis_url: str) -> None:
    app = Celery("commanded", broker=redis_url, set_as_current=False)
    with redis.Redis.from_url(redis_url) as client:
        ends_at = time.monotonic() + PATIENCE_S
        answers: list[Any] = []
        while not (client.llen("q") > 3 and answers):
            assert beat.poll() is None, beat.stdout.read() if beat.stdout else ""
            assert time.monotonic() < ends_at
            answers = answers or app.control.ping(destination=["beat@here"], timeout=0.5) or []
        assert answers == [{"beat@here": {"ok": "pong"}}]
        beat.send_signal(signal.SIGTERM)
        output, _ = beat.communicate(timeout=PATIENCE_S)
        assert beat.returncode == 0
        assert "Traceback" not in output
        assert "decision" in output
        state = client.hget("commanded:beat:state", "often")
        published = client.llen("q")
    assert state is not None
    # The signal may have come between a publish and its note; then that fire comes once more, under the same id.
    assert published - json.loads(state)["fired"] in {0, 1}
    app.close()
