"""What Celery's documentation says of `beat_schedule` holds here, too."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, signals
from celery.beat import BeatLazyFunc, ScheduleEntry
from celery.schedules import crontab, schedule

from packages.infra.beat.readings import NoReadings
from packages.infra.beat.state_store import MemoryStateStore
from packages.infra.beat.wiring import opened_with
from packages.infra.ledger.ledger import MemoryLedger
from tests.beat.stepped import NOON, Clock, Recorder, make_app, on_clock, recorder, run_until, settle

EVERY_MINUTE = schedule(timedelta(minutes=1))


def entry(when: object = EVERY_MINUTE, **more: object) -> dict[str, Any]:
    return {"task": "area.task", "schedule": when, **more}


def fired(schedules: dict[str, Any], start: datetime, end: datetime, **conf: Any) -> Recorder:  # noqa: ANN401  # settings of Celery
    clock = Clock(start)
    scheduler = recorder(make_app(schedules, **conf), clock)
    run_until(scheduler, clock, end)
    scheduler.close()
    return scheduler


def test_an_interval_counts_from_the_start() -> None:
    found = fired({"job": entry(20)}, NOON + timedelta(seconds=7), NOON + timedelta(minutes=1, seconds=7))
    assert found.nominals == ["2026-01-05T12:00:27.000Z", "2026-01-05T12:00:47.000Z", "2026-01-05T12:01:07.000Z"]


@pytest.mark.parametrize(
    ("when", "first"),
    [
        (30, "2026-01-05T12:00:30.000Z"),
        (0.5, "2026-01-05T12:00:00.500Z"),
        (timedelta(hours=2), "2026-01-05T14:00:00.000Z"),
        (timedelta(seconds=1) / 3, "2026-01-05T12:00:00.333Z"),
        (schedule(10), "2026-01-05T12:00:10.000Z"),
        (crontab(), "2026-01-05T12:01:00.000Z"),
        (crontab(minute="*/15"), "2026-01-05T12:15:00.000Z"),
        (crontab(minute=0, hour=0), "2026-01-06T00:00:00.000Z"),
        (crontab(minute=30, hour="7,13"), "2026-01-05T13:30:00.000Z"),
        (crontab(minute=0, hour=8, day_of_week="sun"), "2026-01-11T08:00:00.000Z"),
        (crontab(minute=0, hour=8, day_of_month="1-7"), "2026-01-06T08:00:00.000Z"),
        (crontab(minute=0, hour=0, day_of_month=11, month_of_year=5), "2026-05-11T00:00:00.000Z"),
        # Both fields of the day must match: the first Thursday of a month.
        (crontab(minute=0, hour=9, day_of_week="thu", day_of_month="1-7"), "2026-02-05T09:00:00.000Z"),
        (schedule(timedelta(hours=1), relative=True), "2026-01-05T13:00:00.000Z"),
        (schedule(timedelta(days=1), relative=True), "2026-01-06T00:00:00.000Z"),
    ],
)
def test_the_first_fire_of_a_schedule(when: object, first: str) -> None:
    clock = Clock()
    scheduler = recorder(make_app({"job": entry(when)}), clock)
    settle(scheduler)
    assert scheduler._loop is not None
    wake = scheduler._loop.next_wake()
    assert wake is not None
    run_until(scheduler, clock, datetime.fromtimestamp(wake / 1_000, UTC))
    scheduler.close()
    assert scheduler.nominals == [first]


def test_a_relative_interval_keeps_to_the_clock() -> None:
    start = NOON + timedelta(minutes=7, seconds=3)
    found = fired({"job": entry(timedelta(hours=1), relative=True)}, start, start + timedelta(hours=2))
    assert found.nominals == ["2026-01-05T13:00:00.000Z", "2026-01-05T14:00:00.000Z"]


def test_a_crontab_is_in_the_zone_of_the_app() -> None:
    app = Celery("test", broker="memory://", set_as_current=False)
    app.conf.update(beat_schedule={"job": entry(crontab(minute=30, hour=9))}, timezone="America/New_York")
    clock = Clock(datetime(2026, 3, 7, 12, 0, tzinfo=UTC))
    scheduler = recorder(app, clock)
    run_until(scheduler, clock, clock.now + timedelta(days=2))
    scheduler.close()
    # The clocks go forward on 8 March.
    assert scheduler.nominals == ["2026-03-07T14:30:00.000Z", "2026-03-08T13:30:00.000Z"]


def test_a_crontab_may_have_a_zone_of_its_own() -> None:
    from zoneinfo import ZoneInfo

    when = crontab(minute=0, hour=9)
    vars(when)["tz"] = ZoneInfo("Asia/Tokyo")
    assert fired({"job": entry(when)}, NOON, NOON + timedelta(days=1)).nominals == ["2026-01-06T00:00:00.000Z"]


def test_arguments_and_options_reach_the_message() -> None:
    options = {"queue": "q", "routing_key": "r", "priority": 3, "expires": 30, "countdown": 5, "headers": {"mine": 1}}
    found = fired({"job": entry(args=(1, 2), kwargs={"a": 3}, options=options)}, NOON, NOON + timedelta(minutes=1))
    [sent] = found.sent
    assert (sent.task, sent.args, sent.kwargs) == ("area.task", [1, 2], {"a": 3})
    for name in ("queue", "routing_key", "priority", "expires", "countdown"):
        assert sent.options[name] == options[name]
    assert sent.headers["mine"] == 1
    assert sent.headers["celery_beat_task"] is True
    assert options["headers"] == {"mine": 1}


def test_an_entry_may_bring_its_own_task_id_and_its_word_on_retries() -> None:
    found = fired(
        {"job": entry(options={"task_id": "mine", "retry": True}), "other": entry()}, NOON, NOON + timedelta(minutes=1)
    )
    by_name = {sent.headers["beat_job"]: sent.options for sent in found.sent}
    assert (by_name["job"]["task_id"], by_name["job"]["retry"]) == ("mine", True)
    assert by_name["other"]["task_id"] != "mine"
    assert by_name["other"]["retry"] is False


def test_lazy_arguments_are_evaluated_for_each_message() -> None:
    calls: list[int] = []

    def count(step: int) -> int:
        calls.append(step)
        return len(calls) * step

    lazy = BeatLazyFunc(count, 10)
    found = fired({"job": entry(args=(lazy, "x"), kwargs={"k": lazy})}, NOON, NOON + timedelta(minutes=2))
    assert [(sent.args, sent.kwargs) for sent in found.sent] == [([10, "x"], {"k": 20}), ([30, "x"], {"k": 40})]


def test_arguments_may_be_absent() -> None:
    [sent] = fired({"job": entry(args=None, kwargs=None)}, NOON, NOON + timedelta(minutes=1)).sent
    assert (sent.args, sent.kwargs) == ([], {})


def test_a_registered_task_publishes_itself() -> None:
    app = make_app({"job": entry()})
    calls: list[dict[str, Any]] = []

    class Own(app.Task):  # type: ignore[name-defined,misc]  # made by the app
        name = "area.task"

        def apply_async(self, *_: object, **options: object) -> None:
            calls.append(options)

    app.register_task(Own())
    clock = Clock()
    scheduler = recorder(app, clock)
    run_until(scheduler, clock, NOON + timedelta(minutes=1))
    scheduler.close()
    assert scheduler.sent == []
    [options] = calls
    assert options["headers"]["beat_job"] == "job"


def test_periodic_tasks_of_the_app_are_entries() -> None:
    app = make_app({})

    @app.task(name="area.added")
    def added(text: str) -> str:
        return text

    app.on_after_configure.connect(
        lambda sender, **_: sender.add_periodic_task(30, added.s("hello"), name="added", expires=10), weak=False
    )
    scheduler = Recorder(app)
    assert list(scheduler.schedule) == ["added"]
    assert scheduler.schedule["added"].options["expires"] == 10
    scheduler.close()


@pytest.mark.parametrize(
    ("backend", "expires", "expected"),
    [("cache+memory://", None, []), ("db+sqlite://", 3600, ["celery.backend_cleanup"]), ("disabled://", 3600, [])],
)
def test_results_are_cleaned_up_where_nothing_else_does(backend: str, expires: int | None, expected: list[str]) -> None:
    app = Celery("test", broker="memory://", backend=backend, set_as_current=False)
    app.conf.result_expires = expires
    if backend == "cache+memory://":
        app.backend.supports_autoexpire = False
    if backend == "db+sqlite://":
        pytest.importorskip("sqlalchemy")
    scheduler = Recorder(app)
    assert list(scheduler.schedule) == expected
    scheduler.close()


def test_a_clean_up_of_the_users_own_is_kept() -> None:
    app = Celery("test", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.backend.supports_autoexpire = False
    own = {"task": "celery.backend_cleanup", "schedule": 7}
    app.conf.update(result_expires=60, beat_schedule={"celery.backend_cleanup": own})
    scheduler = Recorder(app)
    assert scheduler.schedule["celery.backend_cleanup"].schedule == schedule(7)
    scheduler.close()


def test_what_was_missed_fires_once() -> None:
    last = NOON - timedelta(days=3, minutes=7)
    schedules = {
        "interval": entry(timedelta(hours=1), last_run_at=last),
        "cron": entry(crontab(minute=0, hour=10), last_run_at=last),
        "naive": entry(timedelta(hours=1), last_run_at=last.replace(tzinfo=None)),
    }
    found = fired(schedules, NOON, NOON)
    assert dict(zip(found.names, found.nominals, strict=True)) == {
        "interval": "2026-01-05T11:53:00.000Z",
        "cron": "2026-01-05T10:00:00.000Z",
        "naive": "2026-01-05T11:53:00.000Z",
    }


@pytest.mark.parametrize(
    ("deadline_s", "expected"), [(None, ["cron", "interval"]), (3600, ["interval"]), (7200, ["cron", "interval"])]
)
def test_a_crontab_has_a_starting_deadline(deadline_s: int | None, expected: list[str]) -> None:
    last = NOON - timedelta(days=3)
    schedules = {
        "interval": entry(timedelta(days=1), last_run_at=last),
        "cron": entry(crontab(minute=0, hour=10), last_run_at=last),
    }
    assert sorted(fired(schedules, NOON, NOON, beat_cron_starting_deadline=deadline_s).names) == expected


def test_a_last_run_in_the_future_is_waited_for() -> None:
    found = fired(
        {"job": entry(timedelta(minutes=1), last_run_at=NOON + timedelta(seconds=3))},
        NOON,
        NOON + timedelta(minutes=2, seconds=3),
    )
    assert found.nominals == ["2026-01-05T12:01:03.000Z", "2026-01-05T12:02:03.000Z"]


def test_entries_count_their_runs() -> None:
    app = make_app({"job": entry()})
    clock = Clock()
    scheduler = recorder(app, clock)
    first: ScheduleEntry = scheduler.schedule["job"]
    run_until(scheduler, clock, NOON + timedelta(minutes=3))
    scheduler.close()
    # An entry of our own class is counted on, not replaced: at ten thousand fires a second that shows.
    assert scheduler.schedule["job"] is first
    assert first.total_run_count == 3
    assert first.last_run_at == NOON + timedelta(minutes=3)


class UsersEntry(ScheduleEntry):
    """An entry class of a user's own, which may keep what it is told."""


