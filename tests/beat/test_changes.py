"""A running beat follows its schedule: edits by users, the configuration, a reload of the settings, an operator."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from celery.beat import ScheduleEntry
from celery.schedules import crontab, schedule

from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.beat.entries.schedule_map import ScheduleMap
from packages.infra.control.redis_control import RedisControl
from packages.infra.queue.broker_redis import open_broker_redis
from packages.scheduling.instants import to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.requests import TriggerRequest
from packages.scheduling.snapshot import Pause, PauseScope
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.shared_settings.errors import SettingProblem, SettingsError
from tests.beat.stepped import NOON, Clock, Recorder, make_app, on_clock, recorder, run_until, settle

# What nobody tells is looked for so often.
SCANNED_EVERY = timedelta(milliseconds=100)
MINUTE = timedelta(minutes=1)


def entry(every_s: float = 60, **more: object) -> dict[str, Any]:
    return {"task": "task", "schedule": schedule(timedelta(seconds=every_s)), **more}


def world(schedules: Mapping[str, Any], **conf: Any) -> tuple[Recorder, Clock]:  # noqa: ANN401  # settings of Celery
    clock = Clock()
    scheduler = recorder(make_app(schedules, **conf), clock)
    settle(scheduler)
    return scheduler, clock


def names_within(scheduler: Recorder, clock: Clock, duration: timedelta) -> list[str]:
    scheduler.sent.clear()
    run_until(scheduler, clock, clock.now + duration)
    return scheduler.names


def made(scheduler: Recorder, name: str, every_s: float) -> ScheduleEntry:
    return scheduler.Entry(name=name, app=scheduler.app, **entry(every_s))


def test_entries_can_be_added_while_it_runs() -> None:
    scheduler, clock = world({"first": entry()})
    scheduler.add(name="added", **entry(50))
    scheduler.schedule["set"] = made(scheduler, "set", 51)
    scheduler.update_from_dict({"updated": entry(52)})
    scheduler.schedule |= {"merged": made(scheduler, "merged", 53)}
    scheduler.schedule.setdefault("default", made(scheduler, "default", 54))
    assert names_within(scheduler, clock, MINUTE) == ["added", "set", "updated", "merged", "default", "first"]
    scheduler.close()


@pytest.mark.parametrize("how", ["del", "pop", "clear", "popitem"])
def test_entries_can_be_taken_out_while_it_runs(how: str) -> None:
    scheduler, clock = world({"only": entry()})
    match how:
        case "del":
            del scheduler.schedule["only"]
        case "pop":
            scheduler.schedule.pop("only")
        case "clear":
            scheduler.schedule.clear()
        case "popitem":
            scheduler.schedule.popitem()
    assert names_within(scheduler, clock, MINUTE) == []
    scheduler.close()


def test_an_entry_that_comes_back_starts_afresh() -> None:
    scheduler, clock = world({"job": entry(60)})
    kept = scheduler.schedule.pop("job")
    run_until(scheduler, clock, clock.now + 10 * MINUTE)
    scheduler.schedule["job"] = kept
    assert names_within(scheduler, clock, MINUTE) == ["job"]
    scheduler.close()


def test_another_schedule_of_an_entry_is_followed() -> None:
    scheduler, clock = world({"job": entry(3600), "other": entry(60)})
    scheduler.schedule["job"].schedule = schedule(timedelta(seconds=30))
    clock.step(SCANNED_EVERY)
    assert names_within(scheduler, clock, MINUTE).count("job") == 2
    scheduler.merge_inplace({"job": entry(20), "other": entry(60)})
    assert names_within(scheduler, clock, MINUTE).count("job") == 3
    scheduler.close()


def test_a_whole_new_schedule_is_followed() -> None:
    scheduler, clock = world({"job": entry()})
    scheduler.schedule = {"new": made(scheduler, "new", 60)}
    assert isinstance(scheduler.schedule, ScheduleMap)
    assert names_within(scheduler, clock, MINUTE) == ["new"]
    scheduler.close()


def test_a_mapping_of_the_users_own_is_followed() -> None:
    class Own(dict[str, Any]):
        pass

    clock = Clock()
    scheduler = Recorder(make_app({}), schedule=Own())
    on_clock(scheduler, clock)
    settle(scheduler)
    scheduler.schedule["job"] = made(scheduler, "job", 60)
    clock.step(SCANNED_EVERY)
    assert names_within(scheduler, clock, MINUTE) == ["job"]
    del scheduler.schedule["job"]
    clock.step(SCANNED_EVERY)
    assert names_within(scheduler, clock, MINUTE) == []
    scheduler.close()


def test_only_what_changed_is_planned_anew() -> None:
    scheduler, clock = world({"job": entry(60), "other": entry(45)})
    run_until(scheduler, clock, NOON + timedelta(seconds=20))
    scheduler.add(name="added", **entry(3600))
    scheduler.sent.clear()
    run_until(scheduler, clock, NOON + MINUTE)
    scheduler.close()
    assert scheduler.nominals == ["2026-01-05T12:00:45.000Z", "2026-01-05T12:01:00.000Z"]


def test_tasks_added_to_the_configuration_are_followed() -> None:
    scheduler, clock = world({"job": entry(3600)})

    scheduler.app.add_periodic_task(30, scheduler.app.signature("task"), name="by hand")
    scheduler.app.conf.beat_schedule["job"]["schedule"] = 20
    run_until(scheduler, clock, clock.now + timedelta(seconds=5.5))
    settle(scheduler)
    run_until(scheduler, clock, clock.now + MINUTE)
    assert scheduler.names.count("by hand") >= 1
    assert scheduler.names.count("job") == 3
    del scheduler.app.conf.beat_schedule["job"]
    run_until(scheduler, clock, clock.now + timedelta(seconds=30))
    assert "job" not in names_within(scheduler, clock, MINUTE)
    scheduler.close()


class Source:
    """Settings that a test writes."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] | Exception | None = None

    def changed(self) -> bool:
        return self.entries is not None

    def read(self) -> Mapping[str, dict[str, Any]]:
        entries, self.entries = self.entries, None
        if isinstance(entries, Exception):
            raise entries
        assert entries is not None
        return entries


