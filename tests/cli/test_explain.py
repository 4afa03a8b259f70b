"""`minsy explain`: why a job runs or does not, what would change it, and what the broker adds when there is one."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from apps.cli.explain_remedies import flag_line, remedies_of
from packages.catalogue.jobs import JOBS
from packages.infra.beat.redis_state import RedisStateStore
from packages.infra.control.redis_control import RedisControl
from packages.infra.ledger.redis_ledger import RedisLedger
from packages.infra.queue.active_markets import ActiveMarketsStore
from packages.infra.queue.broker_redis import broker_redis
from packages.scheduling.decision import Decision, Fact, Opinion, Reason, Verdict
from packages.scheduling.instants import to_instant
from packages.scheduling.snapshot import Pause, PauseScope
from packages.scheduling.state import JobState
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.layers import ROOT
from packages.shared_settings.policies import PolicyOverrides

TICK = "paper_trading.scheduler_tick"
# A Sunday; New York opens on Monday at 14:30 UTC.
SUNDAY = "2026-11-22T12:00:00Z"
OPENS = "2026-11-23T14:25:00Z"


@pytest.fixture(scope="module")
def calendars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A var directory in which the calendars are compiled once for all tests."""
    return tmp_path_factory.mktemp("var")


@pytest.fixture
def environ(tmp_path: Path, calendars: Path) -> dict[str, str]:
    (tmp_path / ".env.dev.beat").write_text("PAPER_TRADING_ENABLED=true\n")
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    return {**kept, "LANG": "C.UTF-8", "MINSY_ENV_DIR": str(tmp_path), "MINSY_VAR_DIR": str(calendars)}


def minsy(environ: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "apps.cli.main", *arguments],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_closed_market_is_told_with_its_end_and_what_would_change_it(environ: dict[str, str]) -> None:
    shown = minsy(environ, "explain", "scheduler_tick", "--at", SUNDAY)
    assert f"{TICK} in dev: on" in shown
    assert f"A fire at {SUNDAY} would be: skip, market_closed XNYS closed until {OPENS}" in shown
    assert f"It is held back by trading_hours. That ends by itself at {OPENS}." in shown
    for remedy in (f"minsy trigger {TICK}", "TRADING_HOURS_GATE=observe", "TRADING_HOURS_MARKETS=XNYS,24/7"):
        assert f"\n    {remedy}\n" in shown
    assert "Next fire, as things stand: 2026-11-23T14:25:0" in shown
    assert "Live readings are absent: no broker runs." in shown


def test_the_remedies_help(environ: dict[str, str]) -> None:
    document: dict[str, Any] = json.loads(minsy(environ, "explain", TICK, "--at", SUNDAY, "--json"))
    [opinion] = document["opinions"]
    assert (opinion["gate"], opinion["verdict"], opinion["until"]) == ("trading_hours", "skip", OPENS)
    settings = [remedy for remedy in opinion["to_change_it"] if not remedy.startswith("minsy ")]
    assert len(settings) == 3
    for remedy in settings:
        variable, _, value = remedy.partition("=")
        changed = minsy(
            environ, "explain", TICK, "--at", SUNDAY, "--json", "--set", f"{variable}={value.strip(chr(39))}"
        )
        assert json.loads(changed)["decision"]["decision"] == "fire"


def test_what_only_observes_is_told_and_needs_no_change(environ: dict[str, str]) -> None:
    shown = minsy(environ, "explain", TICK, "--at", SUNDAY, "--set", "TRADING_HOURS_GATE=observe")
    assert "would be: fire, on_time; observe: would have been held back: market_closed" in shown
    assert "The gate trading_hours only observes." in shown
    assert "To change it" not in shown


def test_a_job_that_is_off_says_which_flag_turns_it_on(environ: dict[str, str]) -> None:
    shown = minsy(environ, "explain", "backup_postgres_full", "--at", SUNDAY, "--zone", "Europe/Berlin")
    assert "off: POSTGRES_BACKUP_ENABLED is false. To turn it on: POSTGRES_BACKUP_ENABLED=true" in shown
    assert "would, if it were on, be: fire" in shown
    assert "Next fire, as things stand: 2026-11-23T02:30:" in shown
    assert "(2026-11-23 03:30:" in shown


