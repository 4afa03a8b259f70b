"""A server that does not answer is waited for once in a while, and not by every command."""

import socket
from collections.abc import Iterator

import pytest
from redis import BlockingConnectionPool, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from packages.infra.queue.guarded_redis import ASKED_AGAIN_AFTER, GuardedRedis, NotAskedError


class Seconds:
    """A clock that a test sets; each look at it takes `step_s`."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.step_s = 0.0

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where connections are taken, and nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_after_a_wait_in_vain_nothing_is_asked_for_a_while(silent_port: int) -> None:
    clock = Seconds()
    clock.step_s = 1.0
    pool = ConnectionPool(host="127.0.0.1", port=silent_port, socket_timeout=0.05, socket_connect_timeout=0.05)
    client = GuardedRedis(pool, monotonic=clock)
    with pytest.raises(RedisTimeoutError):
        client.get("a")
    clock.step_s = 0.0
    with pytest.raises(NotAskedError):
        client.get("a")
    pipeline = client.pipeline(transaction=False)
    pipeline.get("a")
    with pytest.raises(NotAskedError):
        pipeline.execute()
    clock.now_s += ASKED_AGAIN_AFTER.total_seconds()
    with pytest.raises(RedisTimeoutError):
        pipeline.execute()
    client.ask_again()
    with pytest.raises(RedisTimeoutError):
        client.get("a")
    pool.disconnect()


def test_what_fails_at_once_is_tried_each_time() -> None:
    client = GuardedRedis(ConnectionPool(host="127.0.0.1", port=1), monotonic=Seconds())
    for _ in range(2):
        with pytest.raises(RedisConnectionError) as refused:
            client.get("a")
        assert not isinstance(refused.value, NotAskedError)


def test_a_no_of_the_server_is_an_answer(redis_url: str) -> None:
    clock = Seconds()
    clock.step_s = 1.0
    pool = BlockingConnectionPool.from_url(redis_url)
    client = GuardedRedis(pool, monotonic=clock)
    client.set("a", "text")
    with pytest.raises(ResponseError):
        client.hget("a", "b")
    assert client.get("a") == b"text"
    pool.disconnect()
