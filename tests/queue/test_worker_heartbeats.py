"""Which workers live, as it is read from what they said of themselves, on a real server and by its clock."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.queue.held_messages import QueueNames, held_by_queue
from packages.infra.queue.worker_heartbeats import (
    ALIVE_MS,
    KEPT_MS,
    KEPT_WHILE_NAMED_MS,
    Heartbeat,
    WorkerHeartbeats,
    WorkerState,
    say,
)
from packages.scheduling.instants import HOUR_MS, to_datetime
from tests.queue.work_reading import read_workers

HEARTBEAT = Heartbeat(frozenset({"a", "b"}), frozenset({"c"}), 4, {"a": 2}, {"b": 3})
NOW = 1_795_330_000_000


@pytest.fixture
def redis(redis_url: str) -> Iterator[BrokerRedis]:
    redis = open_broker_redis(Celery("minsy", broker=redis_url))
    assert redis is not None
    yield redis
    redis.close()


def age(redis: BrokerRedis, node: str, by_ms: int) -> None:
    """Make what a worker said so much older."""
    values = json.loads(redis.client.hget("minsy:workers", node))
    redis.client.hset("minsy:workers", node, json.dumps(values | {"at": values["at"] - by_ms}))


def said(node: str, at: int, *queues: str, stopped: bool = False) -> tuple[bytes, bytes]:
    values = {"at": at, "v": 1, "queues": queues, "left": [], "size": 1, "reserved": {}, "running": {}}
    return node.encode(), json.dumps(values | {"stopped": stopped}).encode()


def take(heartbeats: WorkerHeartbeats, at: int, *words: tuple[bytes, bytes]) -> dict[str, bool]:
    """Which are kept, and whether they live, when the server says that it is `at`."""
    heartbeats.ask(Nobody())
    answers = [(at // 1_000, at % 1_000 * 1_000), dict(words), None]
    return {node: state.is_alive for node, state in heartbeats.take(answers).items()}


class Nobody:
    """A pipeline whose answers come from the test."""

    def __init__(self) -> None:
        self.dropped: list[str | bytes] = []

    def time(self) -> None:
        """Nothing."""

    def hgetall(self, key: str) -> None:
        """Nothing."""

    def eval(self, _script: str, _keys: int, _key: str, *pairs: str | bytes) -> None:
        self.dropped = list(pairs[::2])


def reader(redis: BrokerRedis | None = None) -> WorkerHeartbeats:
    return WorkerHeartbeats(redis or BrokerRedis(None, "minsy", None))


def test_what_a_worker_says_is_read(redis: BrokerRedis) -> None:
    say(redis, "one@h", HEARTBEAT)
    assert read_workers(redis) == {
        "one@h": WorkerState(frozenset({"a", "b"}), 4, {"a": 2}, {"b": 3}, is_alive=True, left=frozenset({"c"}))
    }


def test_one_that_serves_nothing_is_told_from_none(redis: BrokerRedis) -> None:
    assert read_workers(redis) == {}
    say(redis, "one@h", Heartbeat(frozenset(), frozenset(), 1, {}, {}))
    assert read_workers(redis)["one@h"].queues == frozenset()


def test_one_that_said_that_it_stops_does_not_live_until_it_speaks_again(redis: BrokerRedis) -> None:
    say(redis, "one@h", HEARTBEAT._replace(is_last=True))
    assert not read_workers(redis)["one@h"].is_alive
    say(redis, "one@h", HEARTBEAT)
    assert read_workers(redis)["one@h"].is_alive


def test_silence_is_measured_by_the_clock_of_the_server(redis: BrokerRedis) -> None:
    say(redis, "one@h", HEARTBEAT)
    age(redis, "one@h", ALIVE_MS + 1)
    assert not read_workers(redis)["one@h"].is_alive
    assert read_workers(redis)["one@h"].queues == {"a", "b"}


@pytest.mark.parametrize(("ago", "lives"), [(0, True), (ALIVE_MS, True), (ALIVE_MS + 1, False), (-ALIVE_MS - 1, False)])
def test_one_lives_for_a_while_after_it_spoke(ago: int, lives: bool) -> None:  # noqa: FBT001  # of the table
    assert take(reader(), NOW, said("n", NOW - ago, "a")) == {"n": lives}


def test_after_an_outage_a_worker_has_its_time_to_speak_again() -> None:
    heartbeats, word, stopped = reader(), said("n", NOW, "a"), said("s", NOW, "a", stopped=True)
    dead = said("dead", NOW - ALIVE_MS - 1, "a")
    assert take(heartbeats, NOW, word, stopped, dead) == {"n": True, "s": False, "dead": False}
    heartbeats.ask(Nobody())
    back = NOW + HOUR_MS // 2
    for later, lives in ((0, True), (ALIVE_MS, True), (ALIVE_MS + 1, False)):
        assert take(heartbeats, back + later, word, stopped, dead) == {"n": lives, "s": False, "dead": False}


def test_without_an_outage_it_has_not() -> None:
    heartbeats, word = reader(), said("n", NOW, "a")
    assert take(heartbeats, NOW, word) == {"n": True}
    assert take(heartbeats, NOW + ALIVE_MS + 1, word) == {"n": False}


def test_the_last_that_named_a_queue_is_remembered_for_three_days() -> None:
    heartbeats = reader()
    assert take(heartbeats, NOW, said("n", NOW - KEPT_MS + 1, "a"), said("old", NOW - KEPT_MS, "b")) == {"n": False}
    pipe = Nobody()
    assert heartbeats.ask(pipe) == 3
    assert pipe.dropped == ["old"]


def test_one_whose_queues_are_all_named_by_others_is_forgotten_sooner() -> None:
    heartbeats, long_ago = reader(), NOW - KEPT_WHILE_NAMED_MS
    words = [
        said("lives", NOW, "a"),
        said("superfluous", long_ago, "a"),
        said("recent", long_ago + 1, "a"),
        said("only one", long_ago, "a", "b"),
        said("twin", long_ago - 1, "b"),
    ]
    take(heartbeats, NOW, *words)
    pipe = Nobody()
    heartbeats.ask(pipe)
    assert set(pipe.dropped) == {"superfluous", "twin"}


def test_what_is_forgotten_is_gone_unless_it_has_spoken_again(redis: BrokerRedis) -> None:
    heartbeats = reader(redis)
    for node in ("gone", "back"):
        say(redis, node, HEARTBEAT)
        age(redis, node, KEPT_MS)
    assert read_workers(redis, heartbeats) == {}
    say(redis, "back", HEARTBEAT)
    assert set(read_workers(redis, heartbeats)) == {"back"}
    assert redis.client.hkeys("minsy:workers") == [b"back"]


@pytest.mark.parametrize("value", ["nonsense", "7", "{}", "[]", '{"v":2}', '{"v":1,"at":1,"queues":7}'])
def test_what_is_not_of_this_form_is_left_out(redis: BrokerRedis, value: str, caplog: pytest.LogCaptureFixture) -> None:
    say(redis, "one@h", HEARTBEAT)
    redis.client.hset("minsy:workers", "foreign", value)
    heartbeats = reader(redis)
    for _ in range(2):
        assert set(read_workers(redis, heartbeats)) == {"one@h"}
    assert caplog.text.count("worker_heartbeat_dropped") == 1


@pytest.mark.parametrize("field", ["size", "reserved", "running"])
@pytest.mark.parametrize(("count", "taken"), [(0, True), (10**9, True), (10**9 + 1, False), (-1, False), (1e30, False)])
def test_a_count_that_cannot_be_is_left_out(
    caplog: pytest.LogCaptureFixture, field: str, count: float, *, taken: bool
) -> None:
    node, text = said("n", NOW, "a")
    word = json.dumps(json.loads(text) | {field: count if field == "size" else {"a": count}}).encode()
    assert take(reader(), NOW, (node, word)) == ({"n": True} if taken else {})
    assert ("worker_heartbeat_dropped" in caplog.text) is not taken


@pytest.mark.parametrize("count", ["NaN", "Infinity", "-Infinity", "1e999", "null", "[]", '"x"'])
def test_so_is_what_is_no_count(count: str) -> None:
    node, text = said("n", NOW, "a")
    assert take(reader(), NOW, (node, text.replace(b'"size": 1', b'"size": ' + count.encode()))) == {}


def test_a_key_of_another_type_says_nothing_of_anybody(redis: BrokerRedis, caplog: pytest.LogCaptureFixture) -> None:
    redis.client.set("minsy:workers", "foreign")
    assert read_workers(redis) == {}
    assert "worker_heartbeat_dropped" in caplog.text


class Held:
    """A message as a worker holds it."""

    def __init__(self, queue: str, *, begun: bool = False, due: int | None = None) -> None:
        self.id, self.expires = "id", None
        self.request_dict: dict[str, Any] = {}
        self.delivery_info = {"routing_key": queue}
        self.time_start = 1.0 if begun else None
        self.eta = None if due is None else to_datetime(due)


def test_held_messages_are_counted_by_queue_and_those_that_wait_for_their_time_are_not() -> None:
    names = QueueNames(Celery("minsy", broker="memory://"))
    held = [
        Held("a"),
        Held("a", begun=True),
        Held("b", due=NOW),
        Held("b", due=NOW + 1),
        Held("b", begun=True, due=NOW),
    ]
    assert held_by_queue(held, names, NOW) == ({"a": 1, "b": 1}, {"a": 1, "b": 1})


def test_a_queue_with_another_routing_key_is_known_by_its_name() -> None:
    from kombu import Queue

    app = Celery("minsy", broker="memory://")
    app.conf.task_queues = [Queue("name", routing_key="key"), Queue("taken", routing_key="name")]
    names = QueueNames(app)
    assert [names.of({"routing_key": key}) for key in ("key", "name", "unheard of")] == ["name", "name", "unheard of"]
