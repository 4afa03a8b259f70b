"""How long is waited for a server that recovers, and how a start is given up."""

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from packages.infra.embedded.errors import InterruptedStartError, ServerFailedError
from packages.infra.embedded.locks import start_lock
from packages.infra.embedded.process import ProcessRef
from packages.infra.embedded.services import EmbeddedServices
from packages.infra.embedded.state import read_state, state_directory
from packages.infra.embedded.valkey import ValkeyServer
from packages.infra.embedded.waiting import Patience, Problem, Waiting
from tests.embedded.conftest import libpq, states

SHORT = timedelta(milliseconds=200)
LONG = timedelta(seconds=60)


@dataclass
class Answers:
    """What a server says: for so many questions that it recovers, then that it is well or not."""

    recovering: int
    then: Problem | None = None

    def __call__(self) -> Problem | None:
        self.recovering -= 1
        return Problem("loading", recovering=True) if self.recovering >= 0 else self.then


@pytest.fixture
def process() -> Iterator[ProcessRef]:
    with subprocess.Popen(["/bin/sleep", "600"]) as child:
        found = ProcessRef.of(child.pid)
        assert found is not None
        yield found
        child.kill()


def waiting(*, silent: timedelta, recovering: timedelta) -> Waiting:
    return Waiting(Patience(silent=silent, recovering=recovering), threading.Event())


def test_a_server_that_recovers_is_waited_for(process: ProcessRef) -> None:
    # Twenty questions take longer than the silence that is borne.
    assert waiting(silent=SHORT, recovering=LONG).wait_for(process, Answers(recovering=20)) is None


def test_a_server_that_says_nothing_is_given_up(process: ProcessRef) -> None:
    answers = Answers(recovering=10, then=Problem("refused"))
    said = waiting(silent=SHORT, recovering=LONG).wait_for(process, answers)
    assert said is not None
    assert "does not answer" in said
    assert "refused" in said


def test_a_recovery_without_end_is_given_up(process: ProcessRef) -> None:
    said = waiting(silent=LONG, recovering=SHORT).wait_for(process, Answers(recovering=10**6))
    assert said is not None
    assert "has not recovered" in said


def test_a_server_that_dies_while_it_recovers_is_noticed(process: ProcessRef) -> None:
    process.send(signal.SIGKILL)
    process.wait_gone(LONG)
    said = waiting(silent=LONG, recovering=LONG).wait_for(process, Answers(recovering=10**6))
    assert said == "ended while it started"


def test_a_wait_can_be_interrupted(process: ProcessRef) -> None:
    interrupted = waiting(silent=LONG, recovering=LONG)
    interrupted.interrupted.set()
    with pytest.raises(InterruptedStartError):
        interrupted.wait_for(process, Answers(recovering=10**6))


def test_valkey_that_loads_its_file_says_so(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path)
    server.prepare()
    with answering(b"-LOADING Valkey is loading the dataset in memory\r\n") as port:
        problem = server.problem(port)
    assert problem is not None
    assert problem.recovering


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that says the same to every request of one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                while connection.recv(4096):
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def recover_slowly(services: EmbeddedServices, *, seconds: int) -> None:
    """Let the next start of PostgreSQL look for archived log, which takes this long a file, before it answers."""
    data = next(server.data_dir for server in services.status() if server.name == "postgres")
    with (data / "postgresql.conf").open("a", encoding="utf-8") as stream:
        stream.write(f"hot_standby = off\nrestore_command = 'sleep {seconds}; exit 1'\n")
    (data / "recovery.signal").touch()


def test_postgres_that_recovers_for_long_is_not_ended(own: EmbeddedServices) -> None:
    with own.hold(want={"postgres"}) as endpoints:
        assert endpoints.database_url is not None
        with psycopg.connect(libpq(endpoints.database_url)) as connection:
            connection.execute("CREATE TABLE fact AS SELECT 7 AS value")
    recover_slowly(own, seconds=2)
    impatient = EmbeddedServices(own.var_dir, patience=Patience(silent=timedelta(seconds=3)))
    with impatient.hold(want={"postgres"}) as endpoints:
        assert endpoints.database_url is not None
        with psycopg.connect(libpq(endpoints.database_url)) as connection:
            assert connection.execute("SELECT value FROM fact").fetchone() == (7,)
    data = next(server.data_dir for server in own.status() if server.name == "postgres")
    assert "selected new timeline ID: 2" in (data.parent / "log" / "server.log").read_text()


