"""The proxy does to a real client what a network does, and no more."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.faults.frames import Frames, end_of_frame, jobs_of, term_of
from tests.faults.proxy import Proxy, Way, When

MESSAGE = '{"body": "W10=", "headers": {"beat_job": "nightly"}}'


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    with closing(Proxy(redis_url)) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0), socket_timeout=20) as client:
        yield client


@pytest.fixture
def direct(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def started(pool: ThreadPoolExecutor, client: "redis.Redis", text: str = MESSAGE) -> "Future[object]":
    return pool.submit(client.lpush, "q", text)


@pytest.mark.parametrize(
    "frame",
    [
        b"+OK\r\n",
        b":12\r\n",
        b"$3\r\na\r\n\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n$0\r\n\r\n",
        b"%1\r\n+a\r\n*1\r\n:1\r\n",
    ],
)
def test_a_frame_ends_where_it_ends(frame: bytes) -> None:
    for length in range(len(frame)):
        assert end_of_frame(frame[:length]) is None
    assert end_of_frame(frame + b"+more\r\n") == len(frame)
    frames = Frames()
    assert [found for byte in (frame * 2) for found in frames.feed(bytes([byte]))] == [frame, frame]


def test_the_jobs_that_a_command_publishes() -> None:
    assert jobs_of(f"*3\r\n{MESSAGE}\r\n{MESSAGE.replace('nightly', 'hourly')}".encode()) == ["nightly", "hourly"]
    assert jobs_of(b'*2\r\nEVAL "beat_job"') == []
    assert term_of(b'{"beat_term": 7, "x": 1} {\\"beat_term\\":\\"12\\"}') == 12
    assert term_of(b"PING") == 0


def test_it_passes_on_and_tells_who_publishes(proxy: Proxy, client: "redis.Redis") -> None:
    with client.pipeline() as pipeline:
        for n in range(500):
            pipeline.set(f"k{n}", "x" * n)
        assert len(pipeline.execute()) == 500
    assert client.get("k499") == b"x" * 499
    assert proxy.jobs == {}
    client.lpush("q", MESSAGE)
    assert proxy.jobs == {"nightly": 1}


def test_a_refusing_way_resets_and_comes_back(proxy: Proxy, client: "redis.Redis") -> None:
    client.ping()
    proxy.be(Way.REFUSE)
    for _ in range(3):
        with pytest.raises(redis.ConnectionError):
            client.ping()
    proxy.be(Way.PASS)
    assert client.ping()


def test_what_was_sent_into_a_silence_arrives_after_it(proxy: Proxy, direct: "redis.Redis") -> None:
    with redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0), socket_timeout=0.3) as impatient:
        impatient.ping()
        proxy.be(Way.SILENCE)
        with pytest.raises(redis.TimeoutError):
            impatient.lpush("q", MESSAGE)
    assert direct.llen("q") == 0
    proxy.be(Way.PASS)
    assert direct.brpop(["q"], timeout=20) == (b"q", MESSAGE.encode())


def test_a_command_is_held_before_it_is_executed(proxy: Proxy, client: "redis.Redis", direct: "redis.Redis") -> None:
    client.ping()
    hold = proxy.hold(When.BEFORE)
    with ThreadPoolExecutor(1) as pool:
        client.set("other", "passes")
        answer = started(pool, client)
        hold.wait()
        assert direct.llen("q") == 0
        hold.release()
        assert answer.result() == 1
    assert direct.llen("q") == 1


def test_an_answer_is_held_after_the_execution(proxy: Proxy, client: "redis.Redis", direct: "redis.Redis") -> None:
    client.ping()
    hold = proxy.hold(When.AFTER)
    with ThreadPoolExecutor(1) as pool:
        answer = started(pool, client)
        hold.wait()
        assert direct.llen("q") == 1
        assert not answer.done()
        hold.release()
        assert answer.result() == 1


@pytest.mark.parametrize(("when", "executed"), [(When.BEFORE, 0), (When.AFTER, 1)])
def test_what_is_dropped_on_release_resets_its_connection(
    proxy: Proxy, client: "redis.Redis", direct: "redis.Redis", when: When, executed: int
) -> None:
    client.ping()
    hold = proxy.hold(when)
    with ThreadPoolExecutor(1) as pool:
        answer = started(pool, client)
        hold.wait()
        hold.release(drop=True)
        with pytest.raises(redis.ConnectionError):
            answer.result()
    assert direct.llen("q") == executed


def test_a_lost_answer_belongs_to_a_command_that_was_executed(
    proxy: Proxy, client: "redis.Redis", direct: "redis.Redis"
) -> None:
    client.ping()
    proxy.answers_to_lose = 1
    with pytest.raises(redis.ConnectionError):
        client.lpush("q", MESSAGE)
    assert direct.llen("q") == 1
    assert client.lpush("q", MESSAGE) == 2


def test_a_slow_way_is_slow_for_each_command(proxy: Proxy, client: "redis.Redis") -> None:
    client.ping()
    proxy.delay_s = 0.4
    impatient = redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0), socket_timeout=0.2)
    with impatient, pytest.raises(redis.TimeoutError):
        impatient.ping()
    assert client.ping()
