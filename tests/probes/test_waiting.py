"""The messages that wait in the queues of a real server: published by Celery and kombu, and what is none of theirs."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from kombu import Queue
from redis.exceptions import ResponseError

from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.infra.probes.waiting import RedisQueues, Waiting, _published_at, _waiting
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.instants import MINUTE_MS, to_instant

AGO = timedelta(minutes=10)
# More than the server gives back of one message.
LONG = "x" * 20_000


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = Celery("test", broker=redis_url, set_as_current=False)
    app.conf.broker_transport_options = {"global_keyprefix": "here:"}
    yield app
    app.close()


@pytest.fixture
def redis(app: Celery) -> Iterator[BrokerRedis]:
    redis = open_broker_redis(app)
    assert redis is not None
    yield redis
    redis.close()


def send(app: Celery, queue: str = "area", *, ago: timedelta | None = AGO, **options: Any) -> None:  # noqa: ANN401  # Celery's own
    """A message as beat would have published it so long ago; None: as somebody else does."""
    headers = {} if ago is None else {"beat_published_at": rfc3339(datetime.now(UTC) - ago)}
    with app.connection_for_write() as connection:
        app.send_task(
            "a.b", queue=queue, headers=headers | options.pop("headers", {}), connection=connection, **options
        )


def waiting(redis: BrokerRedis, *queues: str, now: datetime | None = None) -> list[Waiting]:
    asked = RedisQueues(redis)
    with redis.client.pipeline(transaction=False) as pipe:
        asked.ask(pipe, queues)
        [answer] = pipe.execute(raise_on_error=False)
    told = asked.take(answer, to_instant(now or datetime.now(UTC)))
    assert list(told) == list(queues)
    return [told[queue] for queue in queues]


def is_about(age_ms: int | None, expected: timedelta) -> bool:
    """Whether it is that age, and what a slow machine takes to send and to ask."""
    return age_ms is not None and 0 <= age_ms - expected.total_seconds() * 1_000 < MINUTE_MS


def test_an_empty_queue_and_one_that_nobody_knows_have_nothing_that_waits(app: Celery, redis: BrokerRedis) -> None:
    send(app)
    with app.connection_for_read() as connection:
        Queue("area")(connection.default_channel).purge()
    assert waiting(redis, "area", "never heard of") == [Waiting(0, 0), Waiting(0, 0)]


def test_the_messages_of_all_priorities_wait_and_the_oldest_may_be_in_any(app: Celery, redis: BrokerRedis) -> None:
    for priority in range(10):
        send(app, ago=timedelta(minutes=priority), priority=priority)
    # Behind the first of its list, and older all the same: as after a clock was set back.
    send(app, ago=timedelta(days=1), priority=9)
    [area] = waiting(redis, "area")
    assert area.ready == 11
    assert is_about(area.oldest_ms, timedelta(minutes=9))


def test_the_oldest_is_the_one_that_a_worker_takes_next(app: Celery, redis: BrokerRedis) -> None:
    for minutes in (30, 20, 10):
        send(app, ago=timedelta(minutes=minutes))
    [area] = waiting(redis, "area")
    assert is_about(area.oldest_ms, timedelta(minutes=30))
    with app.connection_for_read() as connection:
        assert Queue("area")(connection.default_channel).get(no_ack=True) is not None
    [area] = waiting(redis, "area")
    assert (area.ready, is_about(area.oldest_ms, timedelta(minutes=20))) == (2, True)


def test_what_beat_publishes_says_how_old_it_is(app: Celery, redis: BrokerRedis) -> None:
    app.conf.beat_schedule = {"one": {"task": "a.b", "schedule": 3600.0, "options": {"queue": "area", "priority": 6}}}
    app.conf.beat_schedule["one"]["last_run_at"] = datetime.now(UTC) - timedelta(days=1)
    scheduler = AdaptiveScheduler(app)
    while not redis.client.exists("here:area\x06\x166"):
        scheduler.tick()
    scheduler.close()
    [area] = waiting(redis, "area")
    assert area.ready == 1
    assert is_about(area.oldest_ms, timedelta())


@pytest.mark.parametrize("body", ["short", LONG])
def test_a_long_body_stays_on_the_server(app: Celery, redis: BrokerRedis, body: str) -> None:
    send(app, args=[body])
    [area] = waiting(redis, "area")
    assert is_about(area.oldest_ms, AGO)
    asked = RedisQueues(redis)
    with redis.client.pipeline(transaction=False) as pipe:
        asked.ask(pipe, ["area"])
        [answer] = pipe.execute()
    assert max(len(part) for part in answer if isinstance(part, bytes)) < 4_000


@pytest.mark.parametrize(
    ("ahead_ms", "age_ms"), [(-1, 1), (0, 0), (1, 0), (1_000, 0), (1_001, None), (86_400_000, None)]
)
def test_a_message_from_the_future_does_not_say_how_old_it_is(ahead_ms: int, age_ms: int | None) -> None:
    at = to_instant(datetime(2026, 1, 5, 12, tzinfo=UTC))
    message = json.dumps({"headers": {"beat_published_at": "2026-01-05T12:00:00Z"}}).encode()
    assert _waiting([(3, message)], now=at - ahead_ms) == Waiting(3, age_ms)
    later = json.dumps({"headers": {"beat_published_at": "2026-01-05T12:00:30Z"}}).encode()
    assert _waiting([(3, message), (1, later)], now=at) == Waiting(4, None)


@pytest.mark.parametrize("ahead", [timedelta(hours=-1), timedelta(seconds=20), timedelta(hours=1)])
def test_an_age_is_by_beats_clock_wherever_the_servers_stands(
    app: Celery, redis: BrokerRedis, ahead: timedelta
) -> None:
    send(app, ago=AGO - ahead)
    [area] = waiting(redis, "area", now=datetime.now(UTC) + ahead)
    assert is_about(area.oldest_ms, AGO)


@pytest.mark.parametrize(
    "options",
    [
        {"ago": None},
        {"headers": {"beat_published_at": "yesterday"}},
        {"headers": {"beat_published_at": "2026-01-05T09:30:00"}},
        {"headers": {"beat_published_at": 7}},
        {"headers": {"beat_published_at": None}},
        {"ago": None, "headers": {"nested": {"beat_published_at": "2026-01-05T09:30:00Z"}}},
        # Sent again after a failure: it has not waited since it was first published.
        {"retries": 1},
        {"headers": {"long": LONG}},
    ],
)
def test_a_message_that_does_not_say_has_no_age(app: Celery, redis: BrokerRedis, options: dict[str, Any]) -> None:
    send(app, **options)
    assert waiting(redis, "area") == [Waiting(1, None)]


def test_one_list_whose_oldest_does_not_say_leaves_the_age_unknown(app: Celery, redis: BrokerRedis) -> None:
    send(app, ago=None, priority=9)
    send(app)
    assert waiting(redis, "area") == [Waiting(2, None)]


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"junk",
        b"\xff\xfe\x00",
        b"7",
        b"[]",
        b'{"headers": [1]}',
        b'{"headers": {"beat_published_at": "2026-01-05T09:30:00Z"}',
        b"[" * 8_000,
        b'{"body": "' + b"x" * 20_000,
        b'{"body": "' + b"x" * 20_000 + b'\\"", "headers": {"beat_published_at": "2026-01-05T09:30:00Z"}}',
        b'{"body": {"a": "' + b"x" * 20_000 + b'"}, "headers": {"beat_published_at": "2026-01-05T09:30:00Z"}}',
        b"x" * 2_000_000,
    ],
)
def test_what_is_no_message_counts_and_has_no_age(app: Celery, redis: BrokerRedis, junk: bytes) -> None:
    redis.client.rpush("here:area", junk)
    redis.client.lpush("here:other", junk)
    send(app, "other")
    assert waiting(redis, "area", "other") == [Waiting(1, None), Waiting(2, None)]


def test_a_key_of_another_kind_leaves_its_queue_unknown_and_no_other(app: Celery, redis: BrokerRedis) -> None:
    send(app, "split")
    send(app, "other")
    redis.client.set("here:area", "text")
    redis.client.hset("here:split\x06\x163", "a", "b")
    area, split, other = waiting(redis, "area", "split", "other")
    assert (area, split) == (Waiting(None, None), Waiting(None, None))
    assert (other.ready, is_about(other.oldest_ms, AGO)) == (1, True)


def test_a_hundred_thousand_messages_are_counted(app: Celery, redis: BrokerRedis) -> None:
    send(app)
    [message] = redis.client.lrange("here:area", 0, -1)
    for _ in range(10):
        redis.client.lpush("here:area", *[message] * 10_000)
    [area] = waiting(redis, "area")
    assert (area.ready, is_about(area.oldest_ms, AGO)) == (100_001, True)


def test_so_many_bytes_are_looked_at_and_no_more(app: Celery, redis: BrokerRedis) -> None:
    for queue in ("a", "b", "c"):
        send(app, queue, args=["x" * 6_000_000])
    a, b, c = waiting(redis, "a", "b", "c")
    assert is_about(a.oldest_ms, AGO)
    # Some are as long as they are in base64.
    assert b in {Waiting(1, b.oldest_ms), Waiting(1, None)}
    assert c == Waiting(1, None)


def test_other_names_and_steps_of_the_lists_are_followed(redis_url: str) -> None:
    app = Celery("test", broker=redis_url, set_as_current=False)
    app.conf.broker_transport_options = {"priority_steps": [0, 5], "sep": ":"}
    for priority in (0, 4, 5, 9):
        send(app, priority=priority)
    redis = open_broker_redis(app)
    assert redis is not None
    assert redis.client.llen("area:5") == 2
    assert waiting(redis, "area")[0].ready == 4
    redis.close()


def test_an_error_is_raised(redis: BrokerRedis) -> None:
    with pytest.raises(ResponseError):
        RedisQueues(redis).take(ResponseError("no"), now=0)


def test_asking_writes_nothing(app: Celery, redis: BrokerRedis) -> None:
    send(app)
    before = {key: redis.client.dump(key) for key in redis.client.scan_iter()}
    waiting(redis, "area", "other")
    assert {key: redis.client.dump(key) for key in redis.client.scan_iter()} == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["headers", "beat_published_at"]), inner)
    ),
)


@given(JSON | st.dictionaries(st.just("headers"), st.dictionaries(st.just("beat_published_at"), JSON)))
def test_whatever_stands_in_a_list_is_read_without_an_error(value: object) -> None:
    assert _published_at(json.dumps(value).encode()) is None or isinstance(value, dict)


@given(st.binary())
def test_bytes_are_read_without_an_error(value: bytes) -> None:
    assert _published_at(value) is None


@given(st.lists(st.tuples(st.integers(-1, 5), st.just(b"")), min_size=1))
def test_a_list_that_is_none_never_reads_as_zero(lists: list[tuple[int, bytes]]) -> None:
    told = _waiting(lists, now=0)
    if any(length < 0 for length, _ in lists):
        assert told == Waiting(None, None)
    else:
        ready = sum(length for length, _ in lists)
        assert told == Waiting(ready, None if ready else 0)
