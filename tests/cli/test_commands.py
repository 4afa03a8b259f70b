"""The commands that need no server: what they print, for people and for scripts, and their exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    for arguments in (["status"], ["run", "maintenance.backup_postgres_full"], ["up"], ["db", "current"]):
        done = minsy(given, *arguments)
        assert done.returncode in {1, 3}, done.stderr
        assert "Traceback" not in done.stderr
        assert "hunter2" not in done.stdout + done.stderr
        assert "127.0.0.1:1" in done.stderr


@pytest.mark.parametrize("command", [[], ["up"], ["status"], ["run"], ["config"], ["services"], ["db"]])
def test_help_reads(environ: dict[str, str], command: list[str]) -> None:
    done = minsy(environ, *command, "--help")
    assert done.returncode == 0
    assert "Usage: minsy" in done.stdout
