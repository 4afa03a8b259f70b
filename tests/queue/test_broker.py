"""What is asked of a real broker: messages that wait or that a dead worker held, and the last runs of the tasks."""

from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Connection, Queue

from packages.infra.probes.declared import DeclaredQueues
from packages.infra.queue.last_runs import LastRun, read_last_runs, record_last_run
from packages.infra.queue.unacknowledged import restore_unacknowledged


def put(connection: Connection, queue: str, *bodies: str) -> None:
    with connection.channel() as channel:
        for body in bodies:
            bound = Queue(queue, routing_key=queue)(channel)
            bound.declare()
            connection.Producer(channel).publish(body, routing_key=queue, exchange=bound.exchange)


def taken(connection: Connection, queue: str) -> list[str]:
    bodies = []
    with connection.channel() as channel:
        while (message := Queue(queue)(channel).get()) is not None:
            bodies.append(message.payload)
            message.ack()
    return bodies


def hold(url: str, queue: str, count: int) -> None:
    """Take messages and die without a word, as a killed worker does."""
    connection = Connection(url)
    channel: Any = connection.channel()
    for _ in range(count):
        assert Queue(queue)(channel).get() is not None
    # What a killed process cannot do any more: give back what it holds when its channel closes.
    channel.qos._delivered.clear()
    channel.do_restore = False
    connection.release()


def ready(connection: Connection, queue: str) -> int | None:
    return DeclaredQueues(connection).ask(queue).ready


def test_messages_that_wait_are_counted(redis_url: str) -> None:
    with Connection(redis_url) as connection:
        assert ready(connection, "maintenance") == 0
        put(connection, "maintenance", "a", "b")
        assert (ready(connection, "maintenance"), ready(connection, "backtest")) == (2, 0)


def test_what_a_killed_worker_held_goes_back(redis_url: str) -> None:
    with Connection(redis_url) as connection:
        put(connection, "maintenance", "a", "b", "c")
        put(connection, "backtest", "x")
        hold(redis_url, "maintenance", 2)
        hold(redis_url, "backtest", 1)
        assert ready(connection, "maintenance") == 1
        assert restore_unacknowledged(connection, ["maintenance"]) == 2
        assert sorted(taken(connection, "maintenance")) == ["a", "b", "c"]
        assert ready(connection, "backtest") == 0
        assert restore_unacknowledged(connection, ["maintenance"]) == 0
        assert restore_unacknowledged(connection, ["backtest", "stress"]) == 1
        assert taken(connection, "backtest") == ["x"]


def test_what_is_no_message_does_not_stand_in_the_way(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client, Connection(redis_url) as connection:
        for tag, content in (("1", "{"), ("2", "7"), ("3", "[]"), ("4", '[{}, "", ["maintenance"]]')):
            client.hset("unacked", tag, content)
        put(connection, "maintenance", "a")
        hold(redis_url, "maintenance", 1)
        assert restore_unacknowledged(connection, ["maintenance"]) == 1
        assert taken(connection, "maintenance") == ["a"]
        assert client.hlen("unacked") == 4


def test_another_broker_gives_back_by_itself() -> None:
    with Connection("memory://") as connection:
        assert restore_unacknowledged(connection, ["maintenance"]) == 0


def run(task: str, **changes: object) -> LastRun:
    fields: dict[str, Any] = {
        "task": task,
        "task_id": "1",
        "state": "SUCCESS",
        "finished_at": datetime(2026, 1, 5, 9, 30, tzinfo=UTC),
        "seconds": 0.5,
        "result": {"sent": [1, 2]},
        "origin": "beat",
    }
    return LastRun(**{**fields, **changes})


def test_the_last_run_of_each_task_is_kept(redis_url: str) -> None:
    app = Celery("test", backend=redis_url, set_as_current=False)
    assert read_last_runs(app) == {}
    record_last_run(app, run("a.b"))
    record_last_run(app, run("a.c", result=None))
    record_last_run(app, run("a.b", state="FAILURE", result="it broke"))
    assert read_last_runs(app) == {
        "a.b": run("a.b", state="FAILURE", result="it broke"),
        "a.c": run("a.c", result=None),
    }


@pytest.mark.parametrize("backend", ["rpc://", "cache+memory://"])
def test_where_results_are_not_in_redis_nothing_is_known(backend: str) -> None:
    app = Celery("test", broker="memory://", backend=backend, set_as_current=False)
    record_last_run(app, run("a.b"))
    assert read_last_runs(app) == {}
