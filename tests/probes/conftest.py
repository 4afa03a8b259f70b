from collections.abc import Iterator

import pytest

from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from tests.probes.on_redis import app_on


@pytest.fixture
def redis(redis_url: str) -> Iterator[BrokerRedis]:
    redis = open_broker_redis(app_on(redis_url))
    assert redis is not None
    yield redis
    redis.close()
