"""One replica goes on where another one was, also when the server has forgotten everything: nothing lost, no storm."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from celery.schedules import crontab, schedule

from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.beat.lease import ASKED_EVERY_S
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.scheduling.decision import Verdict
from packages.scheduling.model import Criticality, Job
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.stepped import NOON, Clock, make_app, on_clock, run_until, settle
from tests.beat.test_interruptions import SKIPS
from tests.beat.test_scheduler import messages

HOUR = timedelta(hours=1)
SCHEDULES: dict[str, Any] = {
    "interval": {"task": "t", "schedule": schedule(timedelta(minutes=10))},
    "daily": {"task": "t", "schedule": crontab(minute=0, hour=13)},
}

Begin = Callable[[], AdaptiveScheduler]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(redis_url: str) -> Celery:
    return make_app(SCHEDULES, broker=redis_url)


@pytest.fixture
def begin(app: Celery, clock: Clock) -> Iterator[Begin]:
    """Begins a replica, and closes it when all is over."""
    begun: list[AdaptiveScheduler] = []

    def beginning() -> AdaptiveScheduler:
        scheduler = AdaptiveScheduler(app)
        on_clock(scheduler, clock)
        settle(scheduler)
        begun.append(scheduler)
        return scheduler

    yield beginning
    for scheduler in begun:
        scheduler.close()


def fires(app: Celery) -> list[tuple[str, str]]:
    """What was published since the last call, in the order of the nominals."""
    found = [(str(headers["scheduled_for"]), str(headers["beat_job"])) for headers in messages(app, "celery")]
    return sorted(found)


def forget_all(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushall()


def test_a_follower_that_takes_over_goes_on_where_the_leader_was(app: Celery, clock: Clock, begin: Begin) -> None:
    leader, follower = begin(), begin()
    run_until(leader, clock, NOON + timedelta(minutes=65))
    settle(follower)
    assert len(fires(app)) == 7
    leader.close()
    clock.to(NOON + timedelta(minutes=69))
    run_until(follower, clock, NOON + timedelta(minutes=75))
    assert fires(app) == [("2026-01-05T13:10:00.000Z", "interval")]


def test_a_follower_on_a_server_that_forgot_everything_does_not_repeat_what_the_leader_did(
    app: Celery, clock: Clock, begin: Begin, redis_url: str
) -> None:
    leader, follower = begin(), begin()
    run_until(leader, clock, NOON + 3 * HOUR + timedelta(seconds=2))
    settle(follower)
    assert len(fires(app)) == 19
    forget_all(redis_url)
    clock.step(timedelta(seconds=ASKED_EVERY_S))
    run_until(follower, clock, NOON + 3 * HOUR + timedelta(minutes=11))
    assert fires(app) == [("2026-01-05T15:10:00.000Z", "interval")]
    settle(leader)
    assert fires(app) == []


def test_what_a_server_forgot_is_kept_anew_by_the_one_that_leads_on(
    app: Celery, clock: Clock, begin: Begin, redis_url: str
) -> None:
    leader = begin()
    run_until(leader, clock, NOON + timedelta(minutes=5))
    forget_all(redis_url)
    clock.step(timedelta(minutes=1))
    settle(leader)
    leader.close()
    # Down from before the next fires until after them.
    clock.to(NOON + timedelta(minutes=65))
    begin()
    assert fires(app) == [("2026-01-05T13:00:00.000Z", "daily"), ("2026-01-05T13:00:00.000Z", "interval")]


def test_what_was_decided_while_nobody_led_is_recorded(
    redis_url: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    job = Job("skips", "t", IntervalTrigger(60_000), "q", Criticality.CRITICAL, policies=SKIPS)
    app = make_app({**SCHEDULES, "skips": {"task": "t", "schedule": JobSchedule(job)}}, broker=redis_url)
    scheduler = AdaptiveScheduler(app)
    on_clock(scheduler, clock)
    settle(scheduler)
    with redis.Redis.from_url(redis_url) as client:
        client.delete("test:beat:lease")
    clock.monotonic_s -= 60
    clock.to(NOON + timedelta(minutes=1))
    scheduler.tick()
    assert scheduler._loop is not None
    ledger = scheduler._loop._opened.ledger
    assert ledger.read("skips", 5) == []
    assert "lease_lost" in [record.getMessage() for record in caplog.records]
    clock.step(timedelta(seconds=1))
    settle(scheduler)
    [decision] = ledger.read("skips", 5)
    scheduler.close()
    assert decision.verdict is Verdict.SKIP


def test_a_job_that_only_the_new_version_knows_owes_what_came_due_since_it_was_deployed(
    app: Celery, clock: Clock, begin: Begin, redis_url: str
) -> None:
    leader = begin()
    new = AdaptiveScheduler(make_app({**SCHEDULES, "new": SCHEDULES["interval"]}, broker=redis_url))
    on_clock(new, clock)
    settle(new)
    run_until(leader, clock, NOON + timedelta(minutes=15))
    settle(new)
    leader.close()
    fires(app)
    clock.step(timedelta(seconds=1))
    settle(new)
    new.close()
    assert fires(app) == [("2026-01-05T12:10:00.000Z", "new")]