def test_the_brokers_readings_are_in_it(environ: dict[str, str], redis_url: str) -> None:
    with Connection(redis_url) as connection:
        redis = broker_redis(connection, namespace="minsy")
        assert redis is not None
        RedisControl(redis).pause(Pause(PauseScope.QUEUE, "paper_trading", 1_000, None, "a release"))
        watermark = 1_795_348_800_000
        trigger = IntervalTrigger(60_000).describe()
        RedisStateStore(redis).save({TICK: JobState(watermark=watermark, trigger=trigger)})
        fired = Decision(TICK, watermark, watermark, "schedule", watermark, Verdict.FIRE, Reason.ON_TIME)
        RedisLedger(redis).append("1.1", "", [fired])
        redis.close()
    given = {**environ, "REDIS_URL": redis_url}
    shown = minsy(given, "explain", TICK)
    assert "would be: skip, paused scope queue" in shown
    assert "note a release" in shown
    assert "It is held back by pause. That does not end by itself. To change it, any of:\n" in shown
    assert "\n    minsy resume --queue paper_trading\n" in shown
    document: dict[str, Any] = json.loads(minsy(given, "explain", TICK, "--json"))
    live = document["live"]
    assert (live["absent"], live["pauses"], live["running"]) == (None, True, False)
    assert live["settled_until"] == live["recent"][0]["nominal"] == "2026-11-22T12:00:00Z"
    assert document["next_fire"] is None
    # Another environment's broker is not this one.
    what_if: dict[str, Any] = json.loads(minsy(given, "explain", TICK, "--json", "--set", "LOG_LEVEL=INFO"))
    assert what_if["live"]["absent"] is not None


def test_a_market_that_only_the_broker_names_has_its_calendar(environ: dict[str, str], redis_url: str) -> None:
    with Connection(redis_url) as connection:
        redis = broker_redis(connection, namespace="minsy")
        assert redis is not None
        # As beat does it: the misspelt one opens no gate.
        ActiveMarketsStore(redis).write(frozenset({"XNAS", "XNYSE"}), to_instant(datetime.now(UTC)))
        redis.close()
    shown = minsy({**environ, "REDIS_URL": redis_url}, "explain", TICK, "--at", SUNDAY)
    closed = f"XNAS closed until {OPENS}, XNYS closed until {OPENS}"
    assert f"A fire at {SUNDAY} would be: skip, market_closed {closed}" in shown


def test_a_broker_that_is_away_is_an_absent_reading(environ: dict[str, str]) -> None:
    given = {**environ, "REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"}
    shown = minsy(given, "explain", TICK, "--at", SUNDAY)
    assert "Live readings are absent: the broker cannot be reached" in shown
    assert "hunter2" not in shown


DEFINITION = next(job for job in JOBS if job.name == TICK)
OWN = "PAPER_TRADING_SCHEDULER_TICK_POLICY="


def an_opinion(gate: str, reason: Reason, *facts: Fact) -> Opinion:
    return Opinion(gate, Verdict.SKIP, reason, facts=facts)


@pytest.mark.parametrize(
    ("opinion", "remedies"),
    [
        (
            an_opinion("pause", Reason.PAUSED, ("scope", "job"), ("target", TICK), ("since", 1)),
            [f"minsy resume {TICK}"],
        ),
        (an_opinion("pause", Reason.PAUSED, ("scope", "all"), ("since", 1)), ["minsy resume --all"]),
        (
            an_opinion("pause", Reason.PAUSED, ("scope", "criticality"), ("target", "critical")),
            ["minsy resume --criticality critical"],
        ),
        (
            an_opinion("overlap", Reason.STILL_RUNNING, ("runs", 1)),
            [f"minsy trigger {TICK} --force", f'{OWN}\'{{"jitter_seconds": 2.0, "overlap": "allow"}}\''],
        ),
        (
            an_opinion("windows", Reason.OUTSIDE_WINDOW),
            [
                f"minsy trigger {TICK}",
                f'{OWN}\'{{"jitter_seconds": 2.0, "windows_gate": "observe"}}\'',
                f'{OWN}\'{{"jitter_seconds": 2.0, "windows": "..."}}\'',
            ],
        ),
        (
            an_opinion("trading_hours", Reason.MARKET_UNKNOWN),
            [
                f"minsy trigger {TICK}",
                f'{OWN}\'{{"jitter_seconds": 2.0, "trading_hours": "observe"}}\'',
                "TRADING_HOURS_GATE=observe",
                f'{OWN}\'{{"jitter_seconds": 2.0, "unknown_dates": "fail_open"}}\'',
                "TRADING_HOURS_MARKETS=XNYS,24/7",
            ],
        ),
    ],
)
def test_each_objection_has_its_remedies_and_keeps_what_is_set(opinion: Opinion, remedies: list[str]) -> None:
    settings = BeatSettings(paper_trading_scheduler_tick_policy=PolicyOverrides(jitter_seconds=2))
    assert list(remedies_of(opinion, DEFINITION, settings)) == remedies


def test_a_job_with_words_of_its_own_is_not_helped_by_the_words_for_all() -> None:
    own = PolicyOverrides(trading_hours="enforce", trading_hours_markets=("XLON",))
    settings = BeatSettings(paper_trading_scheduler_tick_policy=own)
    remedies = remedies_of(an_opinion("trading_hours", Reason.MARKET_CLOSED), DEFINITION, settings)
    assert [remedy.partition("=")[0] for remedy in remedies] == [f"minsy trigger {TICK}", OWN.removesuffix("=")]


def test_the_flag_is_a_line_of_an_env_file() -> None:
    assert flag_line(DEFINITION) == "PAPER_TRADING_ENABLED=true"
