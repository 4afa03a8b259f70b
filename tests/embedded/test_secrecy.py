"""Nobody but the owner of the var directory gets in, or learns how."""

import stat
import threading
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from packages.infra.embedded.endpoints import Endpoints
from packages.infra.embedded.services import EmbeddedServices
from packages.infra.embedded.state import Kept, load_kept, read_state, state_directory
from tests.embedded.conftest import libpq


def passwords(services: EmbeddedServices) -> set[str]:
    homes = [services.var_dir / "valkey", services.var_dir / "postgres"]
    kept = [load_kept(home) for home in homes]
    return {password for each in kept for password in (each.password, each.admin_password)}


def test_the_servers_refuse_a_wrong_password(services: EmbeddedServices, valkey_server: str) -> None:
    wrong = valkey_server.replace(load_kept(services.var_dir / "valkey").password, "wrong")
    with redis.Redis.from_url(wrong) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_valkey_refuses_no_password(valkey_server: str) -> None:
    bare = f"redis://{valkey_server.rpartition('@')[2]}"
    with redis.Redis.from_url(bare) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


@pytest.mark.parametrize("role", ["minsy", "minsy_admin"])
@pytest.mark.parametrize("password", ["wrong", ""])
def test_postgres_trusts_nobody(postgres_server: str, role: str, password: str) -> None:
    address = libpq(postgres_server).rpartition("@")[2].partition("/")[0]
    url = f"postgresql://{role}:{password}@{address}/minsy"
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url, passfile="/dev/null")


def test_postgres_keeps_scram_verifiers_only(services: EmbeddedServices, postgres_server: str) -> None:
    rules = services.var_dir / "postgres" / "data" / "pg_hba.conf"
    methods = {line.split()[-1] for line in rules.read_text().splitlines() if line.strip() and not line.startswith("#")}
    assert methods == {"scram-sha-256"}
    with psycopg.connect(libpq(postgres_server)) as connection:
        assert connection.execute("SHOW password_encryption").fetchone() == ("scram-sha-256",)


def test_only_loopback_is_listened_on(services: EmbeddedServices, valkey_server: str, postgres_server: str) -> None:
    assert valkey_server
    assert postgres_server
    ports = {server.port for server in services.status()}
    listening = [
        connection.laddr
        for connection in psutil.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port in ports
    ]
    assert len(listening) == 2
    assert {address[0] for address in listening} == {"127.0.0.1"}
    sockets = [str(connection.laddr) for connection in psutil.net_connections(kind="unix")]
    assert not [path for path in sockets for port in ports if path.endswith(f".s.PGSQL.{port}")]


def test_no_password_is_ever_on_a_command_line(own: EmbeddedServices) -> None:
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for process in psutil.process_iter(["cmdline"]):
                seen.add(" ".join(process.info["cmdline"] or []))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with own.hold():
            secrets = passwords(own)
            done.set()
            watcher.join()
            for process in psutil.process_iter(["cmdline"]):
                seen.add(" ".join(process.info["cmdline"] or []))
    finally:
        done.set()
        watcher.join()
    assert len(secrets) == 4
    assert any(str(own.var_dir) in line for line in seen)
    assert not [line for line in seen if any(secret in line for secret in secrets)]


def test_no_password_is_in_a_repr_or_a_log(own: EmbeddedServices, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with own.hold() as endpoints:
        states = [read_state(state_directory(own.var_dir), name) for name in ("valkey", "postgres")]
        said = f"{endpoints!r} {endpoints} {states!r} {own.status()!r} {load_kept(own.var_dir / 'valkey')!r}"
        secrets = passwords(own)
    logged = " ".join(str(vars(record)) for record in caplog.records)
    written = "".join(path.read_text(errors="replace") for path in own.var_dir.rglob("server.log"))
    assert written
    assert "embedded_server_started" in logged
    for secret in secrets:
        assert secret not in said
        assert secret not in logged
        assert secret not in written


def test_the_repr_still_says_where() -> None:
    endpoints = Endpoints(
        redis_url="redis://:s3cret@127.0.0.1:20001/0",
        database_url="postgresql+psycopg://minsy:s3cret@127.0.0.1:20002/minsy",
    )
    assert repr(endpoints) == (
        "Endpoints(redis_url='redis://:***@127.0.0.1:20001/0', "
        "database_url='postgresql+psycopg://minsy:***@127.0.0.1:20002/minsy', smtp_url=None)"
    )
    assert (
        repr(Endpoints(redis_url=None, database_url=None))
        == "Endpoints(redis_url=None, database_url=None, smtp_url=None)"
    )
    assert "s3cret" not in repr(Kept(port=1, password="s3cret", admin_password="s3cret"))


def test_files_that_hold_a_secret_are_the_owners_alone(own: EmbeddedServices) -> None:
    with own.hold():
        secrets = {secret.encode() for secret in passwords(own)}
        holding = [path for path in files(own.var_dir) if any(secret in path.read_bytes() for secret in secrets)]
        assert {path.name for path in holding} == {"kept.json", "valkey.conf", "valkey.json", "postgres.json"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in holding} == {0o600}
        data = [own.var_dir / "valkey" / "data", own.var_dir / "postgres" / "data", own.var_dir / "services"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in data} == {0o700}
    assert not list(own.var_dir.rglob("*.password"))


def test_passwords_differ_between_servers_and_directories(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = load_kept(tmp_path / "one"), load_kept(tmp_path / "two")
    assert len({one.password, one.admin_password, two.password, two.admin_password}) == 4
    assert load_kept(tmp_path / "one") == one


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and path.stat().st_size < 1_000_000]
