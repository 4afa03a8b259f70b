"""How many messages wait in each queue of the catalogue, asked of the broker through kombu, whichever it is."""

from typing import Any

from kombu import Connection
from kombu.exceptions import ChannelError

from packages.catalogue.queues import QUEUES


def queue_depths(connection: Connection) -> dict[str, int | None]:
    """Ready messages by queue name; 0 for a queue that nobody declared yet. Unacknowledged ones do not count.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    return {queue.name: _depth(connection, queue.name) for queue in QUEUES}


def _depth(connection: Connection, name: str) -> int | None:
    # A failed passive declaration closes an AMQP channel, so each queue has its own.
    channel: Any
    with connection.channel() as channel:
        try:
            count = channel.queue_declare(queue=name, passive=True).message_count
        except ChannelError:
            return 0
        return int(count) if count is not None else None
