"""Gives back what a killed worker had taken and not finished.

On Redis kombu does so by itself only after the visibility timeout, an hour and more. Where one supervisor knows that
the one consumer of some queues is dead, there is nothing to wait for.
"""

import json
from collections.abc import Collection
from typing import Any

from kombu import Connection


def restore_unacknowledged(connection: Connection, queues: Collection[str]) -> int:
    """Put the unacknowledged messages of `queues` back to their heads; returns how many.

    Only right while no consumer of these queues lives. Does nothing on a broker that is not Redis, which gives
    messages back by itself when a consumer's connection ends.

    What is not a message of kombu's is left alone.

    Raises:
        redis.exceptions.RedisError: the broker cannot be reached; kombu does not translate it here.
        kombu.exceptions.OperationalError: as above, for what it does translate.
    """
    if connection.transport.driver_type != "redis":
        return 0
    channel: Any
    with connection.channel() as channel:
        held = channel.client.hgetall(channel.unacked_key)
        tags = [tag for tag, content in held.items() if _queue_of(content) in queues]
        for tag in tags:
            channel.qos.restore_by_tag(tag.decode() if isinstance(tag, bytes) else tag)
    return len(tags)


def _queue_of(content: bytes | str) -> str | None:
    try:
        _message, _exchange, routing_key = json.loads(content)
    except (TypeError, ValueError):
        return None
    return routing_key if isinstance(routing_key, str) else None