class UsersMapping(dict[str, Any]):
    """A mapping of a user's own, which keeps what is put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[str] = []

    def __setitem__(self, name: str, entry: Any) -> None:  # noqa: ANN401  # as dict's
        self.kept.append(name)
        super().__setitem__(name, entry)


def test_an_entry_of_a_users_own_class_is_replaced_by_its_next_instance() -> None:
    class Own(Recorder):
        Entry = UsersEntry

    clock = Clock()
    scheduler = Own(make_app({"job": entry()}))
    on_clock(scheduler, clock)
    settle(scheduler)
    first: ScheduleEntry = scheduler.schedule["job"]
    run_until(scheduler, clock, NOON + timedelta(minutes=3))
    scheduler.close()
    assert (first.total_run_count, scheduler.schedule["job"].total_run_count) == (0, 3)


def test_a_mapping_of_a_users_own_is_told_of_each_run() -> None:
    clock = Clock()
    own = UsersMapping()
    scheduler = Recorder(make_app({"job": entry()}), schedule=own)
    on_clock(scheduler, clock)
    settle(scheduler)
    own.kept.clear()
    run_until(scheduler, clock, NOON + timedelta(minutes=3))
    scheduler.close()
    assert own.kept == ["job"] * 3


def test_the_longest_wait_is_half_a_second_and_never_above_the_users() -> None:
    app = make_app({"job": entry(crontab(minute=0, hour=0))})
    assert settle(recorder(app, Clock())) == 0.5
    app.conf.beat_max_loop_interval = 0.1
    assert settle(recorder(app, Clock())) == 0.1
    assert settle(recorder(make_app({}), Clock())) == 0.5


def test_the_wait_ends_when_the_next_fire_is_due() -> None:
    scheduler = recorder(make_app({"job": entry(0.25)}), Clock())
    assert settle(scheduler) == pytest.approx(0.25)
    scheduler.close()


def test_publish_signals_are_sent(redis_url: str) -> None:
    app = make_app({"job": entry(last_run_at=NOON - timedelta(hours=1))}, broker=redis_url)
    seen: list[str] = []

    def published(sender: str, headers: dict[str, Any], **_: object) -> None:
        seen.append(f"{sender} {headers['beat_job']}")

    signals.before_task_publish.connect(published)
    try:
        from packages.infra.beat.scheduler import AdaptiveScheduler

        scheduler = AdaptiveScheduler(app)
        settle(scheduler)
        scheduler.close()
    finally:
        signals.before_task_publish.disconnect(published)
    assert seen == ["area.task job"]


def test_an_entry_object_keeps_its_grid_over_restarts() -> None:
    store = MemoryStateStore()
    clock = Clock()
    nominals: list[str] = []
    # Made anew at each start, as in a module that is imported: what it says of its last run is when that was.
    for started in (NOON, NOON + timedelta(minutes=20), NOON + timedelta(minutes=50)):
        clock.to(started)
        given = ScheduleEntry(
            name="job", task="area.task", schedule=schedule(timedelta(hours=1)), last_run_at=clock.now, app=make_app({})
        )
        scheduler = recorder(make_app({"job": given}), clock)
        scheduler.open_for = lambda host: opened_with(host, store=store, ledger=MemoryLedger(), readings=NoReadings())
        run_until(scheduler, clock, clock.now + timedelta(minutes=19))
        scheduler.close()
        nominals += scheduler.nominals
    assert nominals == ["2026-01-05T13:00:00.000Z"]
