"""Servers that were killed, and what a crash leaves behind."""

import os
import signal
import smtplib
import socket
import stat
import subprocess
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from packages.infra.embedded.endpoints import read_endpoints
from packages.infra.embedded.errors import EmbeddedError, ServerFailedError
from packages.infra.embedded.ports import is_free
from packages.infra.embedded.postgres_strays import cluster_name
from packages.infra.embedded.process import ProcessRef
from packages.infra.embedded.services import EmbeddedServices
from packages.infra.embedded.state import ServerName, ServerState, read_state, state_directory, write_state
from tests.embedded.conftest import answers, libpq, pids, read, states, write


def state_of(services: EmbeddedServices, name: ServerName) -> ServerState:
    state = read_state(state_directory(services.var_dir), name)
    assert state is not None
    return state


def kill(services: EmbeddedServices, name: ServerName) -> ProcessRef:
    process = state_of(services, name).process
    assert process.send(signal.SIGKILL)
    assert process.wait_gone(timedelta(seconds=30))
    return process


def data_dir(services: EmbeddedServices) -> Path:
    return next(server.data_dir for server in services.status() if server.name == "postgres")


@pytest.mark.parametrize("name", ["valkey", "postgres"])
def test_a_killed_server_lives_again_with_its_data(own: EmbeddedServices, name: ServerName) -> None:
    with own.hold() as endpoints:
        write(endpoints)
        before = state_of(own, name)
        kill(own, name)
        assert states(own)[name] == "dead"
        assert states(own)[{"valkey": "postgres", "postgres": "valkey"}[name]] == "running"
        sentences = own.revive()
        after = state_of(own, name)
        assert sentences == [
            f"The embedded {name} server (pid {before.process.pid}) died and runs again as pid {after.process.pid}."
        ]
        assert after.port == before.port
        assert read(endpoints) == ("kept", 7)
        assert own.revive() == []


def test_a_killed_mail_sink_lives_again(own: EmbeddedServices) -> None:
    with own.hold(want={"mail"}) as endpoints:
        assert endpoints.smtp_url is not None
        port = state_of(own, "mail").port
        kill(own, "mail")
        assert len(own.revive()) == 1
        assert read_endpoints(own.var_dir) == endpoints
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.sendmail("a@example.com", ["b@example.com"], "Subject: kept\r\n\r\nHello")
        [mail] = (own.var_dir / "mail" / "data").glob("*.eml")
        assert "Subject: kept" in mail.read_text()
        assert stat.S_IMODE(mail.stat().st_mode) == 0o600


