"""When each entry last fired, kept in the broker's Redis, so that a beat that was down makes up for what it missed.

One hash with a field for each entry. On another broker nothing is kept, and beat starts afresh as Celery's in-memory
scheduler does. Never decides whether an entry is due.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Protocol

from kombu import Connection

KEY = "minsy:beat:last_fires"


class LastFires(Protocol):
    """The last fire of each entry by its name; instants are aware."""

    def read(self) -> dict[str, datetime]:
        """All that is known."""
        ...

    def write(self, name: str, fired_at: datetime) -> None:
        """Keep one."""
        ...

    def forget_all_but(self, names: Collection[str]) -> None:
        """Drop entries that are no more, so that one that comes back later starts afresh."""
        ...


class RedisLastFires:
    """Kept in the Redis that is the broker.

    Each method raises `redis.RedisError` when it cannot be reached.
    """

    def __init__(self, client: Any) -> None:  # noqa: ANN401  # a redis client
        self._client = client

    def read(self) -> dict[str, datetime]:
        """All that is known."""
        return {_text(name): datetime.fromisoformat(_text(at)) for name, at in self._client.hgetall(KEY).items()}

    def write(self, name: str, fired_at: datetime) -> None:
        """Keep one."""
        self._client.hset(KEY, name, fired_at.isoformat())

    def forget_all_but(self, names: Collection[str]) -> None:
        """Drop entries that are no more."""
        if gone := [name for name in self._client.hkeys(KEY) if _text(name) not in names]:
            self._client.hdel(KEY, *gone)


class NoLastFires:
    """For a broker that keeps nothing."""

    def read(self) -> dict[str, datetime]:
        """Nothing is known."""
        return {}

    def write(self, name: str, fired_at: datetime) -> None:
        """Nothing is kept."""

    def forget_all_but(self, names: Collection[str]) -> None:
        """Nothing is kept."""


def last_fires_of(connection: Connection) -> LastFires:
    """Where the last fires of beat on this connection are kept.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    if connection.transport.driver_type != "redis":
        return NoLastFires()
    connection.ensure_connection(max_retries=1, timeout=2)
    channel: Any = connection.default_channel
    return RedisLastFires(channel.client)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
