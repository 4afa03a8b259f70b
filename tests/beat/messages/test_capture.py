"""What kombu would send through one producer is kept back, whatever it is asked to do with it."""

from typing import Any

import pytest
from celery import Celery

from packages.infra.beat.messages.capture import Capture, captured
from packages.infra.beat.messages.message import Push, Route
from packages.infra.queue.redis_transport import Transport
from tests.beat.messages.building import put_meanwhile


@pytest.fixture
def producer(redis_url: str) -> Any:  # noqa: ANN401  # a kombu producer
    app = Celery(broker=redis_url, set_as_current=False)
    connection = app.connection_for_write(transport=Transport)
    return app.amqp.Producer(connection, auto_declare=False)


def publish(producer: Any, number: int) -> None:  # noqa: ANN401  # as above
    producer.publish({"n": number}, routing_key="area", exchange="", serializer="json")


def keys(capture: Capture) -> list[str]:
    return [push.route.key for push in capture.pushes]


def test_only_what_is_published_inside(redis_url: str, producer: Any) -> None:  # noqa: ANN401  # as above
    def act() -> None:
        publish(producer, 1)
        with captured(producer) as capture:
            publish(producer, 2)
        publish(producer, 3)
        assert keys(capture) == ["area"]

    assert sorted(put.message["body"]["n"] for put in put_meanwhile(redis_url, act)) == [1, 3]
    producer.connection.release()


def test_after_an_error_the_producer_sends_again(redis_url: str, producer: Any) -> None:  # noqa: ANN401  # as above
    with pytest.raises(KeyError), captured(producer):
        raise KeyError
    assert len(put_meanwhile(redis_url, lambda: publish(producer, 1))) == 1
    producer.connection.release()


def test_batches_of_somebody_else_inside(redis_url: str, producer: Any) -> None:  # noqa: ANN401  # as above
    captures: list[Capture] = []

    def act() -> None:
        with captured(producer) as capture, producer.batch() as batch:
            publish(producer, 1)
            batch.flush()
            publish(producer, 2)
        captures.append(capture)

    assert put_meanwhile(redis_url, act) == []
    assert keys(captures[0]) == ["area", "area"]
    producer.connection.release()


def test_a_batch_that_somebody_else_gives_up(producer: Any) -> None:  # noqa: ANN401  # as above
    def give_up() -> None:
        with producer.batch():
            publish(producer, 1)
            raise KeyError

    with captured(producer) as capture:
        with pytest.raises(KeyError):
            give_up()
        publish(producer, 2)
    assert keys(capture) == ["area"]
    producer.connection.release()


def test_a_batch_of_somebody_else_around(redis_url: str, producer: Any) -> None:  # noqa: ANN401  # as above
    captures: list[Capture] = []

    def act() -> None:
        with producer.batch():
            publish(producer, 1)
            with captured(producer) as capture:
                publish(producer, 2)
            captures.append(capture)
            publish(producer, 3)

    assert sorted(put.message["body"]["n"] for put in put_meanwhile(redis_url, act)) == [1, 3]
    assert keys(captures[0]) == ["area"]
    producer.connection.release()


def test_a_producer_of_another_kind_sends() -> None:
    with captured(object()) as capture:
        pass
    assert capture.pushes == []


def test_a_queue_that_expires_belongs_to_its_message() -> None:
    capture = Capture()
    capture.add("lpush", "a", "first")
    capture.add("pexpire", "a", 10)
    capture.add("lpush", "b", "second")
    assert capture.pushes == [Push(Route("a", expires=(("a", 10),)), "first"), Push(Route("b"), "second")]


@pytest.mark.parametrize("command", ["rpush", "pexpire"])
def test_a_command_that_is_not_known(command: str) -> None:
    with pytest.raises(NotImplementedError, match=command):
        Capture().add(command, "key", "value")
