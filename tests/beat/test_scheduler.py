"""The scheduler class on a real broker: headers, and a publish that fails and is made up for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import crontab, schedule
from kombu.exceptions import OperationalError

from packages.infra.beat.entry import GridEntry, resume_at
from packages.infra.beat.last_fires import RedisLastFires
from packages.infra.beat.scheduler import BeatScheduler

HOURLY = schedule(timedelta(hours=1))
ENTRY: dict[str, Any] = {"task": "area.job", "schedule": HOURLY, "options": {"queue": "area", "expires": 60}}


def make_app(url: str) -> Celery:
    app = Celery("test", broker=url, set_as_current=False)
    app.conf.update(
        beat_schedule={"area.job": ENTRY, "area.other": {**ENTRY, "task": "area.other"}},
        timezone="UTC",
        task_publish_retry=False,
        broker_transport_options={"socket_connect_timeout": 1},
    )
    return app


class FlakyScheduler(BeatScheduler):
    """A broker that is away as long as `away` is set."""

    away = False
    clock = 0.0

    def send_task(self, *args: object, **kwargs: object) -> object:
        if self.away:
            raise OperationalError("the broker is away")
        return super().send_task(*args, **kwargs)


def flaky(app: Celery) -> FlakyScheduler:
    scheduler = FlakyScheduler(app)
    scheduler.monotonic = lambda: scheduler.clock
    return scheduler


def due(scheduler: BeatScheduler) -> None:
    """Make every entry due at the next tick."""
    scheduler.tick()
    for entry in scheduler.schedule.values():
        entry.last_run_at = datetime.now(UTC) - timedelta(hours=2)
    scheduler.populate_heap()


def messages(app: Celery) -> list[dict[str, Any]]:
    """The headers of the messages in the queue, which is empty afterwards."""
    taken: list[dict[str, Any]] = []
    with app.connection_for_read() as connection, connection.SimpleQueue("area") as queue:
        while True:
            try:
                message = queue.get(block=False)
            except queue.Empty:
                return taken
            taken.append(message.headers)
            message.ack()


def tick_all(scheduler: BeatScheduler) -> float:
    delay = scheduler.tick()
    while delay == 0:
        delay = scheduler.tick()
    return delay


def test_a_message_says_which_job_it_belongs_to(redis_url: str) -> None:
    app = make_app(redis_url)
    scheduler = BeatScheduler(app)
    due(scheduler)
    before = datetime.now(UTC)
    tick_all(scheduler)
    scheduler.close()
    found = {str(headers["beat_job"]): headers for headers in messages(app)}
    assert set(found) == {"area.job", "area.other"}
    headers = found["area.job"]
    assert headers["task"] == "area.job"
    assert headers["beat_origin"] == "schedule"
    assert headers["celery_beat_task"] is True
    assert headers["expires"] is not None
    published = datetime.fromisoformat(str(headers["beat_published_at"]))
    assert before - timedelta(milliseconds=1) <= published <= datetime.now(UTC)


def test_the_entry_itself_is_not_stamped(redis_url: str) -> None:
    app = make_app(redis_url)
    scheduler = BeatScheduler(app)
    due(scheduler)
    tick_all(scheduler)
    scheduler.close()
    assert all("headers" not in (entry.options or {}) for entry in scheduler.schedule.values())


def test_a_failed_publish_is_made_up_for(redis_url: str) -> None:
    app = make_app(redis_url)
    scheduler = flaky(app)
    due(scheduler)
    scheduler.away = True
    assert tick_all(scheduler) <= 1
    assert messages(app) == []
    scheduler.away = False
    tick_all(scheduler)
    scheduler.close()
    assert sorted(str(headers["beat_job"]) for headers in messages(app)) == ["area.job", "area.other"]


def test_a_fire_that_would_have_expired_is_given_up(redis_url: str) -> None:
    app = make_app(redis_url)
    scheduler = flaky(app)
    due(scheduler)
    scheduler.away = True
    tick_all(scheduler)
    scheduler.clock = 60.0
    scheduler.away = False
    tick_all(scheduler)
    scheduler.close()
    assert messages(app) == []


def test_a_broken_entry_does_not_hold_back_what_waits_behind_it(redis_url: str) -> None:
    app = make_app(redis_url)
    app.conf.beat_schedule = {"area.broken": {**ENTRY, "args": (object(),)}, **app.conf.beat_schedule}
    scheduler = flaky(app)
    due(scheduler)
    scheduler.away = True
    tick_all(scheduler)
    scheduler.away = False
    tick_all(scheduler)
    scheduler.close()
    assert sorted(str(headers["beat_job"]) for headers in messages(app)) == ["area.job", "area.other"]


def test_an_entry_that_cannot_be_published_does_not_stop_the_others(redis_url: str) -> None:
    app = make_app(redis_url)
    app.conf.beat_schedule["area.broken"] = {**ENTRY, "args": (object(),)}
    scheduler = flaky(app)
    due(scheduler)
    for _ in range(3):
        tick_all(scheduler)
    scheduler.close()
    assert sorted(str(headers["beat_job"]) for headers in messages(app)) == ["area.job", "area.other"]


@pytest.mark.parametrize("options", [{}, {"headers": {"mine": 1}}])
def test_headers_of_the_entry_are_kept(redis_url: str, options: dict[str, object]) -> None:
    app = make_app(redis_url)
    scheduler = BeatScheduler(app)
    entry = ScheduleEntry(
        name="area.job", task="area.job", schedule=HOURLY, options={"queue": "area", **options}, app=app
    )
    scheduler.apply_entry(entry, producer=scheduler.producer)
    scheduler.close()
    [headers] = messages(app)
    assert headers["beat_job"] == "area.job"
    assert headers.get("mine") == (1 if options else None)


def minutely(app: Celery, last_run_at: datetime | None = None) -> GridEntry:
    return GridEntry(
        name="area.job", task="area.job", schedule=schedule(timedelta(minutes=1)), last_run_at=last_run_at, app=app
    )


def test_an_interval_starts_on_the_grid_of_the_epoch() -> None:
    app = Celery("test", set_as_current=False)
    for _ in range(2):
        last = minutely(app).last_run_at
        assert last is not None
        assert (last.second, last.microsecond) == (0, 0)
        assert last <= datetime.now(UTC) < last + timedelta(minutes=1, seconds=10)


def test_an_interval_stays_on_the_grid_of_its_last_run() -> None:
    app = Celery("test", set_as_current=False)
    given = datetime.now(UTC) - timedelta(minutes=10, seconds=7)
    entry = minutely(app, last_run_at=given)
    assert entry.last_run_at == given
    following = next(entry)
    assert following.last_run_at is not None
    assert (following.last_run_at - given) % timedelta(minutes=1) == timedelta(0)
    assert following.last_run_at <= datetime.now(UTC)
    assert following.total_run_count == 1
    assert isinstance(following, GridEntry)


def test_an_interval_that_is_late_is_asked_for_at_the_next_instant_of_its_grid() -> None:
    app = Celery("test", set_as_current=False)
    entry = minutely(app, last_run_at=datetime.now(UTC) - timedelta(minutes=3, seconds=40))
    due, ask_again_s = entry.is_due()
    assert due
    assert 0 < ask_again_s <= 20


def test_a_grid_that_was_given_survives_a_restart() -> None:
    app = Celery("test", set_as_current=False)
    now = datetime.now(UTC)
    given = now - timedelta(minutes=10, seconds=7)
    resumed = resume_at(minutely(app, last_run_at=given), given + timedelta(minutes=4, seconds=3), now)
    assert resumed == given + timedelta(minutes=4)


def test_a_crontab_is_left_to_celery() -> None:
    app = Celery("test", timezone="UTC", set_as_current=False)
    before = datetime.now(UTC)
    entry = GridEntry(name="area.job", task="area.job", schedule=crontab(minute="7"), app=app)
    assert entry.last_run_at is not None
    assert entry.last_run_at >= before


def fired_names(app: Celery) -> list[str]:
    return sorted(str(headers["beat_job"]) for headers in messages(app))


def test_what_came_due_while_no_beat_ran_fires_once(redis_url: str) -> None:
    app = make_app(redis_url)
    first = BeatScheduler(app)
    first.tick()
    first.close()
    with redis.Redis.from_url(redis_url) as client:
        kept = RedisLastFires(client)
        assert set(kept.read()) == {"area.job", "area.other"}
        kept.write("area.job", datetime.now(UTC) - timedelta(hours=5))
        kept.write("area.gone", datetime.now(UTC))
        second = BeatScheduler(app)
        tick_all(second)
        tick_all(second)
        second.close()
        assert fired_names(app) == ["area.job"]
        assert datetime.now(UTC) - kept.read()["area.job"] <= timedelta(hours=1)
        assert "area.gone" not in kept.read()
    third = BeatScheduler(app)
    tick_all(third)
    third.close()
    assert fired_names(app) == []


def test_a_daily_entry_that_was_missed_fires(redis_url: str) -> None:
    app = make_app(redis_url)
    now = datetime.now(UTC)
    missed = now - timedelta(minutes=2)
    daily = crontab(minute=str(missed.minute), hour=str(missed.hour))
    app.conf.beat_schedule = {"area.daily": {**ENTRY, "schedule": daily}}
    with redis.Redis.from_url(redis_url) as client:
        RedisLastFires(client).write("area.daily", now - timedelta(days=1))
    scheduler = BeatScheduler(app)
    tick_all(scheduler)
    scheduler.close()
    assert fired_names(app) == ["area.daily"]


def test_without_a_broker_it_waits_and_then_begins(valkey_server: str) -> None:
    scheduler = BeatScheduler(make_app("redis://127.0.0.1:1/0"))
    assert scheduler.tick() == 1
    scheduler.close()
    begun = BeatScheduler(make_app(valkey_server))
    assert begun.tick() > 0
    begun.close()


class SetClock(BeatScheduler):
    """A wall clock that a test sets; the other clock goes on."""

    now = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)
    seconds = 0.0


def test_a_clock_that_is_set_back_does_not_stop_an_interval() -> None:
    app = make_app("memory://")
    scheduler = SetClock(app)
    scheduler.monotonic = lambda: scheduler.seconds
    scheduler.wall_clock = lambda: scheduler.now
    scheduler.tick()
    entry = scheduler.schedule["area.job"]
    entry.last_run_at = scheduler.now.replace(minute=0, second=0)
    scheduler.tick()
    scheduler.now -= timedelta(hours=5)
    scheduler.seconds += 1
    scheduler.tick()
    assert entry.last_run_at == datetime(2026, 1, 5, 7, 0, tzinfo=UTC)
    scheduler.close()


def test_a_broker_that_keeps_nothing_is_begun_afresh() -> None:
    scheduler = BeatScheduler(make_app("memory://"))
    due(scheduler)
    tick_all(scheduler)
    scheduler.close()
