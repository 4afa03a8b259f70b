"""A schedule of Celery that carries a job: what the adaptive scheduler takes out, and what Celery's own one sees."""

import pickle
from datetime import timedelta

import pytest
from celery import Celery
from celery.schedules import schedule

from packages.infra.beat.entries.celery_triggers import trigger_of
from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.beat.entries.polled import PolledTrigger
from packages.scheduling.instants import MINUTE_MS, SECOND_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.stepped import NOON

UTC_APP = Celery("test", set_as_current=False)
JOB = Job("job", "task", IntervalTrigger(MINUTE_MS, 5 * SECOND_MS), "q", Criticality.CRITICAL)


def test_a_job_can_be_carried_by_a_schedule_of_celery() -> None:
    when = JobSchedule(JOB, app=UTC_APP)
    assert trigger_of(when, UTC_APP, anchor=0) is JOB.trigger
    assert pickle.loads(pickle.dumps(when)) == when  # noqa: S301  # our own value
    assert repr(when) == JOB.trigger.describe()
    assert when == JobSchedule(JOB)
    assert hash(when) == hash(JobSchedule(JOB))
    assert when != JobSchedule(Job("other", "task", JOB.trigger, "q", Criticality.CRITICAL))
    assert when != schedule(60)


@pytest.mark.parametrize(
    ("last_s", "now_s", "due", "ask_again_s"),
    [(0, 4.25, False, 0.75), (0, 5, True, 60), (0, 200, True, 45), (5, 6, False, 59), (0, 4.9996, False, 0.0004)],
)
def test_it_follows_the_trigger_under_celerys_own_scheduler(
    *, last_s: float, now_s: float, due: bool, ask_again_s: float
) -> None:
    when = JobSchedule(JOB, nowfun=lambda: NOON + timedelta(seconds=now_s), app=UTC_APP)
    found = when.is_due(NOON + timedelta(seconds=last_s))
    assert found.is_due is due
    assert found.next == pytest.approx(ask_again_s)


def test_a_trigger_that_fires_no_more_is_asked_again_much_later() -> None:
    when = JobSchedule(Job("job", "task", PolledTrigger(""), "q", Criticality.CRITICAL), app=UTC_APP)
    assert when.is_due(NOON) == (False, timedelta(days=365).total_seconds())
