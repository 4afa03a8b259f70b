"""How long a connection to a broker waits at most, in the words of its transport."""

from collections.abc import Mapping
from typing import Any, Final

from kombu import Connection

AMQP: Final = "py-amqp"
# By the name of the driver, the options of its transport that limit how long it waits.
_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "redis": ("socket_connect_timeout", "socket_timeout"),
    AMQP: ("read_timeout", "write_timeout"),
}


def driver_of(connection: Connection) -> str:
    """The name of the driver behind a connection; connects to nothing."""
    transport: Any = connection.get_transport_cls()
    return str(getattr(transport, "driver_name", ""))


def limit_waiting(connection: Connection, limit_s: float) -> None:
    """Let a connection that is not open yet wait for nothing longer than this, nor than it was told to before."""
    driver = driver_of(connection)
    options = dict(connection.transport_options or {})
    for option in _OPTIONS.get(driver, ()):
        options[option] = min(options.get(option) or limit_s, limit_s)
    if driver == AMQP:
        connection.connect_timeout = min(connection.connect_timeout or limit_s, limit_s)
    connection.transport_options = options
