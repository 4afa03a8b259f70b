"""An operator's pins, exemptions, words on gates and resets, as a running beat hears of them."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.control.redis_control import RedisControl
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.scheduling.control.controllers import Controllers, QueueControl
from packages.scheduling.engine import Engine
from packages.scheduling.instants import MINUTE_MS, to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode
from packages.scheduling.requests import ResetRequest, TriggerRequest
from packages.scheduling.snapshot import Pin
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.stepped import NOON, Clock, Recorder, make_app, recorder, run_until, settle

MINUTE = timedelta(minutes=1)
# Longer than an operator's word takes to be heard.
MOMENT = timedelta(seconds=1)
SHED = Job("shed", "task", IntervalTrigger(MINUTE_MS), "area", Criticality.SHEDDABLE)
THROTTLED = Controllers(stepped_at=to_instant(NOON), queues={"area": QueueControl(rates={Criticality.SHEDDABLE: 0})})

Begin = Callable[[], Recorder]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def begin(redis_url: str, clock: Clock) -> Iterator[Begin]:
    """Begins a replica, and closes it when all is over."""
    app = make_app({"shed": {"task": "task", "schedule": JobSchedule(SHED)}}, broker=redis_url)
    begun: list[Recorder] = []

    def beginning() -> Recorder:
        scheduler = recorder(app, clock)
        settle(scheduler)
        begun.append(scheduler)
        return scheduler

    yield beginning
    for scheduler in begun:
        scheduler.close()


@pytest.fixture
def broker(redis_url: str) -> Iterator[BrokerRedis]:
    redis = open_broker_redis(make_app({}, broker=redis_url), namespace="test")
    assert redis is not None
    yield redis
    redis.close()


@pytest.fixture
def operator(broker: BrokerRedis) -> RedisControl:
    return RedisControl(broker)


def engine_of(scheduler: Recorder) -> Engine:
    assert scheduler._loop is not None
    return scheduler._loop._engine


def a_moment_later(scheduler: Recorder, clock: Clock) -> None:
    clock.step(MOMENT)
    settle(scheduler)


def test_a_pinned_queue_is_held_and_goes_on_at_once_when_it_is_unpinned(
    begin: Begin, clock: Clock, operator: RedisControl
) -> None:
    scheduler = begin()
    operator.pin(Pin("area", Criticality.SHEDDABLE, 0, since=to_instant(NOON), until=None, note=""))
    a_moment_later(scheduler, clock)
    run_until(scheduler, clock, clock.now + 5 * MINUTE)
    assert scheduler.sent == []
    operator.unpin("area", Criticality.SHEDDABLE)
    a_moment_later(scheduler, clock)
    # One for all that were held back.
    assert scheduler.names == ["shed"]


@pytest.mark.parametrize(("gate", "fires"), [("backlog", 0), ("pin", 2)])
def test_a_pin_holds_whatever_is_said_of_the_backlog_and_nothing_where_its_own_gate_is_off(
    begin: Begin, clock: Clock, operator: RedisControl, gate: str, fires: int
) -> None:
    scheduler = begin()
    operator.pin(Pin("area", None, 0, since=to_instant(NOON), until=None, note=""))
    operator.set_gate_mode(gate, GateMode.OFF)
    a_moment_later(scheduler, clock)
    run_until(scheduler, clock, clock.now + 2 * MINUTE)
    assert len(scheduler.sent) == fires


def test_a_reset_is_done_once_however_often_it_is_seen(begin: Begin, clock: Clock, operator: RedisControl) -> None:
    scheduler = begin()
    engine_of(scheduler).put_controllers(THROTTLED)
    reset = ResetRequest("r1", requested_at=to_instant(NOON))
    operator.request(reset)
    a_moment_later(scheduler, clock)
    assert not engine_of(scheduler).controllers.throttles
    assert operator.read(to_instant(clock.now)).requests == ()
    # As when it could not be acknowledged.
    engine_of(scheduler).put_controllers(THROTTLED)
    operator.request(reset)
    a_moment_later(scheduler, clock)
    assert engine_of(scheduler).controllers == THROTTLED
    assert operator.read(to_instant(clock.now)).requests == ()


def test_a_reset_of_another_queue_leaves_the_rest(begin: Begin, clock: Clock, operator: RedisControl) -> None:
    scheduler = begin()
    engine_of(scheduler).put_controllers(THROTTLED)
    operator.request(ResetRequest("r1", requested_at=to_instant(NOON), queue="another"))
    operator.request(TriggerRequest("t1", "shed", requested_at=to_instant(NOON)))
    a_moment_later(scheduler, clock)
    assert engine_of(scheduler).controllers == THROTTLED
    assert [sent.headers["beat_origin"] for sent in scheduler.sent] == ["trigger:t1"]
    assert operator.read(to_instant(clock.now)).requests == ()


def test_a_reset_that_nobody_kept_is_done_by_the_next_leader(
    begin: Begin, clock: Clock, operator: RedisControl
) -> None:
    leader, follower = begin(), begin()
    reset = ResetRequest("r1", requested_at=to_instant(NOON))
    operator.request(reset)
    a_moment_later(leader, clock)
    leader.close()
    # It was taken over by a leader whose commit was lost.
    operator.request(reset)
    engine_of(follower).put_controllers(THROTTLED)
    a_moment_later(follower, clock)
    assert not engine_of(follower).controllers.throttles
    assert operator.read(to_instant(clock.now)).requests == ()