def job_entry(name: str, period_s: int) -> dict[str, Any]:
    job = Job(name, "task", IntervalTrigger(period_s * 1_000), "area", Criticality.CRITICAL)
    return {"task": "task", "schedule": JobSchedule(job), "options": {"queue": "area"}}


def test_settings_are_reloaded(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    scheduler, clock = world(
        {"kept": job_entry("kept", 60), "slow": job_entry("slow", 3600), "gone": job_entry("gone", 60)},
        beat_schedule_source=source,
    )
    scheduler.add(name="own", **entry(60))
    untouched = scheduler.schedule["kept"]
    run_until(scheduler, clock, NOON + timedelta(seconds=20))
    source.entries = {"kept": job_entry("kept", 60), "slow": job_entry("slow", 30), "new": job_entry("new", 60)}
    with caplog.at_level(logging.INFO):
        settle(scheduler)
    assert scheduler.schedule["kept"] is untouched
    names = names_within(scheduler, clock, timedelta(seconds=40))
    scheduler.close()
    assert sorted(names) == ["kept", "new", "own", "slow", "slow"]
    said = {record.getMessage(): vars(record).get("job") for record in caplog.records}
    assert said["entry_removed"] == "gone"
    assert "settings_reloaded" in said


def test_settings_that_are_refused_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    scheduler, clock = world({"job": job_entry("job", 60)}, beat_schedule_source=source)
    for _ in range(3):
        source.entries = SettingsError(
            SettingProblem("PAPER_TRADING_ENABLED", "env/.env", "is no boolean", "true, false")
        )
        run_until(scheduler, clock, clock.now + timedelta(seconds=1))
    said = [record for record in caplog.records if record.getMessage() == "settings_reload_refused"]
    # Who changes a file, and gets it wrong again, wants to be told again.
    assert ["PAPER_TRADING_ENABLED" in vars(record)["error"] for record in said] == [True] * 3
    assert names_within(scheduler, clock, MINUTE) == ["job"]
    source.entries = {}
    assert names_within(scheduler, clock, 2 * MINUTE) == []
    scheduler.close()


def test_an_entry_of_the_settings_that_is_none_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    scheduler, clock = world({"job": job_entry("job", 60)}, beat_schedule_source=source)
    source.entries = {"job": job_entry("job", 30), "bad": {"no such": "field"}}
    settle(scheduler)
    assert names_within(scheduler, clock, MINUTE) == ["job", "job"]
    assert "entry_refused" in [record.getMessage() for record in caplog.records]
    scheduler.close()


def test_another_trigger_owes_nothing_of_the_past() -> None:
    source = Source()
    scheduler, clock = world({"job": job_entry("job", 7200)}, beat_schedule_source=source)
    run_until(scheduler, clock, NOON + timedelta(minutes=45, seconds=30))
    source.entries = {"job": {"task": "task", "schedule": crontab(minute=0, hour="*/2")}}
    assert names_within(scheduler, clock, timedelta(minutes=30)) == []
    scheduler.close()


def test_an_operator_pauses_and_triggers(redis_url: str) -> None:
    app = make_app({"job": entry(60), "other": entry(60)}, broker=redis_url)
    broker = open_broker_redis(app, namespace="test")
    assert broker is not None
    operator = RedisControl(broker)
    clock = Clock()
    scheduler = recorder(app, clock)
    settle(scheduler)
    now = to_instant(clock.now)
    operator.pause(Pause(PauseScope.JOB, "job", since=now, until=now + 90_000, note="a test"))
    assert names_within(scheduler, clock, MINUTE) == ["other"]
    operator.request(TriggerRequest("t1", "job", to_instant(clock.now)))
    operator.request(TriggerRequest("t2", "nobody", to_instant(clock.now)))
    scheduler.sent.clear()
    clock.step(timedelta(seconds=0.2))
    settle(scheduler)
    assert [sent.headers["beat_origin"] for sent in scheduler.sent] == ["trigger:t1"]
    assert operator.read(to_instant(clock.now)).requests == ()
    assert names_within(scheduler, clock, MINUTE) == ["job", "other"]
    scheduler.close()
    broker.close()


def test_an_operators_word_is_heard_within_a_moment_however_often_beat_wakes(redis_url: str) -> None:
    app = make_app({"job": entry(0.01)}, broker=redis_url)
    broker = open_broker_redis(app, namespace="test")
    assert broker is not None
    clock = Clock()
    scheduler = recorder(app, clock)
    settle(scheduler)
    now = to_instant(clock.now)
    RedisControl(broker).pause(Pause(PauseScope.ALL, "", since=now, until=None, note="a test"))
    # Not at each of a hundred wake-ups in a second, and yet in the first fifth of it.
    assert 0 < len(names_within(scheduler, clock, timedelta(seconds=1))) <= 20
    scheduler.close()
    broker.close()


def test_what_touches_the_map_is_told_once() -> None:
    scheduler, _ = world({})
    made_entry = made(scheduler, "a", 60)
    schedules = ScheduleMap({"a": made_entry})
    assert schedules.take_touched() == {"a"}
    assert schedules.take_touched() == set()
    assert schedules.pop("none", None) is None
    with pytest.raises(KeyError):
        del schedules["none"]
    assert schedules.take_touched() <= {"none"}
    scheduler.close()
