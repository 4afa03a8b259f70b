"""What the scheduler is told of the world: by the real Redis, by the calendars, and while Redis is away."""

from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
import redis
from celery import Celery

from packages.infra.beat.broker_readings import BrokerReadings
from packages.infra.beat.readings import PublishedRun
from packages.infra.beat.redis_state import RedisStateStore
from packages.infra.beat.state_store import MemoryStateStore
from packages.infra.beat.wiring import open_for
from packages.infra.control.redis_control import RedisControl
from packages.infra.queue.active_markets import ActiveMarketsStore
from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.running import RunningStore
from packages.scheduling.instants import DAY_MS, MINUTE_MS, to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode, OverlapMode, Policies, TradingHours, Windows
from packages.scheduling.requests import TriggerRequest
from packages.scheduling.sessions import SessionTable
from packages.scheduling.snapshot import Pause, PauseScope
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.stepped import NOON

NOW = to_instant(NOON)
PLAIN = Job("plain", "task", IntervalTrigger(MINUTE_MS), "area", Criticality.CRITICAL)
EXCLUSIVE = replace(PLAIN, name="exclusive", policies=Policies(overlap=OverlapMode.SKIP))
GATED = replace(PLAIN, name="gated", policies=Policies(trading_hours=TradingHours(("XNYS",))))
OUTSIDE = replace(PLAIN, name="outside", policies=Policies(windows=Windows(outside_sessions_of=("XLON",))))
PAUSE = Pause(PauseScope.ALL, "", since=NOW, until=None, note="")


@pytest.fixture
def broker(redis_url: str) -> Iterator[BrokerRedis]:
    with redis.Redis.from_url(redis_url) as client:
        yield BrokerRedis(client, "app", channel=None)


def away() -> BrokerRedis:
    return BrokerRedis(redis.Redis.from_url("redis://127.0.0.1:1/0"), "app", channel=None)


class Calendars:
    """One open session for each market that was asked for."""

    def __init__(self, markets: Collection[str]) -> None:
        self.wanted = set(markets)
        self.closed = False

    @property
    def tables(self) -> Mapping[str, SessionTable]:
        return {market: table(market) for market in self.wanted}

    def want(self, markets: Collection[str]) -> None:
        self.wanted |= set(markets)

    def poll(self, now: datetime) -> bool:
        return now < NOON

    def close(self) -> None:
        self.closed = True


def table(market: str) -> SessionTable:
    return SessionTable(
        market, array("q", [NOW]), array("q", [NOW + DAY_MS]), array("q", [0]), array("q", [1]), NOW, NOW + DAY_MS
    )


def test_the_operators_word_is_read(broker: BrokerRedis) -> None:
    readings = BrokerReadings(broker, None)
    operator = RedisControl(broker)
    operator.pause(PAUSE)
    operator.set_gate_mode("windows", GateMode.OFF)
    request = TriggerRequest("t1", "plain", NOW)
    operator.request(request)
    snapshot, requests = readings.read(NOW)
    assert snapshot.pauses is not None
    assert (snapshot.pauses.value, snapshot.pauses.taken_at) == ((PAUSE,), NOW)
    assert snapshot.gate_modes == {"windows": GateMode.OFF}
    assert list(requests) == [request]
    readings.acknowledge(requests)
    assert readings.read(NOW + 1)[1] == ()
    readings.close()


def test_the_operators_last_word_holds_while_redis_is_away(broker: BrokerRedis) -> None:
    readings = BrokerReadings(broker, None)
    RedisControl(broker).pause(PAUSE)
    RedisControl(broker).request(TriggerRequest("t1", "plain", NOW))
    readings.read(NOW)
    broker.client.connection_pool.connection_kwargs["port"] = 1
    broker.client.connection_pool.disconnect()
    broker.client.connection_pool.reset()
    snapshot, requests = readings.read(NOW + MINUTE_MS)
    assert snapshot.pauses is not None
    assert (snapshot.pauses.value, snapshot.pauses.taken_at) == ((PAUSE,), NOW)
    assert requests == ()


