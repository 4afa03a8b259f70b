"""The connection that messages go over: it waits for nothing for long, and has them confirmed where the broker can."""

import socket

import pytest
from celery import Celery
from celery.schedules import schedule
from kombu.exceptions import OperationalError

from packages.infra.beat.celery_host import ANSWERS_WITHIN_S, CeleryHost

LIMIT = ANSWERS_WITHIN_S


def host_on(url: str, **conf: object) -> CeleryHost:
    app = Celery("test", broker=url, set_as_current=False)
    app.conf.update(conf)
    return CeleryHost(app, lazy=True)


@pytest.mark.parametrize(
    ("url", "given", "used"),
    [
        ("redis://", {}, {"socket_connect_timeout": LIMIT, "socket_timeout": LIMIT}),
        (
            "redis://",
            {"socket_timeout": 30, "x": 1},
            {"socket_connect_timeout": LIMIT, "socket_timeout": LIMIT, "x": 1},
        ),
        ("redis://", {"socket_timeout": 0.5}, {"socket_connect_timeout": LIMIT, "socket_timeout": 0.5}),
        ("amqp://", {}, {"read_timeout": LIMIT, "write_timeout": LIMIT, "confirm_publish": True}),
        (
            "amqp://",
            {"confirm_publish": False, "read_timeout": 0.2, "x": 1},
            {"read_timeout": 0.2, "write_timeout": LIMIT, "confirm_publish": True, "x": 1},
        ),
        ("memory://", {}, {}),
        ("memory://", {"x": 1}, {"x": 1}),
    ],
)
def test_time_limits_and_confirmation(url: str, given: dict[str, object], used: dict[str, object]) -> None:
    host = host_on(url, broker_transport_options=given)

    assert host.connection.transport_options == used
    # What the app was given stays as it is.
    assert host.app.conf.broker_transport_options == given


def test_connecting_to_rabbitmq_has_an_end_too() -> None:
    assert host_on("amqp://").connection.connect_timeout == LIMIT
    assert host_on("amqp://", broker_connection_timeout=0.5).connection.connect_timeout == 0.5


def test_a_rabbitmq_that_takes_connections_and_says_nothing_counts_as_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = host_on(f"amqp://127.0.0.1:{silent.getsockname()[1]}//", broker_connection_timeout=0.2)
        entry = host.make_entry("a", {"task": "a", "schedule": schedule(60)})
        error = host.publish(entry)
    assert isinstance(error, OperationalError)
