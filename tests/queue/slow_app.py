"""A Celery app with the project's configuration and one slow task, for tests that take its broker away."""

import os
import time
from pathlib import Path

from celery import Celery

from packages.catalogue.queues import Profile
from packages.infra.connections import Connections
from packages.infra.queue.configuration import celery_configuration
from packages.infra.queue.redis_transport import use_mended_transport
from packages.shared_settings.workers import WorkerIoSettings

URL = os.environ["SLOW_APP_URL"]
RUNS = Path(os.environ["SLOW_APP_RUNS"])

use_mended_transport()
celery_app = Celery("slow")
celery_app.conf.update(
    celery_configuration(
        Profile.IO,
        WorkerIoSettings(),
        Connections(broker_url=URL, result_backend=URL, redis_url=URL, database_url=None),
    ),
    include=(),
    worker_concurrency=1,
)


@celery_app.task(name="maintenance.slow")
def slow(name: str) -> None:
    """Note the run; the first one waits until it is let go."""
    with RUNS.open("a", encoding="utf-8") as runs:
        runs.write(f"{name}\n")
    while name == "waits" and not RUNS.with_name("go").exists():
        time.sleep(0.05)
