"""The Redis for what is not a message, the broker's own or another: how it is reached, and how our keys are named.

Every key is `<kombu's global_keyprefix><namespace>:<what>`, so that two apps on one server do not mix. The client is a
plain one on kombu's own pool of connections: with a prefix kombu's client renames the keys of some commands and not
those of others.
"""

import ssl
from datetime import timedelta
from typing import Any, Final, NamedTuple

from celery import Celery
from celery.exceptions import ImproperlyConfigured
from kombu import Connection

from packages.infra.queue.namespace import namespace_of

TIMEOUT = timedelta(seconds=1)
# Settings of the app: the Redis for what beat keeps where the broker is none, and its TLS options as for the broker's.
STATE_URL_SETTING: Final = "beat_state_url"
STATE_TLS_SETTING: Final = "beat_state_use_ssl"
_TLS_SCHEME: Final = "rediss"
_SCHEMES: Final = ("redis", _TLS_SCHEME)


class BrokerRedis(NamedTuple):
    """A redis client, whose answers are bytes, and the start of every key of ours.

    It goes on after the server went away and came back: each command connects anew if it must. While it is away only
    one command in a while waits for it; see `packages.infra.queue.guarded_redis`.
    """

    client: Any
    prefix: str
    # Keeps kombu's side of the pool alive.
    channel: Any
    # Whether the messages go to the same server.
    is_broker: bool = True

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
    connection = app.connection_for_write(transport_options=_limits(timeout))
    return broker_redis(connection, namespace=namespace or namespace_of(app))


def open_state_redis(app: Celery, *, timeout: timedelta = TIMEOUT) -> BrokerRedis | None:
    """Where beat keeps what it knows: the broker's own Redis, else the one of the setting `beat_state_url`, else None.

    The setting is a text, or a value that hides one (`get_secret_value`). A broker that is Redis wins: what was
    published is to be lost or kept together with the messages. Without either there may be one replica only; whoever
    publishes says so. Otherwise as `open_broker_redis`.

    Raises:
        kombu.exceptions.OperationalError: the server cannot be reached; it is tried once.
        celery.exceptions.ImproperlyConfigured: the setting is no URL of a Redis.
    """
    given = app.conf.get(STATE_URL_SETTING)
    redis = open_broker_redis(app, timeout=timeout)
    if redis is not None:
        return redis
    if not given:
        return None
    url = str(given.get_secret_value() if hasattr(given, "get_secret_value") else given)
    scheme = url.partition("://")[0]
    if scheme not in _SCHEMES:
        # The URL may have a password in it.
        raise ImproperlyConfigured(f"{STATE_URL_SETTING} must be a redis:// or rediss:// URL")
    tls: Any = scheme == _TLS_SCHEME and (app.conf.get(STATE_TLS_SETTING) or {"ssl_cert_reqs": ssl.CERT_REQUIRED})
    connection = Connection(url, ssl=tls, transport_options=_limits(timeout))
    state = broker_redis(connection, namespace=namespace_of(app))
    return None if state is None else state._replace(is_broker=False)


def _limits(timeout: timedelta) -> dict[str, Any]:
    return {
        "socket_timeout": timeout.total_seconds(),
        "socket_connect_timeout": timeout.total_seconds(),
        # A pool of threads may have more of them than kombu's ten connections.
        "max_connections": None,
    }
