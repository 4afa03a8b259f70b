"""A scheduler whose publishing answers to readings that a test gives, kept on a real server."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from celery import Celery

from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.beat.readings import NoReadings
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.infra.beat.wiring import open_for
from packages.scheduling.control.policy import BacklogPolicy, ControlPolicy
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import Policies
from packages.scheduling.readings import QueueReading
from packages.scheduling.requests import Request
from packages.scheduling.snapshot import Reading, Snapshot
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.stepped import Clock, make_app, on_clock

QUEUE = "q"
# Cut in small steps: a rate is not at its least after a minute.
POLICY = ControlPolicy(backlog=BacklogPolicy(most_decrease=500_000))
DRAINS = QueueReading(ready=0, oldest_ms=None, reserved=0, running=0, completed=10, over_ms=30_000, consumers=1)
STANDS = QueueReading(ready=400, oldest_ms=90_000, reserved=2, running=2, completed=10, over_ms=30_000, consumers=1)


class Told(NoReadings):
    """Says `reading` of the queue, taken at each control interval. `looked_at`: when it was to ask ahead."""

    def __init__(self) -> None:
        self.reading: QueueReading | None = STANDS
        self.looked_at: list[int] = []
        self._queues: Mapping[str, Reading[QueueReading]] = {}
        self._read_at: int | None = None

    def read(self, now: int) -> tuple[Snapshot, Sequence[Request]]:
        if self._read_at is None or now - self._read_at >= POLICY.interval_ms:
            self._read_at = now
            self._queues = {} if self.reading is None else {QUEUE: Reading(self.reading, now)}
        return Snapshot(taken_at=now, queues=self._queues), ()

    def look_ahead(self, now: int, stepped_at: int | None) -> None:
        del stepped_at
        self.looked_at.append(now)


def job(name: str, criticality: Criticality, *, period_ms: int = 10_000, max_staleness_ms: int | None = None) -> Job:
    policies = Policies(max_staleness_ms=max_staleness_ms)
    return Job(name, "t", IntervalTrigger(period_ms), QUEUE, criticality, policies=policies)


JOBS = {
    each.name: each
    for each in (
        *(job(f"sweep-{n}", Criticality.SHEDDABLE) for n in range(3)),
        job("refresh", Criticality.SHEDDABLE_PLUS),
        job("sometimes", Criticality.SHEDDABLE, max_staleness_ms=45_000),
        job("approve", Criticality.CRITICAL_PLUS),
    )
}


def controlled_app(url: str, *, policy: ControlPolicy | None = POLICY, jobs: Mapping[str, Job] = JOBS) -> Celery:
    """An app with these jobs; `policy` None: without adaptive control."""
    schedule: dict[str, Any] = {
        name: {"task": each.task, "schedule": JobSchedule(each), "options": {"queue": QUEUE}}
        for name, each in jobs.items()
    }
    more = {} if policy is None else {"beat_control": SimpleNamespace(policy=policy)}
    return make_app(schedule, broker=url, **more)


def controlled(app: Celery, clock: Clock, told: Told) -> AdaptiveScheduler:
    """A replica that hears from `told` what there is to know."""
    scheduler = AdaptiveScheduler(app)
    on_clock(scheduler, clock)
    scheduler.open_for = lambda host: open_for(host)._replace(readings=told)
    return scheduler
