"""`minsy services`, as a person and as a script use it."""

import io
import json
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from apps.cli.main import main
from packages.infra.embedded.services import EmbeddedServices
from packages.infra.embedded.state import read_state, state_directory
from packages.shared_settings import get_worker_io_settings
from tests.embedded.conftest import answers


@dataclass(frozen=True)
class Ended:
    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


Run = Callable[..., Ended]


@pytest.fixture
def run(own: EmbeddedServices, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    monkeypatch.setenv("MINSY_VAR_DIR", str(own.var_dir))
    # Nobody answers a question.
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    get_worker_io_settings.cache_clear()

    def minsy(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(["services", *arguments])
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    yield minsy
    get_worker_io_settings.cache_clear()


def test_a_day_at_the_terminal(run: Run) -> None:
    assert run("status").exit_code == 3
    nothing = run("env")
    assert (nothing.exit_code, nothing.stdout) == (3, "")
    assert "minsy services start" in nothing.stderr

    started = run("start")
    assert started.exit_code == 0
    assert started.stdout.count("running") == 3
    assert run("status").exit_code == 0

    lines = run("env").stdout.splitlines()
    variables = dict(shlex.split(line)[1].split("=", 1) for line in lines)
    assert list(variables) == ["REDIS_URL", "DATABASE_URL"]
    assert json.loads(run("env", "--json").stdout) == variables
    assert answers(variables["REDIS_URL"])

    secrets = [url.partition("@")[0].rpartition(":")[2] for url in variables.values()]
    for shown in (started, run("status"), run("status", "--json")):
        assert not [secret for secret in secrets if secret in shown.output]

    stopped = run("stop")
    assert (stopped.exit_code, stopped.stdout) == (0, "Stopped: valkey, postgres, mail.\n")
    assert run("stop").stdout == "Nothing was running.\n"
    assert not answers(variables["REDIS_URL"])


def test_status_for_a_script(run: Run, own: EmbeddedServices) -> None:
    with own.hold(want={"valkey"}):
        shown = run("status", "--json")
        assert shown.exit_code == 0
        content = json.loads(shown.stdout)
        assert content["pinned"] is False
        assert len(content["user_pids"]) == 1
        valkey, postgres, mail = content["servers"]
        assert (valkey["name"], valkey["state"]) == ("valkey", "running")
        assert valkey["since"].endswith("+00:00")
        assert (postgres["name"], postgres["state"], postgres["port"]) == ("postgres", "stopped", None)
        assert (mail["name"], mail["state"]) == ("mail", "stopped")


def test_stop_says_who_still_uses_them(run: Run, own: EmbeddedServices) -> None:
    with own.hold(want={"valkey"}):
        (pid,) = own.users()
        assert run("stop").stdout == (
            f"Still in use by process {pid}; they stop with the last of them (now: --force).\n"
        )
        assert json.loads(run("stop", "--json").stdout) == {"stopped": [], "held_by_pids": [pid]}
        assert run("stop", "--force").stdout == "Stopped: valkey.\n"


def test_data_is_deleted_after_a_yes_only(run: Run, own: EmbeddedServices) -> None:
    with own.hold(want={"valkey"}):
        refused = run("delete-data", "--yes")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "in use by process" in refused.stderr
    unanswered = run("delete-data")
    assert (unanswered.exit_code, unanswered.stdout.strip()) == (1, "")
    assert "Delete " in unanswered.stderr
    assert (own.var_dir / "valkey").exists()
    assert run("delete-data", "--yes").exit_code == 0
    assert not (own.var_dir / "valkey").exists()


def test_a_server_that_died_shows_in_the_exit_code(run: Run, own: EmbeddedServices) -> None:
    with own.hold(want={"valkey"}):
        state = read_state(state_directory(own.var_dir), "valkey")
        assert state is not None
        assert state.process.send(signal.SIGKILL)
        assert state.process.wait_gone(timedelta(seconds=30))
        shown = run("status", "--json")
    assert shown.exit_code == 3
    assert json.loads(shown.stdout)["servers"][0]["state"] == "dead"


def test_with_servers_of_ones_own_there_is_nothing_to_start(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/minsy")
    monkeypatch.setenv("NOTIFICATION_SMTP_SINK_ENABLED", "false")
    told = run("start")
    assert (told.exit_code, told.stdout) == (0, "")
    assert "Nothing to start" in told.stderr
    shown = json.loads(run("start", "--json").stdout)
    assert {server["state"] for server in shown["servers"]} == {"stopped"}
    assert (shown["pinned"], shown["user_pids"]) == (False, [])


def test_a_failure_is_one_line_and_exit_code_1(run: Run, own: EmbeddedServices) -> None:
    own.var_dir.write_text("not a directory", encoding="utf-8")
    try:
        failed = run("start")
    finally:
        own.var_dir.unlink()
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr.startswith("Error: ")
    assert str(own.var_dir) in failed.stderr
