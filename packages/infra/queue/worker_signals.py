"""What a worker says of the tasks that it runs: a log line at the start, and the last run of each task in Redis.

`minsy status` reads the last runs. Losing one is harmless, so a failure here never fails a task.
"""

import logging
import time
from datetime import UTC, datetime
from typing import Any

from celery import Task, signals, states
from redis.exceptions import RedisError

from packages.infra.queue.last_runs import LastRun, record_last_run

log = logging.getLogger(__name__)

_STARTED = "minsy_started"


def connect_worker_signals() -> None:
    """Connect the receivers of a worker; called once, when the app is made."""
    signals.task_prerun.connect(_started, weak=False)
    signals.task_postrun.connect(_ended, weak=False)


def _started(task_id: str, task: Task[Any, Any], **_: object) -> None:
    # The request is Celery's own carrier of a run's state, and ends with it.
    vars(task.request)[_STARTED] = time.monotonic()
    headers = task.request.headers or {}
    fields: dict[str, object] = {"task": task.name, "task_id": task_id}
    if headers.get("beat_job"):
        fields |= {"beat_job": headers["beat_job"], "beat_published_at": headers.get("beat_published_at")}
    log.info("task_started", extra=fields)


def _ended(task_id: str, task: Task[Any, Any], retval: object, state: str | None, **_: object) -> None:
    if state == states.IGNORED:
        # It was dropped, or goes on as another task: there was no run.
        return
    started = vars(task.request).get(_STARTED)
    run = LastRun(
        task=task.name,
        task_id=task_id,
        state=state or "UNKNOWN",
        finished_at=datetime.now(UTC),
        seconds=time.monotonic() - started if started is not None else 0.0,
        result=retval if isinstance(retval, (dict, list, int, float, str, type(None))) else str(retval),
        origin="beat" if (task.request.headers or {}).get("beat_job") else "other",
    )
    try:
        record_last_run(task.app, run)
    except RedisError as error:
        log.warning("last_run_not_recorded", extra={"task": task.name, "error": str(error)})
