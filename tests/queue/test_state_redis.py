"""Where beat keeps what it knows: in the broker's Redis, else in the one of a setting, else nowhere but in itself."""

import logging
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import ImproperlyConfigured
from kombu.exceptions import OperationalError
from pydantic import SecretStr

from packages.infra.embedded.ports import choose_port
from packages.infra.queue.broker_redis import open_state_redis
from packages.infra.queue.configuration import state_configuration
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.effective import effective_values
from packages.shared_settings.errors import SettingsError
from packages.shared_settings.loading import load


def app_on(broker: str, **conf: object) -> Celery:
    app = Celery("test", broker=broker, set_as_current=False)
    app.conf.update(conf)
    return app


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("hidden", [False, True])
def test_beside_another_broker_the_redis_of_the_setting_is_used(
    redis_url: str, caplog: pytest.LogCaptureFixture, *, hidden: bool
) -> None:
    url = f"{redis_url.rpartition('/')[0]}/3"
    app = app_on(
        "memory://",
        beat_state_url=SecretStr(url) if hidden else url,
        broker_transport_options={"global_keyprefix": "of-the-broker"},
    )

    opened = open_state_redis(app)

    assert opened is not None
    opened.client.set(opened.key("beat:lease"), "x")
    opened.close()
    with redis.Redis.from_url(url) as client:
        assert client.keys() == [b"test:beat:lease"]
    assert not opened.is_broker
    assert events(caplog) == []


def test_the_brokers_own_wins(redis_url: str) -> None:
    opened = open_state_redis(app_on(redis_url, beat_state_url="redis://never-asked.invalid:1/0"))

    assert opened is not None
    assert opened.is_broker
    opened.close()


def test_without_the_setting_a_redis_broker_is_used_silently(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    opened = open_state_redis(app_on(redis_url))

    assert opened is not None
    opened.close()
    assert events(caplog) == []


def test_without_either_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    assert open_state_redis(app_on("memory://")) is None

    assert events(caplog) == []


def test_a_server_that_is_away_is_told_without_its_password() -> None:
    app = app_on("memory://", beat_state_url=f"redis://:hunter2@127.0.0.1:{choose_port(None)}/0")

    with pytest.raises(OperationalError) as raised:
        open_state_redis(app)

    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("url", ["postgresql://:hunter2@server/db", "hunter2", "amqp://:hunter2@server"])
def test_what_is_no_redis_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="beat_state_url must be a redis:// or rediss:// URL") as raised:
        open_state_redis(app_on("memory://", beat_state_url=url))
    assert "hunter2" not in str(raised.value)


def test_a_tls_url_is_spoken_to_by_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:

        def first_byte() -> bytes:
            client, _ = server.accept()
            with client:
                return client.recv(1)

        said = pool.submit(first_byte)
        url = f"rediss://127.0.0.1:{server.getsockname()[1]}/0"
        with pytest.raises(OperationalError):
            open_state_redis(app_on("memory://", beat_state_url=url))
        # The first byte of a TLS handshake.
        assert said.result() == b"\x16"


def settings_with(directory: Path, **variables: str) -> BeatSettings:
    return load(BeatSettings, {"MINSY_ENV_DIR": str(directory), **variables})


def test_the_setting_becomes_the_configuration_and_is_never_shown(tmp_path: Path) -> None:
    url = "rediss://:hunter2@redis.example:6379/1"
    settings = settings_with(tmp_path, BEAT_STATE_URL=url, REDIS_TLS_CA_FILE="/etc/ca.pem")

    given = state_configuration(settings)

    assert given["beat_state_url"].get_secret_value() == url
    assert given["beat_state_use_ssl"] == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/etc/ca.pem"}
    app = app_on("memory://", **given)
    # As `celery report` prints it.
    assert "hunter2" not in app.conf.humanize(with_defaults=False, censored=True)
    assert "hunter2" not in repr(given) + repr(settings)
    shown: dict[str, Any] = {
        value.variable: value.value
        for value in effective_values("beat", {"MINSY_ENV_DIR": str(tmp_path), "BEAT_STATE_URL": url})
    }
    assert shown["BEAT_STATE_URL"] == "rediss://:***@redis.example:6379/1"


def test_without_the_setting_nothing_is_configured(tmp_path: Path) -> None:
    assert state_configuration(settings_with(tmp_path)) == {}


def test_a_setting_that_is_no_redis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="BEAT_STATE_URL") as raised:
        settings_with(tmp_path, BEAT_STATE_URL="amqp://:hunter2@server")
    assert "hunter2" not in str(raised.value)
