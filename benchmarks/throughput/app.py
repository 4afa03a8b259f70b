"""The Celery app of the throughput benchmarks, for beat and for the worker. Neutral: imports nothing of ours."""

from pathlib import Path

import redis
from celery import Celery, Task

from benchmarks.throughput.run import APP, EXECUTED, TASK, this_run

RUN = this_run()

celery_app = Celery(APP, broker=RUN.broker)
celery_app.conf.update(
    timezone="UTC",
    enable_utc=True,
    broker_connection_retry_on_startup=True,
    beat_schedule_filename=str(Path(RUN.directory) / "schedule"),
    redbeat_redis_url=RUN.beside,
    # Nobody installs an entry of its own.
    result_expires=None,
)
beside = redis.Redis.from_url(RUN.beside)


@celery_app.task(name=TASK, bind=True, ignore_result=True)
def note(self: Task[..., None], number: int) -> None:
    """Write down that a worker has executed this message."""
    beside.hset(EXECUTED, self.request.id, number)