def test_a_busy_backend_of_a_killed_server_does_not_stand_in_the_way(own: EmbeddedServices) -> None:
    with own.hold(want={"postgres"}) as endpoints:
        assert endpoints.database_url is not None
        with psycopg.connect(libpq(endpoints.database_url)) as connection:
            backend = ProcessRef.of(connection.info.backend_pid)
            assert backend is not None
            # A stopped backend cannot notice that its server died.
            assert backend.send(signal.SIGSTOP)
            kill(own, "postgres")
            assert len(own.revive()) == 1
            assert not backend.is_alive()
        with psycopg.connect(libpq(endpoints.database_url)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_whose_port_was_taken_moves(own: EmbeddedServices) -> None:
    with own.hold(want={"valkey"}):
        before = state_of(own, "valkey")
        kill(own, "valkey")
        while not is_free(before.port):  # its last thread has not quite ended
            time.sleep(0.01)
        with socket.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            squatter.bind(("127.0.0.1", before.port))
            squatter.listen()
            (sentence,) = own.revive()
            after = state_of(own, "valkey")
            assert sentence.endswith(f"now on port {after.port} as {before.port} was taken.")
            endpoints = read_endpoints(own.var_dir)
            assert endpoints is not None
            assert answers(endpoints.redis_url)


def test_a_crash_of_everything_is_recovered_from(own: EmbeddedServices) -> None:
    endpoints = own.start()
    write(endpoints)
    kill(own, "valkey")
    kill(own, "postgres")
    assert read_endpoints(own.var_dir) is None
    with EmbeddedServices(own.var_dir).hold() as again:
        assert again == endpoints
        assert read(again) == ("kept", 7)


def test_a_process_id_used_again_is_not_taken_for_the_server(own: EmbeddedServices) -> None:
    with own.hold(want={"valkey"}) as endpoints:
        real = state_of(own, "valkey")
        mistaken = replace(real, process=ProcessRef(pid=os.getpid(), birth=real.process.birth))
        write_state(state_directory(own.var_dir), mistaken)
        assert states(own)["valkey"] == "dead"
        assert len(own.revive()) == 1
        assert answers(endpoints.redis_url)
        assert not real.process.is_alive()


def test_stop_never_signals_a_process_id_used_again(own: EmbeddedServices) -> None:
    own.start(want={"valkey"})
    stale = kill(own, "valkey")
    with subprocess.Popen(["/bin/sleep", "600"]) as bystander:
        reused = ProcessRef(pid=bystander.pid, birth=stale.birth)
        write_state(state_directory(own.var_dir), replace(state_of(own, "valkey"), process=reused))
        assert own.stop(force=True).stopped == ()
        assert bystander.poll() is None
        bystander.kill()


def test_a_stale_lock_file_that_names_a_living_process(own: EmbeddedServices) -> None:
    with own.hold(want={"postgres"}):
        pass
    owner = data_dir(own).stat()
    # PostgreSQL itself would take this process for another server of the same data.
    with subprocess.Popen(["/bin/sleep", "600"], user=owner.st_uid if os.geteuid() == 0 else None) as bystander:
        lock_file = data_dir(own) / "postmaster.pid"
        lock_file.write_text(f"{bystander.pid}\n{data_dir(own)}\n0\n5432\n\n\n\n", encoding="utf-8")
        os.chown(lock_file, owner.st_uid, owner.st_gid)
        with own.hold(want={"postgres"}):
            assert states(own)["postgres"] == "running"
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.parametrize("name", ["valkey", "postgres"])
def test_a_server_that_nobody_remembers_is_replaced(own: EmbeddedServices, name: ServerName) -> None:
    write(own.start())
    forgotten = state_of(own, name)
    (state_directory(own.var_dir) / f"{name}.json").unlink()
    with own.hold() as endpoints:
        assert pids(own)[name] != forgotten.process.pid
        assert not forgotten.process.is_alive()
        assert read(endpoints) == ("kept", 7)


def test_an_interrupted_initdb_leaves_nothing_in_the_way(own: EmbeddedServices) -> None:
    half = own.var_dir / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n", encoding="ascii")
    with own.hold(want={"postgres"}):
        assert states(own)["postgres"] == "running"


def test_data_of_another_version_is_refused(own: EmbeddedServices) -> None:
    with own.hold(want={"postgres"}):
        pass
    (data_dir(own) / "PG_VERSION").write_text("16\n", encoding="ascii")
    with pytest.raises(EmbeddedError, match=r"is of PostgreSQL 16, the embedded server is 18\."):
        own.start(want={"postgres"})
    assert not own.is_pinned()


def test_a_postgres_that_cannot_start_says_why(own: EmbeddedServices) -> None:
    with own.hold(want={"postgres"}):
        pass
    with (data_dir(own) / "postgresql.conf").open("a", encoding="utf-8") as stream:
        stream.write("no_such_setting = 1\n")
    with pytest.raises(ServerFailedError, match="no_such_setting"), own.hold(want={"postgres"}):
        pytest.fail("a broken server was handed out")
    assert states(own)["postgres"] == "stopped"


def test_a_valkey_that_cannot_start_says_why(own: EmbeddedServices) -> None:
    with own.hold(want={"valkey"}):
        pass
    (manifest,) = (own.var_dir / "valkey" / "data").rglob("*.manifest")
    manifest.write_text("nonsense\n", encoding="ascii")
    with pytest.raises(ServerFailedError, match="manifest"), own.hold(want={"valkey"}):
        pytest.fail("a broken server was handed out")
    assert states(own)["valkey"] == "stopped"


def test_the_orphans_of_one_database_are_told_from_those_of_another() -> None:
    assert cluster_name(Path("/a/data")) != cluster_name(Path("/b/data"))
