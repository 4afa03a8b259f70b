"""The last run of each task, kept in the Redis that holds the results: `<ns>:last_runs`, a field for each task.

Only the latest is kept. Where the results are not in Redis nothing is recorded and nothing is known.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from celery import Celery
from celery.backends.redis import RedisBackend

from packages.infra.queue.namespace import namespace_of


def key_of(app: Celery) -> str:
    """The key of the hash."""
    return f"{namespace_of(app)}:last_runs"


@dataclass(frozen=True)
class LastRun:
    """How a task last ended. `result` is what it returned, or the text of its error; `origin` is `beat` or `other`."""

    task: str
    task_id: str
    state: str
    finished_at: datetime
    seconds: float
    result: Any
    origin: str


def record_last_run(app: Celery, run: LastRun) -> None:
    """Keep `run` as the last one of its task.

    Raises:
        redis.RedisError: Redis cannot be reached.
    """
    if (client := _redis_of(app)) is not None:
        client.hset(key_of(app), run.task, json.dumps({**asdict(run), "finished_at": run.finished_at.isoformat()}))


def read_last_runs(app: Celery) -> dict[str, LastRun]:
    """The last run of each task by the task's name.

    Raises:
        redis.RedisError: Redis cannot be reached.
    """
    if (client := _redis_of(app)) is None:
        return {}
    records = (json.loads(record) for record in client.hvals(key_of(app)))
    runs = (LastRun(**{**r, "finished_at": datetime.fromisoformat(r["finished_at"])}) for r in records)
    return {run.task: run for run in runs}


def _redis_of(app: Celery) -> Any:  # noqa: ANN401  # a redis client, or None
    # Sentinel's backend is a kind of this one.
    return app.backend.client if isinstance(app.backend, RedisBackend) else None
