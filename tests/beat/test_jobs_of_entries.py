"""An entry as a job: its queue, its expiry, its policies."""

import pickle
from copy import copy
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import BaseSchedule, crontab, schedule
from kombu import Queue

from packages.infra.beat.entries.entry import BeatEntry, starts_from
from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.beat.entries.jobs_of_entries import JobMaker, facts_of
from packages.scheduling.instants import DAY_MS, MINUTE_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import CatchUpMode, OverlapMode, Policies
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.stepped import NOON

TRIGGER = IntervalTrigger(MINUTE_MS)


def make_app(**conf: object) -> Celery:
    app = Celery("test", broker="memory://", set_as_current=False)
    app.conf.update(conf)
    return app


def job_of(app: Celery, when: BaseSchedule | None = None, options: dict[str, Any] | None = None) -> Job:
    entry = BeatEntry(name="name", task="area.task", schedule=when or schedule(60), options=options, app=app)
    return JobMaker(app).job("name", facts_of(entry, polled=False), TRIGGER)


@pytest.mark.parametrize(
    ("options", "conf", "queue"),
    [
        ({}, {}, "celery"),
        ({}, {"task_default_queue": "mine"}, "mine"),
        ({"queue": "given"}, {}, "given"),
        ({"queue": Queue("object")}, {}, "object"),
        ({}, {"task_routes": {"area.*": {"queue": "routed"}}}, "routed"),
        ({}, {"task_routes": {"area.*": {"queue": "missing"}}, "task_create_missing_queues": False}, "celery"),
        ({"queue": "given"}, {"task_routes": {"area.*": {"queue": "routed"}}}, "given"),
    ],
)
def test_the_queue_is_the_one_that_publishing_will_choose(
    options: dict[str, Any], conf: dict[str, Any], queue: str
) -> None:
    assert job_of(make_app(**conf), options=options).queue == queue


@pytest.mark.parametrize(
    ("expires", "expires_ms"), [(None, None), (30, 30_000), (0.25, 250), (0, 1), (NOON, None), (True, 1_000)]
)
def test_a_message_expires_as_the_options_say(expires: object, expires_ms: int | None) -> None:
    assert job_of(make_app(), options={"expires": expires}).expires_ms == expires_ms


def test_nothing_of_an_ordinary_entry_is_shed_moved_or_held_back() -> None:
    job = job_of(make_app())
    assert job.criticality is Criticality.CRITICAL
    assert job.policies.jitter_ms == 0
    assert job.policies.overlap is OverlapMode.ALLOW
    assert (job.policies.trading_hours, job.policies.windows) == (None, None)
    assert job.policies.catch_up.mode is CatchUpMode.LATEST
    assert job.policies.catch_up.window_ms > 365 * DAY_MS


def test_the_starting_deadline_is_for_crontabs_alone() -> None:
    app = make_app(beat_cron_starting_deadline=90)
    assert job_of(app, crontab()).policies.catch_up.window_ms == 90_000
    assert job_of(app, schedule(60)).policies == job_of(make_app()).policies


def test_a_carried_job_is_taken_as_it_is() -> None:
    job = Job("name", "area.task", TRIGGER, "area", Criticality.SHEDDABLE, policies=Policies(jitter_ms=5))
    assert job_of(make_app(), JobSchedule(job), {"queue": "another"}) is job
    renamed = Job("other", "area.task", TRIGGER, "area", Criticality.SHEDDABLE, policies=Policies(jitter_ms=5))
    assert job_of(make_app(), JobSchedule(renamed)) == job


def test_what_is_no_entry_has_no_facts() -> None:
    app = make_app()
    with pytest.raises(ValueError, match="no schedule"):
        facts_of(ScheduleEntry(name="name", task="t", app=app), polled=False)


def test_an_entry_without_options_reads_and_changes_as_celerys_does() -> None:
    app = make_app()
    plain: Any = ScheduleEntry("name", "t", NOON, schedule=schedule(60), app=app)
    entry: Any = BeatEntry("name", "t", NOON, schedule=schedule(60), app=app)
    assert dict(entry) == dict(plain)
    assert (entry.kwargs, entry.options) == ({}, {})
    entry.options["queue"] = "other"
    entry.kwargs["a"] = 1
    assert facts_of(entry, polled=False).queue == "other"
    following = next(entry)
    assert following == entry != plain
    assert following.options is entry.options
    assert copy(entry) == pickle.loads(pickle.dumps(entry)) == entry  # noqa: S301  # our own
    entry.update(plain)
    assert entry == plain
    assert dict(entry) == dict(plain)


def test_an_entry_remembers_what_it_was_given() -> None:
    app = make_app()
    given = BeatEntry("name", "t", NOON, schedule=schedule(60), app=app)
    assert starts_from(next(given)) == NOON
    assert next(given).last_run_at != NOON
    plain = BeatEntry("name", "t", schedule=schedule(60), app=app)
    assert plain.last_run_at is not None
    assert starts_from(plain) is None
    assert starts_from(next(plain)) is None
    assert isinstance(next(plain), BeatEntry)
    # An entry class of a user's own knows its last run from somewhere.
    own = ScheduleEntry("name", "t", NOON, schedule=schedule(timedelta(hours=1)), app=app)
    assert starts_from(own) == NOON
