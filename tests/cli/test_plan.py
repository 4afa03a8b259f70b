"""`minsy plan`: what it proposes holds in a preview with the proposed settings; what it reads, prints and refuses."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection

from packages.infra.ledger.redis_ledger import RedisLedger
from packages.infra.queue.broker_redis import broker_redis
from packages.infra.queue.last_runs import LastRun
from packages.infra.queue.work_buckets import SEPARATOR, Bucket
from packages.scheduling.decision import SCHEDULE, Decision, Reason, Verdict
from packages.scheduling.instants import HOUR_MS, to_instant
from packages.shared_settings.layers import ROOT
from tests.cli.command_line import printed

BACKUP = "maintenance.backup_postgres_full"
EXPORT = "maintenance.export_user_emails_csv"
CLEANUP = "maintenance.fail_stale_backtest_jobs"
A_WEEK = ("--from", "2026-11-23", "--to", "2026-11-30")
SECONDS = {BACKUP: 40, EXPORT: 50, CLEANUP: 20}
GIVEN = tuple(part for job, seconds in SECONDS.items() for part in ("--seconds", f"{job}={seconds}"))


@pytest.fixture(scope="module")
def calendars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A var directory in which the calendars are compiled once for all tests."""
    return tmp_path_factory.mktemp("var")


@pytest.fixture
def environ(tmp_path: Path, calendars: Path) -> dict[str, str]:
    (tmp_path / ".env.dev.beat").write_text(
        "POSTGRES_BACKUP_ENABLED=true\nUSER_EMAIL_CSV_EXPORT_ENABLED=true\nBACKTEST_STALE_JOB_CLEANUP_ENABLED=true\n"
        'MAINTENANCE_FAIL_STALE_BACKTEST_JOBS_POLICY={"spread": true, "jitter_seconds": 5}\n'
        'MAINTENANCE_EXPORT_USER_EMAILS_CSV_POLICY={"overlap": "buffer_one"}\n'
    )
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    return {**kept, "LANG": "C.UTF-8", "MINSY_ENV_DIR": str(tmp_path), "MINSY_VAR_DIR": str(calendars)}


