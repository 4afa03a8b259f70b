"""What `minsy status` says of beat."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celery import Celery

from packages.infra.beat.beat_status import BeatStatus, BeatStatusStore
from packages.infra.queue.broker_redis import open_broker_redis
from packages.scheduling.instants import to_instant
from packages.shared_settings.layers import ROOT

TICKED = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def status(var: Path, redis_url: str, *arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    done = subprocess.run(
        [sys.executable, "-m", "apps.cli.main", "status", *arguments],
        env={**kept, "MINSY_ENV_DIR": str(var), "MINSY_VAR_DIR": str(var), "REDIS_URL": redis_url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_beat_is_shown_once_it_has_said_something(tmp_path: Path, redis_url: str) -> None:
    assert json.loads(status(tmp_path, redis_url, "--json"))["beat"] is None
    redis = open_broker_redis(Celery("minsy", broker=redis_url))
    assert redis is not None
    said = BeatStatus(to_instant(TICKED), 7, {"area.job": "ValueError: no idea"}, {"XNYS": 364, "24/7": 800})
    BeatStatusStore(redis).write(said)
    redis.close()
    shown: dict[str, Any] = json.loads(status(tmp_path, redis_url, "--json"))["beat"]
    assert shown == {
        "last_tick": "2026-11-22T09:30:00.000Z",
        "jobs": 7,
        "calendar_days_left": {"XNYS": 364, "24/7": 800},
        "quarantined": {"area.job": "ValueError: no idea"},
    }
    lines = [" ".join(line.split()) for line in status(tmp_path, redis_url).splitlines()]
    for line in (
        "last tick 2026-11-22T09:30:00+00:00",
        "jobs 7",
        "days left in calendars 24/7 800, XNYS 364",
        "quarantined area.job ValueError: no idea",
    ):
        assert line in lines
