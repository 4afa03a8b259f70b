"""What an operator can say to a running beat: the commands, what they print, and what beat then reads."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from packages.scheduling.instants import HOUR_MS
from packages.scheduling.requests import BackfillRequest, TriggerRequest
from packages.scheduling.snapshot import PauseScope
from tests.cli.command_line import Minsy, minsy_in, said

BACKUP = "maintenance.backup_postgres_full"


@pytest.fixture
def minsy(tmp_path: Path) -> Minsy:
    return minsy_in(tmp_path)


def test_a_job_is_paused_shown_and_resumed(minsy: Minsy, redis_url: str) -> None:
    assert minsy("pauses", REDIS_URL=redis_url).stdout == "Nothing is paused.\n"
    done = minsy("pause", "backup_postgres_full", "--for", "2h", "--note", "the disk is full", REDIS_URL=redis_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f": job {BACKUP}\n")
    [pause] = said(redis_url).pauses
    assert (pause.scope, pause.target, pause.note) == (PauseScope.JOB, BACKUP, "the disk is full")
    assert pause.until is not None
    assert pause.until - pause.since == 2 * HOUR_MS
    shown = minsy("pauses", REDIS_URL=redis_url).stdout
    assert f"job {BACKUP}" in shown
    assert "the disk is full" in shown
    status = minsy("status", REDIS_URL=redis_url)
    [line] = [line for line in status.stdout.splitlines() if line.startswith(f"job {BACKUP}")]
    assert "the disk is full" in line
    assert minsy("resume", BACKUP, REDIS_URL=redis_url).stdout == f"resumed: job {BACKUP}\n"
    assert said(redis_url).pauses == ()


def test_every_scope_is_paused_by_its_own_name(minsy: Minsy, redis_url: str) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    for arguments in (
        ["--queue", "maintenance"],
        ["--criticality", "sheddable", "--until", until.isoformat()],
        ["--all"],
    ):
        assert minsy("pause", *arguments, REDIS_URL=redis_url).returncode == 0
    shown = json.loads(minsy("pauses", "--json", REDIS_URL=redis_url).stdout)
    assert [(row["scope"], row["target"]) for row in shown] == [
        ("all", ""),
        ("criticality", "sheddable"),
        ("queue", "maintenance"),
    ]
    assert [row["until"] for row in shown] == [None, until.isoformat().replace("+00:00", ".000Z"), None]
    done = minsy("resume", "--all", REDIS_URL=redis_url).stdout
    assert done.startswith("resumed: everything\nstill paused:\n")
    assert "queue maintenance" in done
    left = json.loads(minsy("resume", "--all", "--json", REDIS_URL=redis_url).stdout)
    assert (left["resumed"], len(left["still_paused"])) == (False, 2)
    assert len(json.loads(minsy("status", "--json", REDIS_URL=redis_url).stdout)["pauses"]) == 2


def test_a_run_is_asked_for(minsy: Minsy, redis_url: str) -> None:
    done = json.loads(minsy("trigger", "expire_pending", "--force", "--json", REDIS_URL=redis_url).stdout)
    [request] = said(redis_url).requests
    assert isinstance(request, TriggerRequest)
    assert (request.id, request.job, request.forced) == (done["request"], "trade_approval.expire_pending", True)
    # The next one is another one, and told of after it.
    on = minsy("trigger", "expire_pending", REDIS_URL=redis_url, TRADING_APPROVAL_ENABLED="true")
    assert (on.returncode, on.stderr) == (0, "")
    assert [said.forced for said in said(redis_url).requests if isinstance(said, TriggerRequest)] == [True, False]


def test_a_job_whose_flag_is_off_is_asked_for_with_a_warning(minsy: Minsy, redis_url: str) -> None:
    done = minsy("trigger", BACKUP, REDIS_URL=redis_url, POSTGRES_BACKUP_ENABLED="false")
    assert done.returncode == 0
    assert "POSTGRES_BACKUP_ENABLED is false" in done.stderr


def test_a_past_range_is_published_again(minsy: Minsy, redis_url: str) -> None:
    range_ = ["--from", "2026-01-05T00:00:00Z", "--to", "2026-01-08T01:00:00+01:00"]
    variables = {"REDIS_URL": redis_url, "POSTGRES_BACKUP_ENABLED": "true", "POSTGRES_BACKUP_HOUR_UTC": "0"}
    unasked = minsy("backfill", BACKUP, *range_, **variables, POSTGRES_BACKUP_MINUTE_UTC="0")
    assert unasked.returncode == 1
    assert f"Publish 3 fires of {BACKUP} over 1m?" in unasked.stderr
    assert said(redis_url).requests == ()
    done = minsy("backfill", BACKUP, *range_, "--every", "1h", "--yes", **variables, POSTGRES_BACKUP_MINUTE_UTC="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"asked for 3 fires of {BACKUP} over 2h" in done.stdout
    [request] = said(redis_url).requests
    assert isinstance(request, BackfillRequest)
    # Midnight of the 5th is in it, that of the 8th is not.
    assert (request.start, request.end) == (1_767_571_200_000, 1_767_830_400_000 - 1)
    assert request.every_ms == HOUR_MS


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["pause"], 2, "name one of"),
        (["pause", BACKUP, "--all"], 2, "name one of"),
        (["pause", "no.such_job"], 2, "market_data.refresh_active_subscriptions"),
        (["pause", "--queue", "no_such_queue"], 2, "paper_trading"),
        (["pause", "--all", "--for", "2 hours"], 2, "1d12h"),
        (["pause", "--all", "--until", "2020-01-01T00:00:00Z"], 2, "cannot end at 2020-01-01"),
        (["pause", "--all", "--for", "1h", "--until", "2100-01-01T00:00:00Z"], 2, "not both"),
        (["trigger", "no.such_job"], 2, BACKUP),
        (["backfill", BACKUP, "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-02T00:00:00Z"], 2, "range is empty"),
        (["backfill", BACKUP, "--from", "2026-01-02T00:00:00Z", "--to", "2100-01-02T00:00:00Z"], 2, "in the future"),
        (["backfill", BACKUP, "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-02T00:00:01Z"], 1, "names no instant"),
        (
            ["backfill", "expire_pending", "--from", "1999-01-02T00:00:00Z", "--to", "2026-01-02T00:00:00Z"],
            1,
            "more than 100000 fires",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(
    minsy: Minsy, arguments: list[str], code: int, text: str
) -> None:
    # Nothing is reached, so nothing can have been said.
    done = minsy(*arguments, REDIS_URL="redis://:hunter2@127.0.0.1:1/0", POSTGRES_BACKUP_HOUR_UTC="12")
    assert done.returncode == code, done.stderr
    assert text in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_a_broker_that_is_away_or_is_no_redis_is_one_line(minsy: Minsy) -> None:
    away = minsy("pause", "--all", REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert (away.returncode, away.stderr.count("\n")) == (1, 1)
    assert away.stderr.startswith("Error: the broker at redis://:***@127.0.0.1:1/0 cannot be used")
    other = minsy("pause", "--all", CELERY_BROKER_URL="amqp://u:hunter2@127.0.0.1:1//", CELERY_RESULT_BACKEND="rpc://")
    assert (other.returncode, other.stderr.count("\n")) == (1, 1)
    assert "BEAT_STATE_URL is not set" in other.stderr
    assert "hunter2" not in away.stderr + other.stderr


def test_a_pause_is_kept_by_an_embedded_server_that_ran_for_it_alone(minsy: Minsy) -> None:
    assert minsy("pause", "--all", "--note", "a holiday").returncode == 0
    assert "a holiday" in minsy("pauses").stdout
    assert minsy("services", "status").returncode == 3
    assert minsy("services", "delete-data", "--yes").returncode == 0


@pytest.mark.parametrize("command", ["pause", "resume", "pauses", "trigger", "backfill"])
def test_help_reads(minsy: Minsy, command: str) -> None:
    done = minsy(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: minsy {command} [OPTIONS]" in done.stdout
