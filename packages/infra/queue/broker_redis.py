"""The broker's Redis for what is not a message: how it is reached, and under which names our keys stand.

Every key is `<kombu's global_keyprefix><namespace>:<what>`, so that two apps on one server do not mix. The client is a
plain one on kombu's own pool of connections: with a prefix kombu's client renames the keys of some commands and not
those of others.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery import Celery
from kombu import Connection

from packages.infra.queue.namespace import namespace_of

TIMEOUT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class BrokerRedis:
    """A redis client, whose answers are bytes, and the start of every key of ours.

    It goes on after the server went away and came back: each command connects anew if it must. While it is away only
    one command in a while waits for it; see `packages.infra.queue.guarded_redis`.
    """

    client: Any
    prefix: str
    # Keeps kombu's side of the pool alive.
    channel: Any

    def key(self, name: str) -> str:
        """The whole key of what is called `name`."""
        return f"{self.prefix}:{name}"

    def ask_again(self) -> None:
        """Let the next command go out, however short ago the server did not answer."""
        # Imported here: beat on another broker needs no redis.
        from packages.infra.queue.guarded_redis import GuardedRedis

        if isinstance(self.client, GuardedRedis):
            self.client.ask_again()

    def close(self) -> None:
        """Give its connections back; a command after that opens one again."""
        self.client.connection_pool.disconnect()


def broker_redis(connection: Connection, *, namespace: str) -> BrokerRedis | None:
    """The Redis behind a kombu connection, with that connection's time limits; None if the broker is none.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached; it is tried once.
    """
    if connection.transport.driver_type != "redis":
        return None
    connection.ensure_connection(max_retries=0)
    channel: Any = connection.channel()
    # Imported here: beat on another broker needs no redis.
    from packages.infra.queue.guarded_redis import GuardedRedis

    prefix = f"{channel.global_keyprefix}{namespace}"
    return BrokerRedis(client=GuardedRedis(channel.pool), prefix=prefix, channel=channel)


def open_broker_redis(app: Celery, *, namespace: str | None = None, timeout: timedelta = TIMEOUT) -> BrokerRedis | None:
    """The app's broker over connections of its own, on which no command takes longer than `timeout`.

    None if the broker is no Redis. The namespace is the app's unless given. Never share it with a forked child.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached; it is tried once.
    """
    limits = {
        "socket_timeout": timeout.total_seconds(),
        "socket_connect_timeout": timeout.total_seconds(),
        # A pool of threads may have more of them than kombu's ten connections.
        "max_connections": None,
    }
    return broker_redis(app.connection_for_write(transport_options=limits), namespace=namespace or namespace_of(app))
