"""Which servers a process talks to, by its settings."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from packages.infra.connections import NoServerError, embedded_servers_needed, resolve_connections
from packages.infra.embedded.process import ProcessRef
from packages.infra.embedded.state import ServerState, state_directory, write_state
from packages.shared_settings.workers import WorkerIoSettings

REDIS = "redis://:hunter2@redis.example:6379/0"
DATABASE = "postgresql://minsy:hunter2@db.example/minsy"
AMQP = "amqp://minsy:hunter2@rabbit.example//"


def settings(tmp_path: Path, **values: object) -> WorkerIoSettings:
    return WorkerIoSettings.model_validate({"minsy_var_dir": tmp_path, **values})


@pytest.mark.parametrize(
    ("values", "needed"),
    [
        ({}, {"valkey", "postgres"}),
        ({"notification_smtp_sink_enabled": True}, {"valkey", "postgres", "mail"}),
        (
            {"notification_smtp_sink_enabled": True, "notification_channels": {"email": "mailto://mail.example"}},
            {"valkey", "postgres"},
        ),
        ({"redis_url": REDIS}, {"postgres"}),
        ({"database_url": DATABASE}, {"valkey"}),
        ({"redis_url": REDIS, "database_url": DATABASE}, set()),
        ({"celery_broker_url": AMQP, "database_url": DATABASE}, {"valkey"}),
        ({"celery_broker_url": AMQP, "celery_result_backend": REDIS, "database_url": DATABASE}, set()),
    ],
)
def test_embedded_servers_start_only_where_no_url_is_given(
    tmp_path: Path, values: dict[str, object], needed: set[str]
) -> None:
    assert embedded_servers_needed(settings(tmp_path, **values)) == needed


def test_one_redis_serves_as_broker_and_backend(tmp_path: Path) -> None:
    connections = resolve_connections(settings(tmp_path, redis_url=REDIS, database_url=DATABASE))
    assert (connections.broker_url, connections.result_backend, connections.database_url) == (REDIS, REDIS, DATABASE)


def test_each_url_can_be_given_alone(tmp_path: Path) -> None:
    connections = resolve_connections(settings(tmp_path, redis_url=REDIS, celery_broker_url=AMQP))
    assert (connections.broker_url, connections.result_backend, connections.redis_url) == (AMQP, REDIS, REDIS)
    alone = resolve_connections(settings(tmp_path, celery_broker_url=AMQP))
    assert (alone.broker_url, alone.result_backend, alone.redis_url) == (AMQP, "rpc://", None)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    connections = resolve_connections(settings(tmp_path))
    with pytest.raises(NoServerError, match="REDIS_URL is not set"):
        connections.require_broker()
    with pytest.raises(NoServerError, match="DATABASE_URL is not set"):
        connections.require_database()


def test_no_password_in_the_representation(tmp_path: Path) -> None:
    connections = resolve_connections(settings(tmp_path, redis_url=REDIS, database_url=DATABASE))
    assert "hunter2" not in repr(connections)
    assert "redis.example" in repr(connections)


def test_a_process_without_a_database_is_not_told_where_an_embedded_one_is(tmp_path: Path) -> None:
    here = ProcessRef.of(os.getpid())
    assert here is not None
    url, since = DATABASE, datetime(2026, 3, 1, tzinfo=UTC)
    state = ServerState(name="postgres", process=here, port=5432, since=since, data_dir=tmp_path, url=url)
    state_directory(tmp_path).mkdir(mode=0o700)
    write_state(state_directory(tmp_path), state)
    given = settings(tmp_path, redis_url=REDIS)
    assert resolve_connections(given).database_url == url
    assert resolve_connections(given, needs_database=False).database_url is None
