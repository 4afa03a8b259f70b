"""A channel whose connection is gone, and what the next one does about the messages it held."""

from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection, Queue

from packages.infra.queue import redis_transport

MENDED = f"{redis_transport.__name__}:Transport"
# By name: `redis` means the mended one in a process that has made one of our apps.
UNMENDED = "kombu.transport.redis:Transport"


@pytest.fixture
def url(redis_url: str) -> Iterator[str]:
    yield redis_url
    redis_transport._lost.clear()
    redis_transport._acknowledged.clear()


def held_by_a_lost_channel(url: str, transport: str) -> Any:  # noqa: ANN401  # a kombu message
    """Take a message, and lose the connection as Celery does when the broker goes away."""
    connection = Connection(url, transport=transport)
    channel: Any = connection.channel()
    queue = Queue("maintenance", routing_key="maintenance")(channel)
    queue.declare()
    connection.Producer(channel).publish("work", routing_key="maintenance", exchange=queue.exchange)
    message = queue.get()
    assert message is not None
    connection.transport.client = None
    channel.close()
    return message


def next_channel(url: str) -> Any:  # noqa: ANN401  # a kombu channel
    connection = Connection(url, transport=MENDED)
    channel: Any = connection.channel()
    channel.qos.restore_visible()  # what kombu calls when it begins to poll
    return channel


def taken(channel: Any) -> Any:  # noqa: ANN401  # a kombu channel; the body of a message, or None
    message = Queue("maintenance")(channel).get()
    if message is None:
        return None
    message.ack()
    return message.payload


def test_kombu_itself_raises(url: str) -> None:
    with pytest.raises(AttributeError, match="hostname"):
        held_by_a_lost_channel(url, UNMENDED)


def test_a_message_that_nobody_works_on_goes_back(url: str) -> None:
    held_by_a_lost_channel(url, MENDED)
    channel = next_channel(url)
    assert channel.client.hlen("unacked") == 0
    assert taken(channel) == "work"


def test_a_message_acknowledged_late_is_gone(url: str) -> None:
    held_by_a_lost_channel(url, MENDED).ack()
    channel = next_channel(url)
    assert channel.client.hlen("unacked") == 0
    assert taken(channel) is None


def test_a_message_rejected_late_is_gone_unless_it_is_to_be_requeued(url: str) -> None:
    held_by_a_lost_channel(url, MENDED).reject()
    assert taken(next_channel(url)) is None
    held_by_a_lost_channel(url, MENDED).requeue()
    assert taken(next_channel(url)) == "work"