def test_postgres_that_recovers_without_end_is_given_up(own: EmbeddedServices) -> None:
    with own.hold(want={"postgres"}):
        pass
    recover_slowly(own, seconds=60)
    impatient = EmbeddedServices(own.var_dir, patience=Patience(recovering=timedelta(seconds=1)))
    with pytest.raises(ServerFailedError, match="has not recovered"), impatient.hold(want={"postgres"}):
        pytest.fail("a server that recovers was handed out")
    assert states(own)["postgres"] == "stopped"


def test_a_revival_that_is_under_way_is_given_up(own: EmbeddedServices) -> None:
    with own.hold(want={"postgres"}):
        recover_slowly(own, seconds=60)
        state = read_state(state_directory(own.var_dir), "postgres")
        assert state is not None
        assert state.process.send(signal.SIGKILL)
        assert state.process.wait_gone(LONG)
        other = EmbeddedServices(own.var_dir)
        failures: list[InterruptedStartError] = []

        def revive() -> None:
            try:
                other.revive()
            except InterruptedStartError as error:
                failures.append(error)

        thread = threading.Thread(target=revive)
        thread.start()
        pid_file = state.data_dir / "postmaster.pid"
        wait_until_launched(pid_file, but=state.process.pid)
        launched = ProcessRef.of(int(pid_file.read_text(encoding="utf-8").splitlines()[0]))
        other.interrupt()
        thread.join(60)
        assert len(failures) == 1
        assert launched is not None
        assert not launched.is_alive()


def wait_until_launched(pid_file: Path, *, but: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if pid_file.exists() and pid_file.read_text(encoding="utf-8").split("\n")[0] not in {"", str(but)}:
            return
        time.sleep(0.05)
    pytest.fail("PostgreSQL was not launched again")


def test_a_wait_for_the_lock_is_given_up(own: EmbeddedServices) -> None:
    with own.hold(want={"valkey"}):
        state = read_state(state_directory(own.var_dir), "valkey")
        assert state is not None
        assert state.process.send(signal.SIGKILL)
        assert state.process.wait_gone(LONG)
        other = EmbeddedServices(own.var_dir)
        other.interrupt()
        with start_lock(state_directory(own.var_dir), timeout=LONG), pytest.raises(InterruptedStartError):
            other.revive()


def test_who_must_leave_soon_kills_a_server_that_hangs(own: EmbeddedServices) -> None:
    with own.hold(want={"postgres"}, leave_within=SHORT) as endpoints:
        assert endpoints.database_url is not None
        connection = psycopg.connect(libpq(endpoints.database_url))
        backend = ProcessRef.of(connection.info.backend_pid)
        assert backend is not None
        # A stopped backend does not hear that it should end.
        assert backend.send(signal.SIGSTOP)
    connection.close()
    assert states(own)["postgres"] == "stopped"
    assert not backend.is_alive()
    with own.hold(want={"postgres"}):
        assert states(own)["postgres"] == "running"


def test_who_leaves_while_the_lock_is_held_leaves_the_servers_to_its_owner(own: EmbeddedServices) -> None:
    with start_and_lock(own):
        assert states(own)["valkey"] == "running"
    assert own.users() == []
    assert own.stop().stopped == ("valkey",)


@contextmanager
def start_and_lock(services: EmbeddedServices) -> Iterator[None]:
    with services.hold(want={"valkey"}, leave_within=SHORT):
        lock = start_lock(state_directory(services.var_dir), timeout=LONG)
        lock.__enter__()
    try:
        yield
    finally:
        lock.__exit__(None, None, None)
