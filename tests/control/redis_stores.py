"""A store in a real Redis, for these tests."""

from typing import Any

from celery import Celery

from packages.infra.control.redis_control import RedisControl
from packages.infra.queue.broker_redis import open_broker_redis


def open_store(url: str, **options: Any) -> RedisControl:  # noqa: ANN401 - kombu's transport options
    app = Celery("minsy", broker=url, broker_transport_options=options)
    redis = open_broker_redis(app)
    assert redis is not None
    return RedisControl(redis)
