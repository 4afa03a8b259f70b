"""Beat inside a worker, as a thread of it: `celery worker -B` on a platform that cannot fork."""

import signal
import time
from typing import Any

import redis
from celery import signals
from celery.beat import EmbeddedService

from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.infra.queue.reload import EnvFilesSource, reload_on_hangup
from tests.beat.stepped import make_app

PATIENCE_S = 30.0


def test_a_thread_of_a_worker_publishes_and_ends(redis_url: str) -> None:
    app = make_app(
        {"often": {"task": "t", "schedule": 0.1, "options": {"queue": "q"}}},
        broker=redis_url,
    )
    app.conf.beat_max_loop_interval = 0.1
    source = EnvFilesSource({})
    before = signal.getsignal(signal.SIGHUP)
    failed: list[BaseException] = []

    def begun(**_: object) -> None:
        try:
            reload_on_hangup(source)
        except ValueError as error:
            failed.append(error)

    signals.beat_init.connect(begun)
    service: Any = EmbeddedService(app, thread=True, scheduler_cls="packages.infra.beat.scheduler:AdaptiveScheduler")
    service.start()
    try:
        with redis.Redis.from_url(redis_url) as client:
            ends_at = time.monotonic() + PATIENCE_S
            while client.llen("q") < 2:
                assert time.monotonic() < ends_at
                time.sleep(0.02)
    finally:
        service.stop()
        signals.beat_init.disconnect(begun)
    assert isinstance(service.service.scheduler, AdaptiveScheduler)
    assert not service.is_alive()
    assert failed == []
    # The signal stays the worker's.
    assert signal.getsignal(signal.SIGHUP) is before
    app.close()
