"""The small parts: processes, ports, locks, private files."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from packages.infra.embedded import logs
from packages.infra.embedded.endpoints import read_endpoints
from packages.infra.embedded.errors import BusyError
from packages.infra.embedded.locks import live_users, make_mark, remove_mark, start_lock
from packages.infra.embedded.ports import choose_port, is_free
from packages.infra.embedded.private_files import read_private_json, write_private_json
from packages.infra.embedded.process import ProcessRef, end
from packages.infra.embedded.state import read_state


def test_a_process_is_its_id_and_its_birth() -> None:
    this = ProcessRef.of(os.getpid())
    assert this is not None
    assert this == ProcessRef.of(os.getpid())
    assert this.is_alive()
    other = ProcessRef(pid=os.getpid(), birth="another birth")
    assert not other.is_alive()
    assert not other.send(signal.SIGKILL)


def test_a_dead_process_that_nobody_reaped_is_dead() -> None:
    with subprocess.Popen(["/bin/sleep", "600"]) as child:
        process = ProcessRef.of(child.pid)
        assert process is not None
        child.kill()
        assert process.wait_gone(timedelta(seconds=30))
        assert ProcessRef.of(child.pid) is None


def test_a_process_that_does_not_listen_is_killed() -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process = ProcessRef.of(child.pid)
        assert process is not None
        assert not end(process, polite=signal.SIGTERM, grace=timedelta(milliseconds=50))
        assert child.wait() == -signal.SIGKILL


def test_a_taken_port_is_passed_over() -> None:
    free = choose_port(None)
    assert choose_port(free) == free
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free))
        taken.listen()
        assert not is_free(free)
        assert choose_port(free) != free


def test_a_port_that_is_just_being_let_go_is_kept() -> None:
    port = choose_port(None)
    held = socket.socket()
    held.bind(("127.0.0.1", port))
    held.listen()
    letting_go = threading.Timer(0.2, held.close)
    letting_go.start()
    assert choose_port(port) == port
    letting_go.join()


def test_the_start_lock_names_who_holds_it(tmp_path: Path) -> None:
    with start_lock(tmp_path, timeout=timedelta(seconds=1)):
        with pytest.raises(BusyError, match=f"process {os.getpid()} has been starting") as caught:
            start_lock(tmp_path, timeout=timedelta(0)).__enter__()
        assert caught.value.owner_pid == os.getpid()
    with start_lock(tmp_path, timeout=timedelta(0)):
        pass


def test_marks_of_the_dead_are_cleared_away(tmp_path: Path) -> None:
    mark = make_mark(tmp_path)
    (tmp_path / "users" / "999999.dead").touch()
    assert live_users(tmp_path) == [os.getpid()]
    assert [path.name for path in (tmp_path / "users").iterdir()] == [mark.path.name]
    remove_mark(mark)
    assert live_users(tmp_path) == []


def test_a_private_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret.json"
    write_private_json(path, {"word": 1})
    write_private_json(path, {"word": 2})
    assert read_private_json(path) == {"word": 2}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": "x", "birth": "b"}'])
def test_a_state_file_that_makes_no_sense_is_no_state(tmp_path: Path, content: str) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "valkey.json").write_text(content, encoding="utf-8")
    assert read_state(tmp_path / "services", "valkey") is None
    assert read_endpoints(tmp_path) is None


def test_the_tail_of_a_log_starts_where_it_was_told(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    assert logs.tail(log, since_bytes=0) == ""
    log.write_text("old\n" + "".join(f"line {n}\n" for n in range(20)), encoding="utf-8")
    assert logs.tail(log, since_bytes=4).splitlines() == [f"line {n}" for n in range(5, 20)]
    assert logs.tail(log, since_bytes=logs.size(log)) == ""


def test_reading_the_endpoints_imports_no_client_of_any_server() -> None:
    code = """
import sys
before = set(sys.modules)
from packages.infra.embedded.endpoints import read_endpoints
from pathlib import Path
read_endpoints(Path("/nonexistent"))
import json
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    clients = {"redis", "psycopg", "sqlalchemy", "psutil", "smtplib", "aiosmtpd"}
    assert clients & set(json.loads(said.stdout)) == set()
