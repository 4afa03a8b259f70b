"""The peer APScheduler 3 behind beat's interface, so that it runs in the same process as the others. Neutral.

One job an entry, in its default memory store, sent with `app.send_task` by its default pool of ten threads. A job that
is late is sent nevertheless: by default it would be dropped after a second.
"""

from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor  # type: ignore[import-not-found]  # only the peers' environment has it
from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-not-found]  # only the peers' environment has it
from apscheduler.triggers.interval import IntervalTrigger  # type: ignore[import-not-found]  # only the peers' environment has it
from celery.beat import Scheduler

_THREADS = 10
_AT_A_TIME = 100
_WAKES_AFTER_S = 300.0


class ApschedulerBeat(Scheduler):
    """A scheduler class for beat that leaves all to `BackgroundScheduler`."""

    def setup_schedule(self) -> None:
        """Add the entries as jobs."""
        self.background = BackgroundScheduler(
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(_THREADS)},
            job_defaults={"misfire_grace_time": None, "coalesce": False, "max_instances": _AT_A_TIME},
        )
        for name, entry in self.app.conf.beat_schedule.items():
            every = entry["schedule"].run_every
            first = (entry.get("last_run_at") or self.app.now()) + every
            self.background.add_job(
                self.app.send_task,
                IntervalTrigger(seconds=every.total_seconds(), start_date=first),
                args=(entry["task"],),
                kwargs={"args": entry["args"]},
                id=name,
                next_run_time=first,
            )

    def tick(self, *_: Any, **__: Any) -> float:  # noqa: ANN401  # Celery's own signature
        """Start it; afterwards there is nothing to do."""
        if not self.background.running:
            self.background.start()
        return _WAKES_AFTER_S
