"""The `minsy` command as a person runs it, in an environment of the test's own, and what a beat would then hear."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from celery import Celery

from packages.infra.control.control import Control
from packages.infra.control.redis_control import RedisControl
from packages.infra.queue.broker_redis import open_broker_redis
from packages.scheduling.instants import to_instant
from packages.shared_settings.layers import ROOT

Minsy = Callable[..., "subprocess.CompletedProcess[str]"]


def minsy_in(directory: Path) -> Minsy:
    """The command with this directory for its env files and its data; variables are keyword arguments."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    environ = {**kept, "MINSY_ENV_DIR": str(directory), "MINSY_VAR_DIR": str(directory / "var")}

    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "apps.cli.main", *arguments],
            env={**environ, **variables},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def printed(environ: Mapping[str, str], *arguments: object, code: int = 0) -> str:
    """What the command prints that ends with this code: its error where that is none of success."""
    done = subprocess.run(
        [sys.executable, "-m", "apps.cli.main", *map(str, arguments)],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return (done.stderr if code else done.stdout).decode()


def said(url: str) -> Control:
    """All that operators have said."""
    redis = open_broker_redis(Celery("minsy", broker=url))
    assert redis is not None
    try:
        return RedisControl(redis).read(to_instant(datetime.now(UTC)))
    finally:
        redis.close()
