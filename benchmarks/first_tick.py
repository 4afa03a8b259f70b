"""Scheduler classes that write down when their first tick ended, and then end beat. For `startup.py`."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from celery.beat import PersistentScheduler

from packages.infra.beat.scheduler import AdaptiveScheduler

STAMP_VARIABLE = "BENCHMARK_STAMP_FILE"


class _EndsAfterFirstTick:
    def tick(self, *args: Any, **kwargs: Any) -> float:  # noqa: ANN401  # Celery's own signature
        delay: float = super().tick(*args, **kwargs)  # type: ignore[misc]  # a mixin before a scheduler
        Path(os.environ[STAMP_VARIABLE]).write_text(repr(time.time()), encoding="ascii")
        os.kill(os.getpid(), signal.SIGTERM)
        return delay


class Plain(_EndsAfterFirstTick, PersistentScheduler):
    """What `celery beat` uses when nothing is said."""


class Ours(_EndsAfterFirstTick, AdaptiveScheduler):
    """What this project's beat uses."""
