"""One bad entry, key or stored value on a Redis broker: all other jobs go on, and no fire is lost to it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from celery.schedules import schedule
from kombu.exceptions import OperationalError

from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.infra.beat.standing import Standing, Trouble
from packages.infra.control.redis_control import RedisControl
from packages.infra.queue.broker_redis import open_broker_redis
from packages.scheduling.requests import TriggerRequest
from tests.beat.stepped import Clock, make_app, on_clock, settle
from tests.beat.test_scheduler import messages

EVERY_MINUTE = schedule(timedelta(minutes=1))
TOPIC = {"exchange": "topics", "exchange_type": "topic", "routing_key": "any"}


def app_of(redis_url: str, **bad: object) -> Celery:
    """One bad job, which comes before the good one."""
    bad = {"task": "bad", "schedule": EVERY_MINUTE, **bad}
    return make_app({"a bad one": bad, "good": {"task": "good", "schedule": EVERY_MINUTE}}, broker=redis_url)


@contextmanager
def begun(scheduler: AdaptiveScheduler, clock: Clock) -> Iterator[AdaptiveScheduler]:
    on_clock(scheduler, clock)
    settle(scheduler)
    try:
        yield scheduler
    finally:
        scheduler.close()


def run_for(scheduler: AdaptiveScheduler, clock: Clock, duration: timedelta) -> None:
    for _ in range(round(duration.total_seconds())):
        clock.step(timedelta(seconds=1))
        scheduler.tick()


def published(app: Celery, job: str) -> int:
    return [headers["beat_job"] for headers in messages(app, "celery")].count(job)


class OtherBroker(AdaptiveScheduler):
    """Sends one task to a broker of its own, which is away."""

    def send_task(self, name: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # Celery's own signature
        if name == "bad":
            raise OperationalError("the other broker is away")
        return super().send_task(name, *args, **kwargs)


def test_an_entry_whose_own_broker_is_away_holds_nobody_up(redis_url: str) -> None:
    app, clock = app_of(redis_url), Clock()
    with begun(OtherBroker(app), clock) as scheduler:
        run_for(scheduler, clock, timedelta(minutes=5))
    assert published(app, "good") == 5


def test_a_binding_of_another_kind_holds_nobody_up(redis_url: str) -> None:
    app, clock = app_of(redis_url, options=TOPIC), Clock()
    with redis.Redis.from_url(redis_url) as client:
        client.set("_kombu.binding.topics", "foreign")
    with begun(AdaptiveScheduler(app), clock) as scheduler:
        run_for(scheduler, clock, timedelta(minutes=5))
    assert published(app, "good") == 5


@pytest.mark.parametrize(
    "bad",
    [
        {"watermark": -(10**18)},
        {"watermark": 10**40},
        {"open": [{"nominal": 1, "planned": 1, "origin": 5, "retry_at": 1, "reason": "paused", "since": 1}]},
        {"open": [{"nominal": 1, "planned": 1, "origin": "o", "retry_at": None, "reason": "paused", "since": 1}]},
        {"backfills": [{"id": "b", "cursor": "x", "end": 1, "every_ms": 1, "next_at": 0}]},
        {"taken": [[1]]},
    ],
)
def test_a_stored_state_that_cannot_be_is_set_aside(redis_url: str, bad: dict[str, object]) -> None:
    app, clock = app_of(redis_url), Clock()
    with begun(AdaptiveScheduler(app), clock):
        pass
    with redis.Redis.from_url(redis_url) as client:
        stored = json.loads(client.hget("test:beat:state", "a bad one") or b"")
        client.hset("test:beat:state", "a bad one", json.dumps({**stored, **bad}))
        with begun(AdaptiveScheduler(app), clock) as scheduler:
            run_for(scheduler, clock, timedelta(minutes=2))
        assert client.hkeys("test:beat:state:quarantine") == [b"a bad one"]
    assert (scheduler.quarantined, len(messages(app, "celery"))) == ({}, 4)


class Database(dict[str, Any]):
    """A schedule that is read from elsewhere, which is away at times."""

    is_away = False

    def get(self, *args: Any) -> Any:  # noqa: ANN401  # as a dict's
        if self.is_away:
            raise ConnectionError("the database is away")
        return super().get(*args)


class FromDatabase(AdaptiveScheduler):
    """Keeps the mapping that it was given."""

    def set_schedule(self, schedule: Any) -> None:  # noqa: ANN401  # Celery takes any mapping
        self.data = schedule


def test_no_fire_is_lost_to_a_schedule_that_raises(redis_url: str) -> None:
    app, clock, schedule = app_of(redis_url), Clock(), Database()
    with begun(FromDatabase(app, schedule), clock) as scheduler:
        schedule.is_away = True
        run_for(scheduler, clock, timedelta(seconds=70))
        assert messages(app, "celery") == []
        schedule.is_away = False
        run_for(scheduler, clock, timedelta(seconds=40))
        assert published(app, "good") == 1


def test_a_request_for_a_job_that_is_not_there_is_heard_once(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    app, clock = app_of(redis_url, schedule=schedule(timedelta(hours=1))), Clock()
    app.conf.beat_schedule["good"]["schedule"] = schedule(timedelta(hours=1))
    broker = open_broker_redis(app)
    assert broker is not None
    with begun(AdaptiveScheduler(app), clock) as scheduler:
        RedisControl(broker).request(TriggerRequest("one", "no such job", 0))
        run_for(scheduler, clock, timedelta(seconds=30))
    broker.close()
    assert [record.getMessage() for record in caplog.records].count("request_for_no_job") == 1


def test_whoever_follows_does_not_go_on_saying_what_was_wrong_while_it_led(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    app, clock = app_of(redis_url), Clock()
    with begun(AdaptiveScheduler(app), clock) as scheduler, redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory", "1")
        try:
            run_for(scheduler, clock, timedelta(seconds=60))
        finally:
            client.config_set("maxmemory", "0")
        assert Trouble.FULL in [vars(record).get("trouble") for record in caplog.records]
        # It is cut off until another one leads, so that it never hears that the broker takes something again.
        client.set("test:beat:lease", "other:99", px=100_000)
        clock.step(timedelta(minutes=1))
        scheduler.tick()
        run_for(scheduler, clock, timedelta(seconds=20))
        assert stands(client, scheduler) == (Standing.FOLLOWING, None)


def test_a_try_that_was_refused_does_not_end_an_outage(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    app, clock = app_of(redis_url), Clock()
    with begun(AdaptiveScheduler(app), clock) as scheduler, redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory", "1")
        try:
            run_for(scheduler, clock, timedelta(seconds=60))
        finally:
            client.config_set("maxmemory", "0")
        client.set("test:beat:lease", "other:99", px=100_000)
        # Tried before the lease is asked for.
        for _ in range(20):
            clock.step(timedelta(milliseconds=250))
            scheduler.tick()
        assert "published_again" not in [record.getMessage() for record in caplog.records]


def stands(client: Any, scheduler: AdaptiveScheduler) -> tuple[str, str | None]:  # noqa: ANN401  # a client of redis
    """What the replica says of itself."""
    assert scheduler._loop is not None
    said = json.loads(client.hget("test:beat:replicas", scheduler._loop._lease.owner))
    return said["standing"], said["trouble"]
