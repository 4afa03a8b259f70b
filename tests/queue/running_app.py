"""A Celery app with the project's configuration and its record of what runs, and a task that does as it is told."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import Celery, Task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from packages.catalogue.queues import Profile
from packages.infra.connections import Connections
from packages.infra.queue.configuration import celery_configuration
from packages.infra.queue.redis_transport import use_mended_transport
from packages.infra.queue.running_signals import connect_running_signals
from packages.infra.queue.work_signals import connect_work_signals
from packages.infra.queue.worker_delays import connect_worker_delays
from packages.infra.queue.worker_reports import connect_worker_reports
from packages.shared_settings.workers import WorkerIoSettings

TASK = "maintenance.obey"
NOTE = "maintenance.note"


def make_app(url: str) -> Celery:
    """The app on the Redis at `url`."""
    use_mended_transport()
    app = Celery("running", task_cls="packages.infra.queue.once:OnceTask")
    connections = Connections(broker_url=url, result_backend=url, redis_url=url, database_url=None)
    app.conf.update(celery_configuration(Profile.IO, WorkerIoSettings(), connections), include=(), worker_concurrency=2)
    app.task(name=TASK, bind=True)(obey)
    app.task(name="maintenance.obey_early", bind=True, acks_late=False)(obey)
    app.task(name=NOTE, bind=True)(note)
    return app


def obey(self: "Task[Any, Any]", order: str, directory: str) -> None:
    """Note the process and do what `order` says."""
    ran_before = (Path(directory) / "pids").exists()
    with (Path(directory) / "pids").open("a", encoding="ascii") as pids:
        pids.write(f"{os.getpid()}\n")
    match order:
        case "wait":
            wait(directory)
        case "wait longer than may be":
            # The soft limit is left unheard, so that the hard one is what ends it.
            with suppress(SoftTimeLimitExceeded):
                wait(directory)
            wait(directory)
        case "fail":
            raise ValueError(order)
        case "retry in ten minutes":
            raise self.retry(countdown=600)
        case "retry once" if not ran_before:
            raise self.retry(countdown=0)
        case "ignore":
            raise Ignore(order)
        case "reject":
            raise Reject(order)
        case "requeue once" if not ran_before:
            raise Reject(order, requeue=True)
        case "die once" if not ran_before:
            os.kill(os.getpid(), signal.SIGKILL)


def note(self: "Task[Any, Any]", name: str, directory: str, *, again: bool) -> None:
    """Write the name down behind those of the runs before; `again`: and once more, in a retry."""
    with (Path(directory) / "order").open("a", encoding="ascii") as noted:
        noted.write(f"{name}\n")
    if again and not self.request.retries:
        raise self.retry(countdown=0)


def wait(directory: str) -> None:
    """Until the directory has a file `go`."""
    while not (Path(directory) / "go").exists():
        time.sleep(0.05)


if url := os.environ.get("RUNNING_APP_URL"):
    celery_app = make_app(url)
    connect_work_signals()
    connect_running_signals()
    if port := os.environ.get("RUNNING_APP_METRICS_PORT"):
        celery_app.conf.update(worker_metrics_port=int(port))
    connect_worker_delays(["maintenance"])
    connect_worker_reports(database_url=os.environ.get("RUNNING_APP_DATABASE"))
