"""Celery's own scheduler, which writes down when its first tick ended, and then ends beat. For `startup.py`.

Ours stands in `first_tick_ours.py`: who measures Celery's must not pay for importing it.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

from celery.beat import PersistentScheduler

STAMP_VARIABLE = "BENCHMARK_STAMP_FILE"


class EndsAfterFirstTick:
    """Put before a scheduler class."""

    def tick(self, *args: Any, **kwargs: Any) -> float:  # noqa: ANN401  # Celery's own signature
        """The scheduler's own tick, and the end."""
        delay: float = super().tick(*args, **kwargs)  # type: ignore[misc]  # a mixin before a scheduler
        Path(os.environ[STAMP_VARIABLE]).write_text(repr(time.time()), encoding="ascii")
        os.kill(os.getpid(), signal.SIGTERM)
        return delay


class Plain(EndsAfterFirstTick, PersistentScheduler):
    """What `celery beat` uses when nothing is said."""
