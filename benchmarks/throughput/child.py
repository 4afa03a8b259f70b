"""The process of one beat: Celery's own service around a scheduler class. Neutral: imports nothing of ours by itself.

Run by `beat.py` as a module. Says what it measured of itself as JSON lines on its standard output: `first_tick` once,
and `so_far` after each line of its standard input.
"""

import json
import os
import signal
import sys
import threading
import time
from importlib.metadata import version
from typing import Any

import psutil
from celery.beat import Service
from celery.signals import before_task_publish
from kombu.utils.imports import symbol_by_name
from redis.utils import HIREDIS_AVAILABLE

from benchmarks.throughput.app import RUN, celery_app
from benchmarks.throughput.entries import entries_of

_PACKAGES = ("celery", "kombu", "redis", "hiredis")


class Publishing:
    """Somebody who is connected to `before_task_publish`, and looks at what he is given."""

    seen = 0

    def look(self, headers: dict[str, Any] | None = None, **_: object) -> None:
        """Count."""
        self.seen += "id" in (headers or {})


def say(event: str, **fields: object) -> None:
    """One line to the parent process."""
    sys.stdout.write(json.dumps({"event": event, "at": time.time(), **fields}) + "\n")
    sys.stdout.flush()


def memory_bytes() -> int:
    """The resident memory of this process."""
    return int(psutil.Process().memory_info().rss)


def of_ours() -> list[str]:
    """The modules of this project, but those of the benchmark, that this process has imported."""
    return sorted(name for name in sys.modules if name.partition(".")[0] in {"apps", "packages"})


def main() -> None:
    """Run beat until a signal ends it."""
    celery_app.finalize()
    celery_app.set_default()
    symbol_by_name(RUN.scheduler)
    publishing = Publishing()
    if RUN.has_receiver:
        before_task_publish.connect(publishing.look)
    empty = memory_bytes()
    celery_app.conf.beat_schedule = entries_of(RUN)
    # It takes a name as well as a class, as the command does.
    of_any_kind: Any = Service
    service = of_any_kind(celery_app, max_interval=RUN.longest_wait_s, scheduler_cls=RUN.scheduler)
    began = time.perf_counter()
    scheduler = service.scheduler
    set_up_s = time.perf_counter() - began
    own_tick, ticks = scheduler.tick, 0

    def tick(*args: Any, **kwargs: Any) -> float:  # noqa: ANN401  # Celery's own signature
        nonlocal ticks
        ticks += 1
        began = time.perf_counter()
        delay: float = own_tick(*args, **kwargs)
        if ticks == 1:
            say(
                "first_tick",
                set_up_s=set_up_s,
                first_tick_s=time.perf_counter() - began,
                bytes_each=(memory_bytes() - empty) / RUN.count,
                has_hiredis=HIREDIS_AVAILABLE,
                versions={name: version(name) for name in _PACKAGES},
                of_ours=of_ours(),
            )
        return delay

    def answer() -> None:
        # No signal: beat would wake up for it, and may be asleep for minutes in the thread that would get it.
        for _ in sys.stdin:
            say("so_far", ticks=ticks, cpu_s=time.process_time(), seen=publishing.seen)

    scheduler.tick = tick
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    threading.Thread(target=answer, daemon=True).start()
    service.start()


if __name__ == "__main__":
    main()
