"""The Celery app of the fault tests, as a user would write one: a broker, a schedule and the scheduler class.

All that differs between replicas comes from the environment; `FAULTS_BROKER` is needed, else there is no app.
`FAULTS_CLOCK` names a file with the seconds by which the wall clock of the process is off; the tests change it.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Never

from celery import Celery
from celery.schedules import BaseSchedule, schedule

from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import CatchUp, CatchUpMode, Policies
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.triggers.cron import HOURS, MINUTES, CronTrigger
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.faults.laws import Declared, Grid, MakesUp, Minutes, catalogue

TASK = "faults.note"
MADE_UP_FOR = timedelta(seconds=120)


class Poisoned(BaseSchedule):
    """Raises whatever it is asked."""

    def is_due(self, last_run_at: object) -> Never:
        raise RuntimeError(f"a poisoned schedule is asked about {last_run_at}")

    def remaining_estimate(self, last_run_at: object) -> Never:
        self.is_due(last_run_at)


class PoisonedTrigger(IntervalTrigger):
    """Raises when it is asked for its next time."""

    def next_after(self, after: int) -> Never:
        raise RuntimeError(f"a poisoned trigger is asked about {after}")


class OffsetScheduler(AdaptiveScheduler):
    """Reads a wall clock that the test can set."""

    wall_clock = staticmethod(lambda: datetime.now(UTC) + _offset())


def entry_of(job: Declared) -> dict[str, Any]:
    """The job as an entry of `beat_schedule`."""
    options: dict[str, Any] = {"queue": job.queue}
    if job.priority is not None:
        options["priority"] = job.priority
    if job.law is None:
        if job.period_ms is None:
            raise ValueError(f"job {job.name} has neither a law nor a period")
        return {"task": TASK, "schedule": schedule(timedelta(milliseconds=job.period_ms)), "options": options}
    mode = CatchUpMode.ALL if job.makes_up is MakesUp.ALL else CatchUpMode.LATEST
    policies = Policies(
        jitter_ms=job.jitter_ms,
        catch_up=CatchUp(mode, MADE_UP_FOR // timedelta(milliseconds=1), limit=1_000),
    )
    declared = Job(job.name, TASK, _trigger_of(job), job.queue, Criticality.CRITICAL, policies=policies)
    return {"task": TASK, "schedule": JobSchedule(declared), "options": options}


def poisoned_entries() -> dict[str, dict[str, Any]]:
    """Entries that raise when they are asked."""
    job = Job("poisoned-job", TASK, PoisonedTrigger(1_000), "faults.a", Criticality.CRITICAL)
    return {
        "poisoned-entry": {"task": TASK, "schedule": Poisoned()},
        job.name: {"task": TASK, "schedule": JobSchedule(job)},
    }


def make_app(broker: str) -> Celery:
    """The app, on a broker."""
    jobs = catalogue(
        datetime.fromisoformat(os.environ["FAULTS_SPARED"]), version=int(os.environ.get("FAULTS_VERSION", "1"))
    )
    entries = {job.name: entry_of(job) for job in jobs}
    if os.environ.get("FAULTS_POISON"):
        entries |= poisoned_entries()
    app = Celery(os.environ.get("FAULTS_NAMESPACE", "faults"), broker=broker)
    app.conf.update(beat_schedule=entries, beat_scheduler=f"{__name__}:OffsetScheduler")
    if not os.environ.get("FAULTS_CLOCK"):
        app.conf.beat_scheduler = "packages.infra.beat.scheduler:AdaptiveScheduler"
    if period_s := os.environ.get("FAULTS_LEASE_PERIOD_S"):
        app.conf.beat_lease_period_s = float(period_s)
    return app


def _trigger_of(job: Declared) -> Trigger:
    match job.law:
        case Grid(period_ms, phase_ms):
            return IntervalTrigger(period_ms, phase_ms)
        case Minutes(but_hour, but_minute):
            return CronTrigger.of_sets(hours=HOURS - {but_hour}, minutes=MINUTES - {but_minute})
        case law:
            raise TypeError(f"no trigger for {law}")


def _offset() -> timedelta:
    # An empty file: it is being written.
    text = Path(os.environ["FAULTS_CLOCK"]).read_text(encoding="ascii")
    return timedelta(seconds=float(text))


if url := os.environ.get("FAULTS_BROKER"):
    app = make_app(url)
