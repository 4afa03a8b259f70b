"""`minsy ledger`: the last decisions, as a table and as JSON, of one job and of all."""

import json
from pathlib import Path

import pytest
from kombu import Connection

from packages.infra.ledger.redis_ledger import RedisLedger
from packages.infra.queue.broker_redis import broker_redis
from packages.scheduling.decision import Decision, Opinion, Reason, Verdict
from tests.cli.command_line import Minsy, minsy_in

NOON = 1_795_348_800_000
TICK = "paper_trading.scheduler_tick"
FIRED = Decision(TICK, NOON, NOON + 250, "schedule", NOON + 250, Verdict.FIRE, Reason.ON_TIME)
HELD = Opinion("trading_hours", Verdict.SKIP, Reason.MARKET_CLOSED, facts=(("XNYS", "closed"),))
SKIPPED = Decision(
    TICK, NOON + 5_000, NOON + 5_000, "schedule", NOON + 5_000, Verdict.SKIP, Reason.MARKET_CLOSED, opinions=(HELD,)
)
REMOVED = Decision("old.job", NOON, NOON, "trigger:7", NOON + 9_000, Verdict.FIRE, Reason.REQUESTED)


@pytest.fixture
def minsy(tmp_path: Path) -> Minsy:
    return minsy_in(tmp_path)


def record(url: str, *decisions: Decision) -> None:
    with Connection(url) as connection:
        redis = broker_redis(connection, namespace="minsy")
        assert redis is not None
        RedisLedger(redis).append("1.1", "", decisions)
        redis.close()


def test_the_last_decisions_are_shown_newest_first(minsy: Minsy, redis_url: str) -> None:
    assert minsy("ledger", REDIS_URL=redis_url).stdout == "The ledger has no decision.\n"
    record(redis_url, FIRED, SKIPPED, REMOVED)
    done = minsy("ledger", REDIS_URL=redis_url)
    assert (done.returncode, done.stderr) == (0, "")
    heading, *rows = (line.split() for line in done.stdout.splitlines())
    assert heading == ["at", "job", "nominal", "origin", "decision", "reason"]
    assert rows == [
        ["2026-11-22T12:00:09Z", "old.job", "2026-11-22T12:00:00Z", "trigger:7", "fire", "requested"],
        [
            "2026-11-22T12:00:05Z",
            TICK,
            "2026-11-22T12:00:05Z",
            "schedule",
            "skip",
            "market_closed",
            "XNYS",
            "closed",
        ],
        ["2026-11-22T12:00:00.250Z", TICK, "2026-11-22T12:00:00Z", "schedule", "fire", "on_time"],
    ]


def test_those_of_one_job_and_no_more_than_asked_for(minsy: Minsy, redis_url: str) -> None:
    record(redis_url, FIRED, SKIPPED, REMOVED)
    done = minsy("ledger", "--job", "scheduler_tick", "--last", "1", "--json", REDIS_URL=redis_url)
    assert json.loads(done.stdout) == [
        {
            "job": TICK,
            "at": "2026-11-22T12:00:05Z",
            "nominal": "2026-11-22T12:00:05Z",
            "planned": "2026-11-22T12:00:05Z",
            "origin": "schedule",
            "decision": "skip",
            "reason": "market_closed",
            "until": None,
            "detail": "market_closed XNYS closed",
        }
    ]
    # The ledger remembers a job that the catalogue no longer has.
    assert len(json.loads(minsy("ledger", "--job", "old.job", "--json", REDIS_URL=redis_url).stdout)) == 1
    assert minsy("ledger", "--job", "nobody", REDIS_URL=redis_url).stdout == "The ledger has no decision on nobody.\n"


def test_a_broker_that_is_away_is_one_line(minsy: Minsy) -> None:
    done = minsy("ledger", REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: the broker at ")
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr


def test_without_a_named_broker_the_embedded_one_is_asked(minsy: Minsy) -> None:
    done = minsy("ledger", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
