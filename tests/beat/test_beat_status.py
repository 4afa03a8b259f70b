"""What the replicas of beat say of themselves: written now and then, and read as it was written."""

import json
import logging
from array import array
from collections.abc import Sequence
from datetime import timedelta

import pytest
import redis
from celery.schedules import BaseSchedule, schedstate

from packages.infra.beat.beat_status import (
    LONGEST_TOLD,
    MOST_TOLD,
    SILENT_AFTER,
    WRITTEN_EVERY,
    BeatStatus,
    BeatStatusStore,
    Replicas,
    _text_of,
)
from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.beat.readings import NoReadings
from packages.infra.beat.standing import Standing, Trouble
from packages.infra.beat.state_store import MemoryStateStore
from packages.infra.beat.wiring import opened_with
from packages.infra.ledger.ledger import MemoryLedger
from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.instants import DAY_MS, HOUR_MS, to_instant, to_ms
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode, Policies, TradingHours
from packages.scheduling.requests import Request
from packages.scheduling.sessions import SessionTable
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.stepped import NOON, Clock, Recorder, make_app, recorder, run_until

NOW = to_instant(NOON)


def redis_at(url: str) -> BrokerRedis:
    return BrokerRedis(redis.Redis.from_url(url), "app", channel=None)


def server_now(url: str) -> int:
    seconds, microseconds = redis_at(url).client.time()
    return int(seconds * 1_000 + microseconds // 1_000)


def status_of(replica: str, now: int) -> BeatStatus:
    return BeatStatus(
        replica=replica,
        standing=Standing.FOLLOWING,
        term=3,
        since=now - 1_000,
        last_tick=now,
        jobs=3,
        clock_distance_ms=-12,
        trouble=Trouble.FULL,
        quarantined={"job": "ValueError: no"},
        put_aside=1,
        days_left={"XNYS": 364},
        version="a1",
        control={"backlog": GateMode.ENFORCE, "slo": GateMode.OBSERVE},
        owed={("q", Criticality.SHEDDABLE): 3},
    )


def test_each_replica_is_read_as_it_was_written_and_the_leader_first(redis_url: str) -> None:
    store = BeatStatusStore(redis_at(redis_url))
    assert store.read() == Replicas()
    now = server_now(redis_url)
    second = status_of("a:1", now)._replace(clock_distance_ms=None, trouble=None, quarantined={}, put_aside=0)
    leader = status_of("b:2", now)._replace(standing=Standing.LEADING)
    store.write(leader._replace(jobs=99))
    store.write(second)
    store.write(leader)
    assert store.read() == Replicas(None, (leader, second))
    # One that died as the leader has said so last.
    redis_at(redis_url).client.set("app:beat:lease", "a:1:4")
    assert store.read().living == (second, leader)


@pytest.mark.parametrize(
    ("held", "holder"),
    [("host:12:ab:7", ("host:12:ab", 7)), ("somebody", None), (":7", None), ("x:y", None), (b"\xff:2", ("\ufffd", 2))],
)
def test_it_is_known_who_holds_the_lease(redis_url: str, held: str | bytes, holder: tuple[str, int] | None) -> None:
    broker = redis_at(redis_url)
    broker.client.set("app:beat:lease", held, px=60_000)
    found = BeatStatusStore(broker).read().holder
    assert (None if found is None else (found.replica, found.term)) == holder
    assert found is None or 0 < found.ends_in_ms <= 60_000


def test_whoever_says_nothing_for_a_minute_is_no_more(redis_url: str) -> None:
    broker = redis_at(redis_url)
    store, now = BeatStatusStore(broker), server_now(redis_url)
    gone = status_of("gone", now)._replace(last_tick=now - to_ms(SILENT_AFTER) - 13)
    # Their clocks are an hour off, and they live.
    ahead = status_of("ahead", now + HOUR_MS)._replace(clock_distance_ms=HOUR_MS)
    behind = status_of("behind", now - HOUR_MS)._replace(clock_distance_ms=-HOUR_MS)
    for status in (ahead, gone, behind):
        broker.client.hset("app:beat:replicas", status.replica, _text_of(status))
    assert [status.replica for status in store.read().living] == ["ahead", "behind"]
    store.write(ahead)
    assert set(broker.client.hkeys("app:beat:replicas")) == {b"ahead", b"behind"}


@pytest.mark.parametrize(
    "change",
    [
        {"v": 1},
        {"last_tick": "x"},
        {"last_tick": -1},
        {"days_left": []},
        {"quarantined": 1},
        {"jobs": None},
        {"standing": "sitting"},
        {"trouble": "none"},
        {"since": 10**30},
        {"control": {"backlog": "sometimes"}},
        {"owed": [["q", "nobody", 3]]},
        {"owed": [["q", "sheddable"]]},
    ],
)
def test_what_is_not_of_this_form_is_left_out_and_dropped(redis_url: str, change: dict[str, object]) -> None:
    broker = redis_at(redis_url)
    store, now = BeatStatusStore(broker), server_now(redis_url)
    values = json.loads(_text_of(status_of("odd", now)))
    broker.client.hset("app:beat:replicas", "odd", json.dumps(values | change))
    broker.client.hset("app:beat:replicas", "none", b"\xff")
    assert store.read().living == ()
    store.write(status_of("good", now))
    assert broker.client.hkeys("app:beat:replicas") == [b"good"]


def test_very_many_troubles_are_told_in_short(redis_url: str) -> None:
    store, now = BeatStatusStore(redis_at(redis_url)), server_now(redis_url)
    store.write(status_of("a", now)._replace(quarantined={f"job{n:03}": "x" * 1000 for n in range(500)}, put_aside=0))
    [told] = store.read().living
    assert list(told.quarantined) == [f"job{n:03}" for n in range(MOST_TOLD)]
    assert set(told.quarantined.values()) == {"x" * LONGEST_TOLD}
    assert told.put_aside == 500


class Broken(BaseSchedule):
    """Does not know."""

    def is_due(self, last_run_at: object) -> schedstate:
        raise RuntimeError("not today" if last_run_at else "")


class ClosedMarket(NoReadings):
    """A calendar that is known for ten days, and whose one session is a day away."""

    def __init__(self) -> None:
        opens = array("q", [NOW + DAY_MS])
        closes = array("q", [NOW + DAY_MS + HOUR_MS])
        ends = NOW + 10 * DAY_MS
        self._tables = {"XNYS": SessionTable("XNYS", opens, closes, array("q", [0]), array("q", [1]), NOW, ends)}

    def read(self, now: int) -> tuple[Snapshot, Sequence[Request]]:
        return Snapshot(taken_at=now, markets=self._tables), ()


class Board(BeatStatusStore):
    """Keeps all that was said."""

    def __init__(self) -> None:
        self.said: list[BeatStatus] = []

    def write(self, status: BeatStatus) -> None:
        self.said.append(status)


def observing(board: Board, *, mode: GateMode) -> tuple[Recorder, Clock]:
    policies = Policies(trading_hours=TradingHours(("XNYS",), mode=mode))
    job = Job("job", "t", IntervalTrigger(1_000), "q", Criticality.CRITICAL, policies=policies)
    clock = Clock()
    whole = {"job": {"task": "t", "schedule": JobSchedule(job)}, "bad": {"task": "t", "schedule": Broken()}}
    scheduler = recorder(make_app(whole), clock)
    scheduler.open_for = lambda host: opened_with(
        host, store=MemoryStateStore(), ledger=MemoryLedger(), readings=ClosedMarket(), status=board
    )
    return scheduler, clock


def test_beat_says_how_it_is_now_and_then() -> None:
    board = Board()
    scheduler, clock = observing(board, mode=GateMode.ENFORCE)
    run_until(scheduler, clock, NOON + 3 * WRITTEN_EVERY)
    scheduler.close()
    steps = [later.last_tick - earlier.last_tick for earlier, later in zip(board.said, board.said[1:], strict=False)]
    assert steps == [WRITTEN_EVERY / timedelta(milliseconds=1)] * 3
    said = board.said[-1]
    assert (said.last_tick, said.jobs) == (to_instant(clock.now), 2)
    assert (dict(said.quarantined), said.put_aside) == ({"bad": "RuntimeError: not today"}, 1)
    assert said.days_left == {"XNYS": 9}
    assert (said.standing, said.term, said.trouble) == (Standing.LEADING, 1, None)
    assert {each.since for each in board.said} == {NOW}
    assert {each.replica for each in board.said} == {said.replica}


@pytest.mark.parametrize(
    ("mode", "verdict", "field"), [(GateMode.OBSERVE, "fire", "would_hold"), (GateMode.ENFORCE, "skip", "held_by")]
)
def test_the_log_says_what_a_gate_holds_back_or_would(
    caplog: pytest.LogCaptureFixture, mode: GateMode, verdict: str, field: str
) -> None:
    scheduler, clock = observing(Board(), mode=mode)
    with caplog.at_level(logging.INFO):
        run_until(scheduler, clock, NOON + timedelta(seconds=1))
    scheduler.close()
    [line] = [vars(record) for record in caplog.records if record.getMessage() == "decision"]
    assert (line["verdict"], line[field]) == (verdict, "trading_hours:market_closed")


def test_the_log_says_how_late_a_message_was(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, clock = observing(Board(), mode=GateMode.OFF)
    run_until(scheduler, clock, NOON)
    clock.step(timedelta(seconds=1.7))
    with caplog.at_level(logging.INFO):
        scheduler.tick()
    scheduler.close()
    [line] = [vars(record) for record in caplog.records if record.getMessage() == "decision"]
    assert (line["reason"], line["late_ms"]) == ("on_time", 700)