def test_without_redis_nothing_is_known_and_nothing_fails() -> None:
    for redis_or_none in (None, away()):
        readings = BrokerReadings(redis_or_none, None)
        readings.want([EXCLUSIVE, GATED])
        snapshot, requests = readings.read(NOW)
        assert (snapshot.running, snapshot.active_markets, dict(snapshot.markets), requests) == (None, None, {}, ())
        readings.publishing([PublishedRun(EXCLUSIVE, "id", NOW)])
        readings.published([PublishedRun(EXCLUSIVE, "id", NOW)])
        readings.acknowledge([TriggerRequest("t1", "plain", NOW)])
        readings.close()


@pytest.mark.parametrize(("expires_ms", "counts_ms"), [(None, DAY_MS), (5_000, 5_000)])
def test_runs_are_counted_for_jobs_that_must_not_overlap(
    broker: BrokerRedis, expires_ms: int | None, counts_ms: int
) -> None:
    RunningStore(broker).renew({}, now=NOW)
    readings = BrokerReadings(broker, None)
    readings.want([PLAIN])
    assert readings.read(NOW)[0].running is None
    job = replace(EXCLUSIVE, expires_ms=expires_ms)
    readings.want([job])
    one, two = PublishedRun(job, "one", NOW), PublishedRun(job, "two", NOW)
    readings.publishing([one, two])
    running = readings.read(NOW)[0].running
    assert running is not None
    assert running.value == {}
    readings.published([one])
    running = readings.read(NOW)[0].running
    assert running is not None
    assert list(running.value) == ["exclusive"]
    [run] = running.value["exclusive"]
    assert (run.task_id, run.published_at, run.counts_until) == ("one", NOW, NOW + counts_ms)


def test_calendars_are_made_for_the_markets_of_the_jobs(broker: BrokerRedis) -> None:
    made: list[Calendars] = []

    def make(markets: Collection[str], now: datetime) -> Calendars:
        assert now == NOON
        made.append(Calendars(markets))
        return made[-1]

    ActiveMarketsStore(broker).write(frozenset({"24/7"}), NOW)
    readings = BrokerReadings(broker, make)
    readings.want([PLAIN])
    snapshot, _ = readings.read(NOW)
    assert (made, dict(snapshot.markets), snapshot.active_markets) == ([], {}, None)
    readings.want([GATED])
    snapshot, _ = readings.read(NOW)
    assert set(snapshot.markets) == {"XNYS", "24/7"}
    assert snapshot.active_markets is not None
    assert snapshot.active_markets.value == {"24/7"}
    readings.want([OUTSIDE])
    assert set(readings.read(NOW)[0].markets) == {"XNYS", "24/7", "XLON"}
    readings.close()
    assert [calendars.closed for calendars in made] == [True]


def test_a_market_in_use_that_no_calendar_knows_opens_nothing(broker: BrokerRedis) -> None:
    class Some(Calendars):
        @property
        def tables(self) -> Mapping[str, SessionTable]:
            return {market: table(market) for market in self.wanted - {"NYSE?"}}

    ActiveMarketsStore(broker).write(frozenset({"NYSE?", "XTKS"}), NOW)
    readings = BrokerReadings(broker, lambda markets, _: Some(markets))
    readings.want([GATED])
    snapshot, _ = readings.read(NOW)
    assert snapshot.active_markets is not None
    assert snapshot.active_markets.value == {"XTKS"}
    assert set(snapshot.markets) == {"XNYS", "XTKS"}


def test_calendars_that_cannot_be_made_are_absent(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(markets: Collection[str], now: datetime) -> Any:  # noqa: ANN401  # never returns
        raise ValueError(f"no calendar for {sorted(markets)} at {now}")

    readings = BrokerReadings(None, refuse)
    readings.want([GATED])
    for _ in range(2):
        assert dict(readings.read(NOW)[0].markets) == {}
    assert [record.getMessage() for record in caplog.records] == ["calendars_refused"]


def test_what_is_opened_follows_the_broker(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    opened = open_for(Celery("test", broker=redis_url, set_as_current=False))
    assert isinstance(opened.store, RedisStateStore)
    assert caplog.records == []
    opened.close()
    opened = open_for(Celery("test", broker="memory://", set_as_current=False))
    assert isinstance(opened.store, MemoryStateStore)
    assert [record.getMessage() for record in caplog.records] == ["state_is_in_process_only"]
    opened.close()
