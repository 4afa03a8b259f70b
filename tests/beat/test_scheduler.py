"""The scheduler class on a real broker: what a message says, and what a beat that starts again goes on with."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from celery.schedules import crontab, schedule

from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.beat.messages.fire_ids import task_id_of
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.infra.beat.state_store import ABSENT_FOR_MS
from packages.infra.queue.broker_redis import open_broker_redis
from packages.infra.queue.running import RunningStore
from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.instants import to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import OverlapMode, Policies
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.stepped import NOON, Clock, make_app, on_clock, run_until, settle

HOURLY = schedule(timedelta(hours=1))
ENTRY: dict[str, Any] = {"task": "area.job", "schedule": HOURLY, "options": {"queue": "area", "expires": 60}}


def app_on(url: str, entries: dict[str, Any] | None = None, **conf: object) -> Celery:
    given = {"area.job": ENTRY, "area.other": {**ENTRY, "task": "area.other"}} if entries is None else entries
    return make_app(given, broker=url, **conf)


def stepped(app: Celery, clock: Clock) -> AdaptiveScheduler:
    scheduler = AdaptiveScheduler(app)
    on_clock(scheduler, clock)
    return scheduler


def beat(app: Celery, clock: Clock, end: datetime) -> None:
    """Run a beat of its own until `end`."""
    scheduler = stepped(app, clock)
    run_until(scheduler, clock, end)
    scheduler.close()


def messages(app: Celery, queue: str = "area") -> list[dict[str, Any]]:
    """The headers of the messages in the queue, which is empty afterwards."""
    taken: list[dict[str, Any]] = []
    with app.connection_for_read() as connection, connection.SimpleQueue(queue) as waiting:
        while True:
            try:
                message = waiting.get(block=False)
            except waiting.Empty:
                return taken
            taken.append({**message.headers, "correlation_id": message.properties["correlation_id"]})
            message.ack()


def fired(app: Celery) -> list[str]:
    return sorted(str(headers["beat_job"]) for headers in messages(app))


def test_a_message_says_which_fire_it_is(redis_url: str) -> None:
    app = app_on(redis_url, {"area.job": ENTRY})
    beat(app, Clock(), NOON + timedelta(hours=1))
    [headers] = messages(app)
    nominal = NOON + timedelta(hours=1)
    assert headers["task"] == "area.job"
    assert headers["beat_job"] == "area.job"
    assert headers["beat_origin"] == "schedule"
    assert headers["scheduled_for"] == headers["planned_for"] == "2026-01-05T13:00:00.000Z"
    assert headers["beat_published_at"] == "2026-01-05T13:00:00.000Z"
    assert headers["celery_beat_task"] is True
    assert headers["expires"] is not None
    assert headers["id"] == headers["correlation_id"] == task_id_of("area.job", to_instant(nominal), "schedule")


def test_the_entry_itself_is_not_stamped(redis_url: str) -> None:
    own = {"queue": "area", "headers": {"mine": 1}}
    app = app_on(redis_url, {"area.job": {**ENTRY, "options": own}})
    clock = Clock()
    scheduler = stepped(app, clock)
    run_until(scheduler, clock, NOON + timedelta(hours=2))
    assert scheduler.schedule["area.job"].options is own
    scheduler.close()
    assert own == {"queue": "area", "headers": {"mine": 1}}
    assert [headers["mine"] for headers in messages(app)] == [1, 1]


def test_an_interval_keeps_its_grid_over_a_restart(redis_url: str) -> None:
    app, clock = app_on(redis_url, {"area.job": ENTRY}), Clock()
    beat(app, clock, NOON + timedelta(minutes=40))
    beat(app, clock, NOON + timedelta(minutes=90))
    assert [headers["scheduled_for"] for headers in messages(app)] == ["2026-01-05T13:00:00.000Z"]


def test_what_came_due_while_no_beat_ran_fires_once(redis_url: str) -> None:
    app, clock = app_on(redis_url), Clock()
    beat(app, clock, NOON + timedelta(minutes=1))
    clock.step(timedelta(hours=5))
    beat(app, clock, clock.now)
    assert fired(app) == ["area.job", "area.other"]
    beat(app, clock, clock.now + timedelta(minutes=1))
    assert fired(app) == []


def test_a_beat_that_starts_for_the_first_time_owes_nothing(redis_url: str) -> None:
    app = app_on(redis_url, {"area.daily": {**ENTRY, "schedule": crontab(minute=0, hour=11)}})
    beat(app, Clock(), NOON + timedelta(minutes=1))
    assert fired(app) == []


def test_a_daily_entry_that_was_missed_fires(redis_url: str) -> None:
    app = app_on(redis_url, {"area.daily": {**ENTRY, "schedule": crontab(minute=0, hour=13)}})
    clock = Clock()
    beat(app, clock, NOON)
    clock.step(timedelta(hours=2))
    beat(app, clock, clock.now)
    assert fired(app) == ["area.daily"]


def known(url: str) -> tuple[list[bytes], list[bytes]]:
    """The jobs that have a state, and those that have an anchor."""
    with redis.Redis.from_url(url) as client:
        return sorted(client.hkeys("test:beat:state")), sorted(client.hkeys("test:beat:anchors"))


def test_a_job_that_is_absent_for_long_is_forgotten(redis_url: str) -> None:
    clock, fewer = Clock(), app_on(redis_url, {"area.job": ENTRY})
    both = [b"area.job", b"area.other"]
    beat(app_on(redis_url), clock, NOON)
    beat(fewer, clock, NOON)
    # Another version of the catalogue may know it, and lead again in a moment.
    assert known(redis_url) == (both, both)
    clock.step(timedelta(milliseconds=ABSENT_FOR_MS - 1))
    beat(fewer, clock, clock.now)
    assert known(redis_url) == (both, both)
    clock.step(timedelta(milliseconds=1))
    beat(fewer, clock, clock.now)
    assert known(redis_url) == ([b"area.job"], [b"area.job"])


def test_a_job_that_was_absent_in_a_rolling_deploy_goes_on_where_it_was(redis_url: str) -> None:
    clock = Clock()
    beat(app_on(redis_url), clock, NOON)
    clock.step(timedelta(minutes=59))
    beat(app_on(redis_url, {"area.job": ENTRY}), clock, NOON + timedelta(minutes=61))
    assert fired(app_on(redis_url)) == ["area.job"]
    beat(app_on(redis_url), clock, NOON + timedelta(minutes=62))
    assert fired(app_on(redis_url)) == ["area.other"]


def test_a_job_that_is_taken_out_at_run_time_is_forgotten_at_once(redis_url: str) -> None:
    clock = Clock()
    scheduler = stepped(app_on(redis_url), clock)
    settle(scheduler)
    del scheduler.schedule["area.other"]
    settle(scheduler)
    assert known(redis_url) == ([b"area.job"], [b"area.job"])
    scheduler.close()


def test_a_job_that_is_put_aside_is_not_absent(redis_url: str) -> None:
    clock = Clock()
    broken = app_on(redis_url, {"area.job": {**ENTRY, "schedule": None}})
    beat(app_on(redis_url, {"area.job": ENTRY}), clock, NOON)
    for _ in range(3):
        beat(broken, clock, clock.now)
        clock.step(timedelta(milliseconds=ABSENT_FOR_MS))
    beat(app_on(redis_url, {"area.job": ENTRY}), clock, clock.now)
    assert fired(broken) == ["area.job"]


def test_a_beat_that_takes_over_and_is_killed_leaves_the_states_as_they_were(redis_url: str) -> None:
    app, clock = app_on(redis_url, {"area.job": ENTRY}), Clock()
    beat(app, clock, NOON + timedelta(hours=1))
    with redis.Redis.from_url(redis_url) as client:
        before = client.hget("test:beat:state", "area.job")
        clock.step(timedelta(minutes=5))
        killed = stepped(app, clock)
        settle(killed)
        assert client.hget("test:beat:state", "area.job") == before
    killed.close()


def test_another_trigger_owes_nothing_of_its_past(redis_url: str) -> None:
    clock = Clock()
    beat(app_on(redis_url, {"area.job": ENTRY}), clock, NOON)
    clock.step(timedelta(hours=5))
    app = app_on(redis_url, {"area.job": {**ENTRY, "schedule": crontab(minute=30)}})
    beat(app, clock, clock.now + timedelta(minutes=1))
    assert fired(app) == []


def test_a_corrupt_state_does_not_stop_beat(redis_url: str) -> None:
    app, clock = app_on(redis_url), Clock()
    beat(app, clock, NOON)
    with redis.Redis.from_url(redis_url) as client:
        client.hset("test:beat:state", "area.job", "nonsense")
    clock.step(timedelta(hours=2))
    beat(app, clock, clock.now)
    assert fired(app) == ["area.other"]


def test_decisions_are_kept(redis_url: str) -> None:
    app, clock = app_on(redis_url, {"area.job": ENTRY}), Clock()
    scheduler = stepped(app, clock)
    run_until(scheduler, clock, NOON + timedelta(hours=2))
    assert scheduler._loop is not None
    kept = scheduler._loop._opened.ledger.read("area.job", 20)
    scheduler.close()
    assert [(decision.verdict, decision.reason) for decision in kept] == [(Verdict.FIRE, Reason.ON_TIME)] * 2


def test_without_a_broker_it_waits_and_then_begins(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    scheduler = AdaptiveScheduler(app_on("redis://127.0.0.1:1/0"))
    assert scheduler.tick() == 1
    assert scheduler.tick() == 1
    scheduler.close()
    assert [record.getMessage() for record in caplog.records] == ["broker_away"]
    begun = AdaptiveScheduler(app_on(redis_url))
    assert begun.tick() > 0
    begun.close()


def test_a_scheduler_that_is_only_shown_opens_nothing() -> None:
    app = app_on("redis://127.0.0.1:1/0")
    scheduler = AdaptiveScheduler(app, lazy=True)
    assert scheduler.schedule == {}
    assert isinstance(scheduler.info, str)
    scheduler.sync()
    scheduler.close()
    assert "connection" not in vars(scheduler)


def test_it_can_be_closed_twice_and_goes_on_when_ticked(redis_url: str) -> None:
    app, clock = app_on(redis_url), Clock()
    scheduler = stepped(app, clock)
    scheduler.close()
    settle(scheduler)
    scheduler.close()
    scheduler.close()
    clock.step(timedelta(hours=1))
    settle(scheduler)
    scheduler.sync()
    scheduler.close()
    assert fired(app) == ["area.job", "area.other"]


def test_a_broker_that_keeps_nothing_is_begun_afresh(caplog: pytest.LogCaptureFixture) -> None:
    app, clock = app_on("memory://", {"area.job": ENTRY}), Clock()
    scheduler = stepped(app, clock)
    run_until(scheduler, clock, NOON + timedelta(hours=1))
    scheduler.close()
    assert "state_is_in_process_only" in [record.getMessage() for record in caplog.records]
    assert fired(app) == ["area.job"]


def overlapping(policy: OverlapMode) -> dict[str, Any]:
    job = Job(
        "area.job",
        "area.job",
        IntervalTrigger(60_000),
        "area",
        Criticality.CRITICAL,
        policies=Policies(overlap=policy),
    )
    return {"area.job": {"task": "area.job", "schedule": JobSchedule(job), "options": {"queue": "area"}}}


def test_a_run_that_is_not_over_holds_the_next_one_back(redis_url: str) -> None:
    app = app_on(redis_url, overlapping(OverlapMode.SKIP))
    clock = Clock(NOON + timedelta(seconds=30))
    broker = open_broker_redis(app, namespace="test")
    assert broker is not None
    runs = RunningStore(broker)
    runs.renew({}, now=to_instant(clock.now))
    scheduler = stepped(app, clock)
    run_until(scheduler, clock, NOON + timedelta(minutes=2))
    assert [headers["scheduled_for"] for headers in messages(app)] == ["2026-01-05T12:01:00.000Z"]
    reading = runs.read(to_instant(clock.now))
    assert reading is not None
    [run] = reading.value["area.job"]
    runs.ended([run.task_id])
    run_until(scheduler, clock, NOON + timedelta(minutes=3))
    scheduler.close()
    broker.close()
    assert [headers["scheduled_for"] for headers in messages(app)] == ["2026-01-05T12:03:00.000Z"]
