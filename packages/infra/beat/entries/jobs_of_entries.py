"""An entry of Celery's schedule as a job of ours.

Nothing of an ordinary entry is shed, moved by a jitter or held back by a run that is not over; what was missed fires
once, however long ago, as with Celery. An entry of the catalogue brings its own policies along.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import BaseSchedule, crontab

from packages.infra.beat.entries.entry import options_and_kwargs
from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.beat.entries.polled import PolledTrigger
from packages.scheduling.instants import DAY_MS, SECOND_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import CatchUp, CatchUpMode, Policies
from packages.scheduling.triggers.base import Trigger

# Celery makes up for a fire however long ago it was missed.
_NO_LIMIT_MS: Final = 3_660 * DAY_MS
_CELERYS_POLICIES: Final = Policies(catch_up=CatchUp(CatchUpMode.LATEST, _NO_LIMIT_MS), max_staleness_ms=DAY_MS)


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What of an entry its job is made from; two entries with the same facts have the same job."""

    schedule: BaseSchedule
    task: str
    queue: str | None
    expires_ms: int | None
    polled: bool

    def same_as(self, other: "Facts") -> bool:
        """Whether it is the same schedule object, and all else is equal."""
        return (
            self.schedule is other.schedule
            and self.task == other.task
            and self.queue == other.queue
            and self.expires_ms == other.expires_ms
            and self.polled == other.polled
        )


def facts_of(entry: ScheduleEntry, *, polled: bool) -> Facts:
    """The facts of an entry.

    Raises:
        ValueError: the entry has no schedule.
        AttributeError: it is no entry.
    """
    if entry.schedule is None:
        raise ValueError("the entry has no schedule")
    options: dict[str, Any] = options_and_kwargs(entry)[0] or {}
    queue = options.get("queue")
    expires_s = options.get("expires")
    return Facts(
        schedule=entry.schedule,
        task=entry.task or "",
        queue=None if queue is None else str(getattr(queue, "name", queue)),
        expires_ms=max(1, int(expires_s * SECOND_MS)) if isinstance(expires_s, int | float) else None,
        polled=polled,
    )


class JobMaker:
    """Makes jobs for the entries of one app."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._routed: dict[str, str] = {}
        deadline_s = app.conf.beat_cron_starting_deadline
        self._crontabs = (
            _CELERYS_POLICIES
            if deadline_s is None
            else Policies(catch_up=CatchUp(CatchUpMode.LATEST, max(1, int(deadline_s * SECOND_MS))))
        )

    def job(self, name: str, facts: Facts, trigger: Trigger) -> Job:
        """The job of an entry; that of the catalogue under the entry's name, when the entry carries one."""
        if isinstance(facts.schedule, JobSchedule):
            job = facts.schedule.job
            # Another trigger than its own where somebody overrides `is_due`.
            same = job.name == name and job.trigger is trigger
            return job if same else replace(job, name=name, trigger=trigger)
        return Job(
            name=name,
            task=facts.task,
            trigger=trigger,
            queue=facts.queue or self._queue_of(facts.task),
            criticality=Criticality.CRITICAL,
            expires_ms=facts.expires_ms,
            policies=self._crontabs if isinstance(facts.schedule, crontab) else _CELERYS_POLICIES,
        )

    def makes(self, job: Job, facts: Facts) -> bool:
        """Whether a job is the one of these facts, whose schedule is still the object that it was made from."""
        if isinstance(job.trigger, PolledTrigger) is not facts.polled:
            return False
        return isinstance(facts.schedule, JobSchedule) or (
            job.task == facts.task
            and job.expires_ms == facts.expires_ms
            and job.queue == (facts.queue or self._queue_of(facts.task))
        )

    def _queue_of(self, task: str) -> str:
        """Where a message of this task goes, as far as it can be known before it is sent."""
        if task not in self._routed:
            self._routed[task] = self._route(task)
        return self._routed[task]

    def _route(self, task: str) -> str:
        registered = self._app.tasks.get(task)
        own = getattr(registered, "queue", None)
        default = str(self._app.conf.task_default_queue)
        try:
            route: Any = self._app.amqp.router.route({"queue": own} if own else {}, task)
        except Exception:  # noqa: BLE001  # a router of the user's; publishing will say what is wrong with it
            return default
        queue = route.get("queue")
        return str(getattr(queue, "name", queue) or default)
