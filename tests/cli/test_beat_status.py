"""What `minsy status` says of beat."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from apps.cli.broker_state import trouble_in
from packages.infra.beat.beat_status import BeatStatus, BeatStatusStore
from packages.infra.beat.standing import Standing, Trouble
from packages.infra.beat.trouble import IN_WORDS
from packages.infra.embedded.ports import choose_port
from packages.infra.queue.broker_redis import open_broker_redis
from packages.scheduling.instants import to_datetime, to_instant
from packages.shared_settings.layers import ROOT
from tests.beat.own_valkey import client_of, own_valkey


def run_status(var: Path, redis_url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return subprocess.run(
        [sys.executable, "-m", "apps.cli.main", "status", *arguments],
        env={**kept, "MINSY_ENV_DIR": str(var), "MINSY_VAR_DIR": str(var), "REDIS_URL": redis_url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def status(var: Path, redis_url: str, *arguments: str) -> str:
    done = run_status(var, redis_url, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def said_to(redis_url: str, *said: BeatStatus) -> None:
    redis = open_broker_redis(Celery("minsy", broker=redis_url))
    assert redis is not None
    for status_said in said:
        BeatStatusStore(redis).write(status_said)
    redis.client.set(redis.key("beat:lease"), "host:1:ab:7", px=600_000)
    redis.close()


def lines_of(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_replicas_of_beat_are_shown(tmp_path: Path, redis_url: str) -> None:
    assert json.loads(status(tmp_path, redis_url, "--json"))["beat"] is None
    assert "No beat has said anything for a minute." in lines_of(status(tmp_path, redis_url))
    now = to_instant(datetime.now(UTC).replace(microsecond=0))
    moment = f"{to_datetime(now):%Y-%m-%dT%H:%M:%S}"
    leader = BeatStatus(
        replica="host:1:ab",
        standing=Standing.LEADING,
        term=7,
        since=now,
        last_tick=now,
        jobs=7,
        clock_distance_ms=-3,
        quarantined={"area.job": "ValueError: no idea"},
        put_aside=3,
        days_left={"XNYS": 364, "24/7": 800},
        version="a1",
    )
    follower = BeatStatus("host:2:cd", Standing.NO_BROKER, 0, now, now, 7, trouble=Trouble.READ_ONLY)
    said_to(redis_url, follower, leader)
    shown: dict[str, Any] = json.loads(status(tmp_path, redis_url, "--json"))["beat"]
    lease = shown.pop("lease")
    assert 0 < lease.pop("ends_in_ms") <= 600_000
    assert lease == {"replica": "host:1:ab", "term": 7}
    of_leader = {
        "last_tick": f"{moment}.000Z",
        "jobs": 7,
        "calendar_days_left": {"XNYS": 364, "24/7": 800},
        "quarantined": {"area.job": "ValueError: no idea"},
    }
    replicas = shown.pop("replicas")
    assert shown == of_leader
    assert [(each["replica"], each["standing"], each["trouble"]) for each in replicas] == [
        ("host:1:ab", "leading", None),
        ("host:2:cd", "no_broker", "read_only"),
    ]
    assert replicas[0] == {
        **of_leader,
        "replica": "host:1:ab",
        "standing": "leading",
        "term": 7,
        "since": f"{moment}.000Z",
        "clock_distance_ms": -3,
        "trouble": None,
        "put_aside": 3,
        "version": "a1",
        "holds_lease": True,
    }
    lines = lines_of(status(tmp_path, redis_url))
    for line in (
        f"host:1:ab leading 7 {moment}+00:00 {moment}+00:00 7 -3 ms",
        f"host:2:cd no_broker {moment}+00:00 {moment}+00:00 7 broker: read_only",
        "days left in calendars 24/7 800, XNYS 364",
        "quarantined area.job ValueError: no idea",
        "quarantined and 2 more",
    ):
        assert line in lines
    assert any(line.startswith("host:1:ab holds the lease (term 7; it ends in ") for line in lines)


def test_a_leader_that_is_dead_is_not_shown_as_one_that_leads(tmp_path: Path, redis_url: str) -> None:
    now = to_instant(datetime.now(UTC).replace(microsecond=0))
    dead = BeatStatus("host:0:aa", Standing.LEADING, 6, now - 20_000, now - 9_000, 5)
    leader = BeatStatus("host:1:ab", Standing.LEADING, 7, now, now, 7)
    said_to(redis_url, dead, leader)
    shown: dict[str, Any] = json.loads(status(tmp_path, redis_url, "--json"))["beat"]
    assert shown["jobs"] == leader.jobs
    assert [(each["replica"], each["holds_lease"]) for each in shown["replicas"]] == [
        ("host:1:ab", True),
        ("host:0:aa", False),
    ]
    stands = [line.partition(" 20")[0] for line in lines_of(status(tmp_path, redis_url)) if line.startswith("host:")]
    assert stands[:2] == ["host:1:ab leading 7", "host:0:aa was leading 6"]


def test_a_broker_that_takes_nothing_is_shown_for_what_it_is(tmp_path: Path) -> None:
    with own_valkey("--maxmemory", "1", "--maxmemory-policy", "noeviction") as port:
        url = f"redis://127.0.0.1:{port}/0"
        assert json.loads(status(tmp_path, url, "--json"))["broker"] == {"trouble": "full"}
        words = "The broker is full and takes nothing more until there is room (see its maxmemory)."
        assert words in lines_of(status(tmp_path, url))
        with client_of(port) as client:
            client.config_set("maxmemory", "0")
            assert json.loads(status(tmp_path, url, "--json"))["broker"] == {"trouble": None}
            client.replicaof("127.0.0.1", "1")
        assert json.loads(status(tmp_path, url, "--json"))["broker"] == {"trouble": "read_only"}


@pytest.mark.parametrize(
    ("options", "words"), [(("--requirepass", "x"), Trouble.AUTHENTICATION), (None, Trouble.UNREACHABLE)]
)
def test_a_broker_that_cannot_be_asked_is_told_in_words(
    tmp_path: Path, options: tuple[str, ...] | None, words: Trouble
) -> None:
    def told(port: int) -> None:
        done = run_status(tmp_path, f"redis://:wrong@127.0.0.1:{port}/0")
        assert done.returncode == 1
        assert done.stderr.startswith(f"Error: the broker at redis://:***@127.0.0.1:{port}/0 cannot be used: ")
        assert IN_WORDS[words] in done.stderr
        assert "wrong" not in done.stderr

    if options is None:
        told(choose_port(None))
    else:
        with own_valkey(*options) as port:
            told(port)


@pytest.mark.parametrize(
    ("info", "trouble"),
    [
        ({}, None),
        ({"role": "master", "loading": 0, "maxmemory": 0, "used_memory": 5}, None),
        ({"loading": 1, "role": "slave"}, "loading"),
        ({"role": "slave", "slave_read_only": 1}, "read_only"),
        ({"role": "slave", "slave_read_only": 0}, None),
        ({"maxmemory": 5, "used_memory": 5, "maxmemory_policy": "noeviction"}, "full"),
        ({"maxmemory": 5, "used_memory": 5, "maxmemory_policy": "allkeys-lru"}, None),
        ({"maxmemory": 6, "used_memory": 5, "maxmemory_policy": "noeviction"}, None),
    ],
)
def test_info_tells_the_trouble(info: dict[str, Any], trouble: str | None) -> None:
    assert trouble_in(info) == trouble
