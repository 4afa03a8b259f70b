"""What beat says of itself: written now and then, and read as it was written."""

import logging
from array import array
from collections.abc import Sequence
from datetime import timedelta

import pytest
import redis
from celery.schedules import BaseSchedule, schedstate

from packages.infra.beat.beat_status import WRITTEN_EVERY, BeatStatus, BeatStatusStore
from packages.infra.beat.decision_sink import MemoryDecisions
from packages.infra.beat.job_schedule import JobSchedule
from packages.infra.beat.readings import NoReadings, Request
from packages.infra.beat.state_store import MemoryStateStore
from packages.infra.beat.wiring import Opened
from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.instants import DAY_MS, HOUR_MS, to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode, Policies, TradingHours
from packages.scheduling.sessions import SessionTable
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.stepped import NOON, Clock, Recorder, make_app, recorder, run_until

NOW = to_instant(NOON)
STATUS = BeatStatus(NOW, 3, {"job": "ValueError: no"}, {"XNYS": 364})


def redis_at(url: str) -> BrokerRedis:
    return BrokerRedis(redis.Redis.from_url(url), "app", channel=None)


def test_it_is_read_as_it_was_written(redis_url: str) -> None:
    store = BeatStatusStore(redis_at(redis_url))
    assert store.read() is None
    store.write(STATUS)
    assert store.read() == STATUS
    store.write(BeatStatus(NOW + 1, 0))
    assert store.read() == BeatStatus(NOW + 1, 0)


@pytest.mark.parametrize(
    "field",
    [{"v": "2"}, {"last_tick": "x"}, {"last_tick": "-1"}, {"days_left": "[]"}, {"quarantined": "{"}, {"jobs": b"\xff"}],
)
def test_what_is_not_of_this_form_is_not_known(redis_url: str, field: dict[str, str | bytes]) -> None:
    broker = redis_at(redis_url)
    store = BeatStatusStore(broker)
    store.write(STATUS)
    broker.client.hset("app:beat:status", mapping=field)
    assert store.read() is None


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
    scheduler.open_for = lambda _: Opened(MemoryStateStore(), MemoryDecisions(), ClosedMarket(), None, board)
    return scheduler, clock


def test_beat_says_how_it_is_now_and_then() -> None:
    board = Board()
    scheduler, clock = observing(board, mode=GateMode.ENFORCE)
    run_until(scheduler, clock, NOON + 3 * WRITTEN_EVERY)
    scheduler.close()
    steps = [later.last_tick - earlier.last_tick for earlier, later in zip(board.said, board.said[1:], strict=False)]
    assert steps == [WRITTEN_EVERY / timedelta(milliseconds=1)] * 3
    assert board.said[-1] == BeatStatus(to_instant(clock.now), 2, {"bad": "RuntimeError: not today"}, {"XNYS": 9})


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
