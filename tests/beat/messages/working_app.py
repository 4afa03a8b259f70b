"""A Celery app as anybody has one, with a task that notes how it was called."""

import json
import os
import time
from typing import Any

import redis
from celery import Celery, Task

NOTES = "notes"
QUEUE = "work"


def make_app(url: str) -> Celery:
    """The app on the Redis at `url`; it knows its tasks."""
    app = Celery("working", broker=url, backend=url, set_as_current=False)
    app.conf.update(
        broker_transport_options={"priority_steps": [0, 3, 6, 9], "global_keyprefix": "mine_"},
        task_default_queue=QUEUE,
        worker_prefetch_multiplier=1,
        timezone="Europe/Berlin",
    )
    app.task(name="working.note", bind=True, shared=False)(note)
    return app


def note(self: "Task[Any, Any]", /, *args: object, **kwargs: object) -> str:
    """Note the call, and the instant in seconds."""
    request: Any = self.request
    noted = {
        "args": args,
        "kwargs": kwargs,
        "id": request.id,
        "headers": request.headers,
        "priority": request.delivery_info["priority"],
        "shadow": request.shadow,
        "eta": request.eta,
        "at_s": time.time(),
    }
    with redis.Redis.from_url(self.app.conf.broker_url) as client:
        client.rpush(NOTES, json.dumps(noted))
    return "done"


if url := os.environ.get("WORKING_APP_URL"):
    celery_app = make_app(url)
