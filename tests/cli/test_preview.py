"""`minsy preview`: what it shows in each form, what-if and differences, and what it refuses. No server runs."""

import csv
import io
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from packages.scheduling.instants import to_instant
from packages.shared_settings.layers import ROOT
from tests.cli.command_line import printed

# Monday and Tuesday before Thanksgiving; New York opens at 14:30 UTC.
TWO_DAYS = ("--from", "2026-11-23", "--hours", "48")


@pytest.fixture(scope="module")
def calendars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A var directory in which the calendars are compiled once for all tests."""
    return tmp_path_factory.mktemp("var")


@pytest.fixture
def environ(tmp_path: Path, calendars: Path) -> dict[str, str]:
    (tmp_path / ".env.dev").write_text("")
    (tmp_path / ".env.dev.beat").write_text(
        "POSTGRES_BACKUP_ENABLED=true\nPAPER_TRADING_ENABLED=true\n"
        "PAPER_TRADING_LOOP_INTERVAL_SECONDS=1800\nMARKET_DATA_REFRESH_ACTIVE_SUBSCRIPTIONS_INTERVAL_SECONDS=3600\n"
    )
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    return {**kept, "LANG": "C.UTF-8", "MINSY_ENV_DIR": str(tmp_path), "MINSY_VAR_DIR": str(calendars)}


def test_the_table_has_the_summary_first_and_then_some_rows(environ: dict[str, str]) -> None:
    shown = printed(environ, "preview", *TWO_DAYS, "--zone", "Europe/Berlin", "--limit", "3")
    assert "dev: 2026-11-23 00:00:00Z to 2026-11-25 00:00:00Z" not in shown
    # A time without a zone is that of --zone.
    assert "dev: 2026-11-22 23:00:00Z to 2026-11-24 23:00:00Z (2d), 3 jobs" in shown
    job = next(line for line in shown.splitlines() if line.startswith("paper_trading.scheduler_tick "))
    assert job.split()[:5] == ["paper_trading.scheduler_tick", "paper_trading", "28", "68", "71%"]
    assert job.endswith("market_closed 68")
    rows = [line for line in shown.splitlines() if line.startswith("2026-11-22T23")]
    assert len(rows) == 3
    assert "+01:00" in rows[0]
    assert "market_closed XNYS closed until 2026-11-23T14:25:00Z" in rows[0]
    assert "... and 143 more" in shown
    assert "██" in shown


def test_off_a_utf_8_terminal_the_strip_is_ascii(environ: dict[str, str]) -> None:
    given = {**environ, "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    shown = printed(given, "preview", *TWO_DAYS, "--limit", "1")
    assert shown.isascii()
    assert "2026-11-23 __" in shown


def test_json_is_one_document_with_every_row(environ: dict[str, str]) -> None:
    document: dict[str, Any] = json.loads(printed(environ, "preview", *TWO_DAYS, "--json"))
    assert document["period"] == {"from": "2026-11-23T00:00:00Z", "to": "2026-11-25T00:00:00Z"}
    assert [job["name"] for job in document["jobs"]] == [
        "maintenance.backup_postgres_full",
        "paper_trading.scheduler_tick",
        "market_data.refresh_active_subscriptions",
    ]
    total = document["summary"]["total"]
    assert len(document["rows"]) == total["fires"] + total["skipped"] == 2 + 96 + 48
    assert list(document["calendars_until"]) == ["XNYS"]
    row = document["rows"][0]
    assert row["jitter_ms"] == _ms(row["planned"]) - _ms(row["nominal"])
    assert document == json.loads(printed(environ, "preview", *TWO_DAYS, "--format", "json"))


def test_csv_and_json_have_the_same_rows(environ: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    assert printed(environ, "preview", *TWO_DAYS, "--format", "csv", "--output", str(file)) == ""
    text = file.read_bytes().decode()
    assert text.count("\r\n") == text.count("\n") == 1 + 146
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    document: dict[str, Any] = json.loads(printed(environ, "preview", *TWO_DAYS, "--json"))
    assert [(row["at"], row["job"], row["detail"]) for row in rows] == [
        (row["at"], row["job"], row["detail"]) for row in document["rows"]
    ]


def test_a_choice_of_jobs_and_queues(environ: dict[str, str]) -> None:
    for choice in (["--job", "backup*"], ["--job", "backup_postgres_full"], ["--queue", "maintenance"]):
        document: dict[str, Any] = json.loads(printed(environ, "preview", *TWO_DAYS, *choice, "--json"))
        assert [job["name"] for job in document["jobs"]] == ["maintenance.backup_postgres_full"]


def test_what_if_and_another_environment(environ: dict[str, str], tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.write_text("POSTGRES_BACKUP_HOUR_UTC=5\n")
    (tmp_path / ".env.night").write_text("")
    (tmp_path / ".env.night.beat").write_text("POSTGRES_BACKUP_ENABLED=true\nPOSTGRES_BACKUP_HOUR_UTC=23\n")
    for arguments, hour in (
        (["--env-file", str(more)], "05"),
        (["--set", "postgres_backup_hour_utc=7"], "07"),
        (["--env-file", str(more), "--set", "POSTGRES_BACKUP_HOUR_UTC=7"], "07"),
        (["--env", "night"], "23"),
    ):
        rows = printed(environ, "preview", "--from", "2026-11-23", "--job", "backup*", "--format", "csv", *arguments)
        assert f"2026-11-23T{hour}:30" in rows.splitlines()[1]


def test_the_gate_makes_the_difference(environ: dict[str, str]) -> None:
    shown = printed(
        environ, "preview", *TWO_DAYS, "--diff", "dev", "dev", "--set", "TRADING_HOURS_GATE=off", "--json", "--rows"
    )
    document: dict[str, Any] = json.loads(shown)
    jobs = {job["job"]: job for job in document["jobs"]}
    tick = jobs["paper_trading.scheduler_tick"]
    assert (tick["change"], tick["before"]["fires"], tick["after"]["fires"]) == ("changed", 28, 96)
    assert [fact["fact"] for fact in tick["facts"]] == ["trading_hours"]
    assert jobs["maintenance.backup_postgres_full"]["change"] == "same"
    assert {fire["change"] for fire in document["fires"]} == {"moved"}
    assert len(document["fires"]) == 68 + 34


def test_a_difference_for_a_person(environ: dict[str, str], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / ".env.dev").write_text("")
    (other / ".env.dev.beat").write_text("POSTGRES_BACKUP_ENABLED=true\nNOTIFICATIONS_ENABLED=true\n")
    shown = printed(environ, "preview", *TWO_DAYS, "--diff", "dev", f"{other}/", "--rows", "--limit", "2")
    assert "jobs: 1 added, 2 removed, 1 same" in shown
    lines = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if "." in line.split(" ")[0]}
    assert lines["notifications.dispatch_pending"][:2] == ["added", "-"]
    assert "11,520 added, 144 removed, 0 moved" in shown
    assert "... and 11,662 more" in shown


def test_nothing_is_on(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env.dev.beat").write_text("NOTIFICATIONS_ENABLED=true\n")
    done = subprocess.run(
        [sys.executable, "-m", "apps.cli.main", "preview", "--queue", "maintenance"],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "0 jobs" in done.stdout
    assert "POSTGRES_BACKUP_ENABLED: maintenance.backup_postgres_full" in done.stderr
    assert "NOTIFICATIONS_ENABLED" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "POSTGRES_BACKUP_HOUR_UTC=24"], "POSTGRES_BACKUP_HOUR_UTC in the command line"),
        (["--set", "TRADING_HOURS_MARKETS=XXXX"], "TRADING_HOURS_MARKETS in the command line: there is no calendar"),
        (
            ["--set", 'PAPER_TRADING_SCHEDULER_TICK_POLICY={"trading_hours_markets": ["XXXX"]}'],
            "PAPER_TRADING_SCHEDULER_TICK_POLICY in the command line: there is no calendar",
        ),
        (["--env", "nowhere"], "nowhere"),
        (["--job", "nobody"], "maintenance.backup_postgres_full"),
        (["--queue", "nowhere"], "paper_trading"),
        (["--rows"], "--diff"),
        (["--diff", "dev", "dev", "--format", "ics"], "json"),
        (["--output", "a-file"], "redirect"),
    ],
)
def test_wrong_use_is_said_in_a_line_and_ends_with_2(environ: dict[str, str], arguments: list[str], said: str) -> None:
    shown = printed(environ, "preview", *arguments, code=2)
    assert said in " ".join(shown.replace("│", " ").split())


def _ms(text: str) -> int:
    return to_instant(datetime.fromisoformat(text))
