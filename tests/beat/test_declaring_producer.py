"""What the producer declares is what kombu's own does, message by message."""

from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection, Exchange, Producer, Queue

from packages.infra.beat.declaring_producer import DeclaringProducer

AREA = Exchange("area")


class Declared(Queue):
    """Counts how often it was declared, its copies with it."""

    count: list[str]

    def declare(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # kombu's own signature
        self.count.append(self.name)
        return super().declare(*args, **kwargs)


@pytest.fixture(params=[Producer, DeclaringProducer], ids=["kombu", "ours"])
def producer(request: pytest.FixtureRequest) -> Iterator[Any]:
    with Connection("memory://", transport_options={"polling_interval": 0.01}) as connection:
        yield request.param(connection, auto_declare=False)


@pytest.mark.parametrize(
    ("options", "retry", "declared"),
    [
        ({}, False, 1),
        ({}, True, 1),
        ({"auto_delete": True}, False, 3),
        ({"queue_arguments": {"x-expires": 1_000}}, False, 3),
        ({"queue_arguments": {"x-max-priority": 3}}, False, 1),
    ],
)
def test_a_queue_is_declared_as_often(producer: Any, options: dict[str, Any], *, retry: bool, declared: int) -> None:  # noqa: ANN401  # either producer
    queue = Declared("area", AREA, routing_key="area", **options)
    queue.count = Declared.count = []
    for number in range(3):
        producer.publish({"n": number}, exchange=AREA, routing_key="area", declare=[queue], retry=retry)
    assert queue.count == ["area"] * declared
    received: list[Any] = [queue(producer.channel).get(no_ack=True) for _ in range(3)]
    queue(producer.channel).delete()
    assert [message.payload["n"] for message in received] == [0, 1, 2]


def test_after_another_connection_it_is_declared_again(producer: Any) -> None:  # noqa: ANN401  # as above
    queue = Declared("area", AREA)
    Declared.count = []
    producer.publish({}, exchange=AREA, routing_key="area", declare=[queue])
    with Connection("memory://") as other:
        type(producer)(other, auto_declare=False).publish({}, exchange=AREA, routing_key="area", declare=[queue])
        queue(other.default_channel).delete()
    assert Declared.count == ["area", "area"]


def test_nothing_is_declared_where_nothing_is_asked_for(producer: Any) -> None:  # noqa: ANN401  # as above
    assert producer.maybe_declare(None) is None
