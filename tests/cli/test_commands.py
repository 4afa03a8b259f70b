"""The commands: what they print, for people and for scripts, and their exit codes."""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from apps.cli.status import age_in_words, restarts_in_words
from packages.infra.db import migrate
from packages.shared_settings.layers import ROOT


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return {**kept, "MINSY_ENV_DIR": str(tmp_path), "MINSY_VAR_DIR": str(tmp_path / "var")}


def minsy(environ: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "apps.cli.main", *arguments],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_config_shows_value_and_source_and_masks_secrets(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env.dev.beat").write_text("NOTIFICATIONS_ENABLED=true\n")
    given = {**environ, "REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"}
    rows = {row["variable"]: row for row in json.loads(minsy(given, "config", "--json").stdout)}
    assert rows["NOTIFICATIONS_ENABLED"]["value"] == "true"
    assert rows["NOTIFICATIONS_ENABLED"]["source"] == str(tmp_path / ".env.dev.beat")
    assert rows["REDIS_URL"]["value"] == "redis://:***@127.0.0.1:1/0"
    shown = minsy(given, "config", "--service", "beat", "--allowed").stdout
    assert "hunter2" not in shown
    assert "an hour from 0 to 23, in UTC" in shown


def test_output_that_is_no_terminal_has_no_colours_and_whole_lines(environ: dict[str, str]) -> None:
    shown = minsy(environ, "config", "--service", "worker_io").stdout
    assert "\x1b" not in shown
    [line] = [line for line in shown.splitlines() if line.startswith("NOTIFICATIONS_BACKOFF_CAP_SECONDS")]
    assert line.split() == ["NOTIFICATIONS_BACKOFF_CAP_SECONDS", "3600", "default"]


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "said"),
    [
        (["config"], {"POSTGRES_BACKUP_HOUR_UTC": "24"}, 2, "POSTGRES_BACKUP_HOUR_UTC"),
        (["up"], {"NOTIFICATIONS_BATCH_SIZE": "0"}, 2, "NOTIFICATIONS_BATCH_SIZE"),
        (["up"], {"POSTGRES_BACKUP_HOUR_UTC": "24"}, 2, "POSTGRES_BACKUP_HOUR_UTC"),
        (["up"], {"WORKER_CPU_CONCURRENCY": "0"}, 2, "WORKER_CPU_CONCURRENCY"),
        (["up"], {"CONTROL_INTERVAL_SECONDS": "90"}, 2, "CONTROL_INTERVAL_SECONDS"),
        (["up"], {"SLO_OBJECTIVES_FILE": "README.md"}, 2, "SLO_OBJECTIVES_FILE"),
        (["up"], {"BACKLOG_TARGET_SECONDS_BY_QUEUE": '{"mail": 5}'}, 2, "BACKLOG_TARGET_SECONDS_BY_QUEUE"),
        (["status"], {"MINSY_ENV": "nowhere"}, 2, "MINSY_ENV"),
        (["config", "--service", "web"], {}, 2, "web"),
        (["run", "no.such_job"], {}, 2, "maintenance.backup_postgres_full"),
        (["no-such-command"], {}, 2, "no-such-command"),
        (["status"], {}, 3, "minsy up"),
        (["services", "status"], {}, 3, ""),
        (["services", "env"], {}, 3, "minsy services start"),
    ],
)
def test_exit_codes_and_one_clear_line(
    environ: dict[str, str], arguments: list[str], variables: dict[str, str], code: int, said: str
) -> None:
    done = minsy({**environ, **variables}, *arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dead_broker_is_said_without_its_password(environ: dict[str, str]) -> None:
    given = {
        **environ,
        "REDIS_URL": "redis://:hunter2@127.0.0.1:1/0",
        "DATABASE_URL": "postgresql://minsy:hunter2@127.0.0.1:1/minsy",
    }
    for arguments in (
        ["status"],
        ["run", "maintenance.backup_postgres_full"],
        ["up"],
        ["db", "current"],
        ["approvals", "list"],
        ["backtest", "list"],
    ):
        done = minsy(given, *arguments)
        assert done.returncode in {1, 3}, done.stderr
        assert "Traceback" not in done.stderr
        assert "hunter2" not in done.stdout + done.stderr
        assert "127.0.0.1:1" in done.stderr


@pytest.mark.parametrize(
    "command", [[], *([name] for name in ("up", "status", "run", "config", "approvals", "backtest", "services", "db"))]
)
def test_help_reads(environ: dict[str, str], command: list[str]) -> None:
    done = minsy(environ, *command, "--help")
    assert done.returncode == 0
    assert "Usage: minsy" in done.stdout


@pytest.mark.parametrize("reached", ["a wrong password", "nobody", "another program"])
def test_a_result_backend_that_cannot_be_used_is_one_line(
    environ: dict[str, str], redis_url: str, database_url: str, reached: str
) -> None:
    other_port = sa.make_url(database_url).port
    backends = {
        "a wrong password": redis_url.replace("://:", "://:wrong-"),
        "nobody": "redis://:hunter2@127.0.0.1:1/0",
        "another program": f"redis://:hunter2@127.0.0.1:{other_port}/0",
    }
    given = {**environ, "REDIS_URL": redis_url, "DATABASE_URL": database_url}
    done = minsy({**given, "CELERY_RESULT_BACKEND": backends[reached]}, "status")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: the result backend at redis://:***@127.0.0.1:")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["up"], ["services", "start"], ["approvals", "list"]])
def test_a_var_directory_that_is_a_file_is_one_line(environ: dict[str, str], arguments: list[str]) -> None:
    Path(environ["MINSY_VAR_DIR"]).write_text("not a directory")
    done = minsy(environ, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def test_run_is_the_same_whatever_profile_the_shell_has(
    environ: dict[str, str], redis_url: str, database_url: str
) -> None:
    migrate.upgrade(database_url)
    given = {**environ, "REDIS_URL": redis_url, "DATABASE_URL": database_url}
    for profile in ("beat", "nonsense"):
        shell = {**given, "MINSY_CELERY_PROFILE": profile, "MINSY_SERVICE": "beat"}
        done = minsy(shell, "run", "fail_stale_backtest_jobs")
        assert (done.returncode, done.stderr) == (0, "")
    by_script = json.loads(minsy(given, "status", "--json").stdout)
    [job] = [job for job in by_script["jobs"] if job["name"] == "maintenance.fail_stale_backtest_jobs"]
    assert (job["state"], job["origin"]) == ("SUCCESS", "other")
    assert datetime.fromisoformat(job["finished_at"]).tzinfo is not None


def test_run_prints_its_result_alone_and_says_the_rest_in_one_line_each(
    environ: dict[str, str], database_url: str
) -> None:
    migrate.upgrade(database_url)
    given = {**environ, "REDIS_URL": "redis://:hunter2@127.0.0.1:1/0", "DATABASE_URL": database_url}
    done = minsy(given, "run", "fail_stale_backtest_jobs", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["job"] == "maintenance.fail_stale_backtest_jobs"
    [line] = done.stderr.splitlines()
    assert "last_run_not_recorded" in line
    assert "127.0.0.1:1" in line


@pytest.mark.parametrize("width", [80, 140])
def test_status_fits_the_terminal_and_is_whole_elsewhere(
    environ: dict[str, str], redis_url: str, database_url: str, width: int
) -> None:
    given = {**environ, "REDIS_URL": redis_url, "DATABASE_URL": database_url, "TERM": "xterm"}
    result = {"path": "/a/long/way/" * 12, "bytes": 4711}
    record = {
        "task": "maintenance.backup_postgres_full",
        "task_id": "1",
        "state": "SUCCESS",
        "finished_at": datetime.now(UTC).isoformat(),
        "seconds": 1.5,
        "result": result,
        "origin": "beat",
    }
    with redis.Redis.from_url(redis_url) as client:
        client.hset("minsy:last_runs", record["task"], json.dumps(record))
    narrow = on_a_terminal(given, 50, "status").splitlines()
    assert max(len(line) for line in narrow) <= 50
    lines = on_a_terminal(given, width, "status").splitlines()
    assert max(len(line) for line in lines) <= width
    [line] = [line for line in lines if line.startswith("maintenance.backup_postgres_full")]
    assert line.rstrip().endswith("…")
    assert " ago  " in line
    assert ("1.500" in line) is (width == 140)
    assert json.dumps(result) in minsy(given, "status").stdout


def on_a_terminal(environ: dict[str, str], width: int, *arguments: str) -> str:
    """What a terminal of this width gets, without its colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "apps.cli.main", *arguments], env=environ, cwd=ROOT, stdin=theirs, stdout=theirs
    )
    os.close(theirs)
    shown = b""
    # Linux says EIO, other systems the end of the file, when the last writer has gone.
    with contextlib.suppress(OSError), os.fdopen(ours, "rb", buffering=0) as terminal:
        while piece := terminal.read(65_536):
            shown += piece
    assert process.wait(60) == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())


@pytest.mark.parametrize(
    ("age_s", "words"),
    [(-5, "now"), (0.4, "now"), (59, "59 s ago"), (60, "1 min ago"), (7199, "1 h ago"), (200_000, "2 d ago")],
)
def test_an_age_is_told_in_its_largest_unit(age_s: float, words: str) -> None:
    assert age_in_words(timedelta(seconds=age_s)) == words


def test_restarts_are_told_as_a_person_would() -> None:
    assert [restarts_in_words(count) for count in (0, 1, 2)] == ["", "started again once", "started again 2 times"]
