"""What the scheduler is told of the world: by the real Redis, by the calendars, and while Redis is away."""

from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery

from packages.infra.beat.broker_readings import BrokerReadings
from packages.infra.beat.publishers.kombu_publisher import KombuPublisher
from packages.infra.beat.publishers.redis_publisher import RedisPublisher
from packages.infra.beat.redis_state import RedisStateStore
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.infra.beat.state_store import MemoryStateStore
from packages.infra.beat.wiring import lease_period, open_for
from packages.infra.control.redis_control import RedisControl
from packages.infra.queue.active_markets import ActiveMarketsStore
from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.running import JobRun, RunningStore
from packages.scheduling.instants import DAY_MS, MINUTE_MS, to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode, OverlapMode, Policies, TradingHours, Windows
from packages.scheduling.requests import TriggerRequest
from packages.scheduling.sessions import SessionTable
from packages.scheduling.snapshot import Exemption, Pause, PauseScope, Pin, Run
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
    assert readings.read(NOW + 200)[1] == ()
    readings.close()


def test_the_operators_word_is_asked_for_every_fifth_of_a_second(broker: BrokerRedis) -> None:
    readings = BrokerReadings(broker, None)
    operator = RedisControl(broker)
    operator.request(TriggerRequest("t1", "plain", NOW))
    assert len(readings.read(NOW)[1]) == 1
    operator.pause(PAUSE)
    for at, known in ((NOW + 199, ()), (NOW + 200, (PAUSE,))):
        snapshot, requests = readings.read(at)
        assert snapshot.pauses is not None
        assert snapshot.pauses.value == known
        # What was asked for is given out once for each time it is heard.
        assert len(requests) == len(known)
    operator.resume(PauseScope.ALL, "")
    # A clock that was set back does not make it deaf.
    snapshot, _ = readings.read(NOW - DAY_MS)
    assert snapshot.pauses is not None
    assert snapshot.pauses.value == ()
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


def test_pins_and_exemptions_are_read_and_end_although_redis_is_away(broker: BrokerRedis) -> None:
    readings = BrokerReadings(broker, None)
    operator = RedisControl(broker)
    whole = Pin("area", None, 500_000, since=NOW, until=None, note="")
    critical = Pin("area", Criticality.CRITICAL, 1_000_000, since=NOW, until=NOW + MINUTE_MS, note="")
    exemption = Exemption("plain", since=NOW, until=NOW + MINUTE_MS, note="")
    operator.pin(whole)
    operator.pin(critical)
    operator.exempt(exemption)
    snapshot, _ = readings.read(NOW)
    assert snapshot.pins == {("area", None): whole, ("area", Criticality.CRITICAL): critical}
    assert snapshot.exempt == {"plain": exemption}
    broker.client.connection_pool.connection_kwargs["port"] = 1
    broker.client.connection_pool.disconnect()
    broker.client.connection_pool.reset()
    assert len(readings.read(NOW + MINUTE_MS - 1)[0].pins) == 2
    snapshot, _ = readings.read(NOW + MINUTE_MS)
    assert (snapshot.pins, snapshot.exempt) == ({("area", None): whole}, {})
    readings.close()


def test_without_redis_nothing_is_known_and_nothing_fails() -> None:
    for redis_or_none in (None, away()):
        readings = BrokerReadings(redis_or_none, None)
        readings.want([EXCLUSIVE, GATED])
        snapshot, requests = readings.read(NOW)
        assert (snapshot.running, snapshot.active_markets, dict(snapshot.markets), requests) == (None, None, {}, ())
        readings.acknowledge([TriggerRequest("t1", "plain", NOW)])
        readings.close()


def test_runs_are_read_for_jobs_that_must_not_overlap(broker: BrokerRedis) -> None:
    store = RunningStore(broker)
    store.renew({}, now=NOW)
    run = Run("one", NOW, NOW + 5_000)
    store.started(JobRun("exclusive", run))
    readings = BrokerReadings(broker, None)
    readings.want([PLAIN])
    assert readings.read(NOW)[0].running is None
    readings.want([EXCLUSIVE])
    running = readings.read(NOW)[0].running
    assert running is not None
    assert running.value == {"exclusive": (run,)}


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
    opened = open_for(AdaptiveScheduler(Celery("test", broker=redis_url, set_as_current=False)))
    assert isinstance(opened.store, RedisStateStore)
    assert isinstance(opened.publisher, RedisPublisher)
    assert caplog.records == []
    opened.close()
    opened = open_for(AdaptiveScheduler(Celery("test", broker="memory://", set_as_current=False)))
    assert isinstance(opened.store, MemoryStateStore)
    assert isinstance(opened.publisher, KombuPublisher)
    assert [record.getMessage() for record in caplog.records] == ["state_is_in_process_only"]
    opened.close()
    app = Celery("test", broker=redis_url, set_as_current=False)
    app.conf.beat_state_url = "redis://never-asked.invalid:1/0"
    open_for(AdaptiveScheduler(app)).close()
    assert caplog.records[-1].getMessage() == "state_url_not_used"


@pytest.mark.parametrize(("given", "period_s"), [(None, 10), (2, 2), (2.5, 2.5), ("3", 3), (0.1, 1)])
def test_the_period_of_the_lease_is_a_setting_and_a_second_at_least(given: object, period_s: float) -> None:
    app = Celery("test", set_as_current=False)
    if given is not None:
        app.conf.beat_lease_period_s = given
    assert lease_period(app) == timedelta(seconds=period_s)