def planned(environ: dict[str, str], *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(printed(environ, "plan", *arguments, "--json"))
    return document


def sets(document: dict[str, Any]) -> list[str]:
    return [part for name, value in document["settings"].items() for part in ("--set", f"{name}={value}")]


def peak_by_hand(rows: Sequence[dict[str, Any]], start: datetime, minutes: int) -> float:
    """The most seconds of work in a minute of a week that comes round again, second by second."""
    work: dict[int, float] = defaultdict(float)
    for row in rows:
        if row["decision"] == "fire":
            begins = (datetime.fromisoformat(row["at"]) - start) // timedelta(milliseconds=1)
            for tenth in range(SECONDS[row["job"]] * 10):
                work[(begins + tenth * 100) // 60_000 % minutes] += 0.1
    return max(work.values())


def test_a_preview_with_the_proposed_settings_has_the_promised_peak(environ: dict[str, str]) -> None:
    document = planned(environ, *A_WEEK, *GIVEN)
    [queue] = document["queues"]
    assert queue["peak_after"]["seconds"] <= 0.95 * queue["peak_before"]["seconds"]
    assert document["settings"].keys() >= {
        move["job"].replace(".", "_").upper() + "_POLICY" for move in document["moves"]
    } - {f"{BACKUP.replace('.', '_').upper()}_POLICY"}
    start = datetime(2026, 11, 23, tzinfo=UTC)
    for given, promised in (([], queue["peak_before"]), (sets(document), queue["peak_after"])):
        rows = json.loads(printed(environ, "preview", *A_WEEK, *given, "--json"))["rows"]
        # Work is counted here in tenths of a second, and instants are in milliseconds.
        assert peak_by_hand(rows, start, 7 * 1440) == pytest.approx(promised["seconds"], abs=0.35)
    assert planned(environ, *A_WEEK, *GIVEN, *sets(document))["queues"][0]["peak_before"] == queue["peak_after"]


def test_what_is_printed_is_accepted_as_an_env_file(environ: dict[str, str], tmp_path: Path) -> None:
    shown = printed(environ, "plan", *A_WEEK, *GIVEN)
    lines = [line for line in shown.splitlines() if "=" in line and line.split("=")[0].isupper()]
    document = planned(environ, *A_WEEK, *GIVEN)
    assert lines == [f"{name}={value}" for name, value in document["settings"].items()]
    more = tmp_path / "more"
    more.write_text("\n".join(lines))
    after = planned(environ, *A_WEEK, *GIVEN, "--env-file", str(more))
    assert after["queues"][0]["peak_before"] == document["queues"][0]["peak_after"]
    # What was overridden before stays; the shifted grid takes the place of the spread one.
    for name, value in document["settings"].items():
        if name.startswith("MAINTENANCE_EXPORT"):
            assert json.loads(value)["overlap"] == "buffer_one"
        if name.startswith("MAINTENANCE_FAIL"):
            assert json.loads(value).keys() == {"jitter_seconds", "phase_seconds"}
    assert "peak before" in shown
    assert "heaviest at" in shown
    assert f"{EXPORT} 50 s" in shown


def test_nothing_is_proposed_where_nothing_is_gained(environ: dict[str, str]) -> None:
    for arguments in (["--gain", "100"], ["--keep", "*"], ["--seconds", "*=0.001", "--gain", "60"]):
        document = planned(environ, *A_WEEK, *GIVEN, *arguments)
        assert (document["settings"], document["moves"]) == ({}, [])
        assert document["queues"][0]["peak_before"] == document["queues"][0]["peak_after"]
    assert "Nothing to move" in printed(environ, "plan", *A_WEEK, "--keep", "*")


def test_a_backup_in_the_session_is_moved_out_of_it(environ: dict[str, str]) -> None:
    at_noon = ("--set", "POSTGRES_BACKUP_HOUR_UTC=16", "--keep", "export*", "--keep", "fail*", "--gain", "90")
    document = planned(environ, *A_WEEK, *at_noon)
    assert [move["job"] for move in document["moves"]] == [BACKUP]
    hour = int(document["settings"]["POSTGRES_BACKUP_HOUR_UTC"])
    # From 13:30 in summer and to 21:00 in winter, and an hour on either side.
    assert not 12 < hour < 22
    assert any("kept from" in note and BACKUP in note for note in document["notes"])
    allowed = planned(environ, *A_WEEK, *at_noon, "--within", "15:00-18:00", "--away", "0s")
    assert allowed["moves"] == []


def test_a_job_may_be_given_a_window(environ: dict[str, str]) -> None:
    document = planned(
        environ, *A_WEEK, "--off-peak", EXPORT, "--off-peak-hours", "6", "--gain", "0", "--keep", BACKUP,
        "--keep", CLEANUP, "--seconds", f"{EXPORT}=59", "--set", "MAINTENANCE_BACKUP_POSTGRES_FULL_POLICY={}",
        "--seconds", f"{BACKUP}=7200",
    )  # fmt: skip
    policy = json.loads(document["settings"]["MAINTENANCE_EXPORT_USER_EMAILS_CSV_POLICY"])
    assert policy["windows"].endswith("outside XNYS")
    [runs] = [job for job in document["jobs"] if job["job"] == EXPORT]
    assert runs["runs_after"] < runs["runs_before"]
    assert document["queues"][0]["peak_after"]["seconds"] < document["queues"][0]["peak_before"]["seconds"]


def test_without_a_server_it_says_so_and_takes_a_second(environ: dict[str, str], calendars: Path) -> None:
    document = planned(environ, *A_WEEK)
    assert {(job["seconds"], job["known_from"]) for job in document["jobs"]} == {(1.0, "default")}
    assert document["notes"][0] == "Nothing measured is known: no broker runs."
    assert not (calendars / "valkey").exists()


def test_what_was_measured_and_published_is_used(environ: dict[str, str], redis_url: str) -> None:
    now = datetime.now(UTC)
    hours = [to_instant(now) // HOUR_MS * HOUR_MS - at * HOUR_MS for at in range(1, 41)]
    decisions = [
        Decision(
            EXPORT, at, at, SCHEDULE, at, *((Verdict.FIRE, Reason.ON_TIME) if even else (Verdict.SKIP, Reason.PAUSED))
        )
        for at, even in zip(hours, [True, False] * 20, strict=True)
    ]
    runs = [
        LastRun(EXPORT, "1", "SUCCESS", now, 12.5, None, "beat"),
        LastRun(CLEANUP, "2", "FAILURE", now, 9.0, None, "beat"),
    ]
    with Connection(redis_url) as connection:
        opened = broker_redis(connection, namespace="minsy")
        assert opened is not None
        RedisLedger(opened).append("1.1", "", decisions)
        for run in runs:
            record = {**run.__dict__, "finished_at": run.finished_at.isoformat()}
            opened.client.hset("minsy:last_runs", run.task, json.dumps(record))
        opened.close()
    given = {**environ, "REDIS_URL": redis_url}
    document = planned(given, "--seconds", f"{BACKUP}=30")
    jobs = {job["job"]: (job["seconds"], job["known_from"], job["published_share"]) for job in document["jobs"]}
    assert jobs == {BACKUP: (30.0, "given", None), EXPORT: (12.5, "last run", 0.5), CLEANUP: (1.0, "default", None)}
    assert document["notes"][0].startswith("Held against the 40 decisions of the last 3 days")
    assert "last run, 50% published" in printed(given, "plan")
    # Other settings are not what beat published by.
    assert all(job["published_share"] is None for job in planned(given, "--set", "LOG_LEVEL=DEBUG")["jobs"])


def test_what_the_workers_counted_comes_before_the_last_run(environ: dict[str, str], redis_url: str) -> None:
    hour = to_instant(datetime.now(UTC)) // HOUR_MS * HOUR_MS
    with redis.Redis.from_url(redis_url) as client:
        for at, ok, failed, run_ms in ((hour, 3, 1, 9_000), (hour - 50 * HOUR_MS, 6, 0, 16_000)):
            for what, count in (("ok", ok), ("failed", failed), ("run_ms", run_ms)):
                field = SEPARATOR.join(("maintenance", EXPORT, "sheddable", what))
                client.hset(f"minsy:{Bucket(HOUR_MS, at).name}", field, count)
        last = {"task": EXPORT, "task_id": "1", "state": "SUCCESS", "finished_at": datetime.now(UTC).isoformat()}
        client.hset("minsy:last_runs", EXPORT, json.dumps({**last, "seconds": 99, "result": None, "origin": "beat"}))
    jobs = {job["job"]: job for job in planned({**environ, "REDIS_URL": redis_url}, *A_WEEK)["jobs"]}
    assert (jobs[EXPORT]["seconds"], jobs[EXPORT]["known_from"]) == (2.5, "10 runs in 3 days")
    assert jobs[CLEANUP]["known_from"] == "default"


# What a machine reads whose clock is so many minutes ahead.
READING = """
import sys
from datetime import UTC, datetime, timedelta
from apps.cli.plan_live import read_readings
from apps.cli.preview_jobs import jobs_of
from apps.cli.preview_settings import WhatIf, settings_of

now = datetime.now(UTC) + timedelta(minutes=int(sys.argv[1]))
readings = read_readings(jobs_of(settings_of(WhatIf(None, None, {}))), now=now, with_ledger=False)
print(*(f"{job}: {measured.known_from}" for job, measured in readings.measured.items()))
"""


@pytest.mark.parametrize("ahead_min", [-150, 0, 150])
def test_what_was_counted_by_the_servers_clock_is_read_by_it(
    environ: dict[str, str], redis_url: str, ahead_min: int
) -> None:
    hour = to_instant(datetime.now(UTC)) // HOUR_MS * HOUR_MS
    with redis.Redis.from_url(redis_url) as client:
        # The last of three days and the first one, neither at the edge of it.
        for at in (hour, hour - 71 * HOUR_MS):
            for what, count in (("ok", 2), ("run_ms", 5_000)):
                field = SEPARATOR.join(("maintenance", EXPORT, "sheddable", what))
                client.hset(f"minsy:{Bucket(HOUR_MS, at).name}", field, count)
    done = subprocess.run(
        [sys.executable, "-c", READING, str(ahead_min)],
        env={**environ, "REDIS_URL": redis_url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{EXPORT}: 4 runs in 3 days\n", "")


def test_a_broker_that_does_not_answer_is_told_without_its_password(environ: dict[str, str]) -> None:
    document = planned({**environ, "REDIS_URL": "redis://:hidden@127.0.0.1:1/0"}, *A_WEEK)
    assert document["notes"][0].startswith("Nothing measured is known: the broker cannot be reached")
    assert "hidden" not in json.dumps(document)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seconds", "backup"], "write it like JOB=30"),
        (["--seconds", "nothing=3"], "no job matches 'nothing'"),
        (["--seconds", f"{BACKUP}=0"], "above 0 and at most 86400 seconds"),
        (["--seconds", f"{BACKUP}=nan"], "above 0 and at most 86400 seconds"),
        (["--slot", "5s"], "a slot is 10s to 1h long"),
        (["--slot", "10s", "--hours", "200"], "more than 50,000 slots"),
        (["--within", "at night"], "at night"),
        (["--within", "outside XXXX"], "no calendar of the market XXXX"),
        (["--queue", "nowhere"], "no job publishes to 'nowhere'"),
        (["--from", "2026-11-24", "--to", "2026-11-23"], "is not after its start"),
        (["--set", "POSTGRES_BACKUP_HOUR=3"], "unknown variable"),
    ],
)
def test_wrong_use_is_refused(environ: dict[str, str], arguments: list[str], said: str) -> None:
    # Typer draws a frame around it, in which words go on below.
    assert said in " ".join(printed(environ, "plan", *arguments, code=2).replace("│", " ").split())


def test_with_no_job_on_it_names_the_flags(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env.dev.beat").write_text("")
    said = printed(environ, "plan", code=1)
    assert "no job is on in dev" in said
    assert "POSTGRES_BACKUP_ENABLED" in said
