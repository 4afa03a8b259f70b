"""A Celery schedule that carries a whole job, so that a job of the catalogue is an ordinary entry of `beat_schedule`.

The adaptive scheduler takes the job out again. Under Celery's own scheduler the entry follows the job's trigger; the
job's policies are not known there.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from celery.schedules import BaseSchedule, schedstate

from packages.scheduling.instants import ONE_MS, to_instant
from packages.scheduling.model import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

# What a trigger that fires no more tells Celery: it asks again after so long.
_NEVER: Final = timedelta(days=365)


class JobSchedule(BaseSchedule):
    """The trigger of `job` as Celery sees it. Two are equal when their jobs are."""

    def __init__(
        self,
        job: Job,
        nowfun: "Callable[[], datetime] | None" = None,
        app: "Celery | None" = None,
    ) -> None:
        super().__init__(nowfun=nowfun, app=app)
        self.job = job

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """How long until the first nominal after `last_run_at`; below zero when it is over."""
        nominal = self.job.trigger.next_after(to_instant(self.maybe_make_aware(last_run_at)))
        if nominal is None:
            return _NEVER
        # The clock counts in full, so that the delay does not end a fraction of a millisecond early.
        now = self.maybe_make_aware(self.now())
        return (nominal - to_instant(now)) * ONE_MS - timedelta(microseconds=now.microsecond % 1_000)

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether it is due, and in how many seconds to ask again."""
        remaining = self.remaining_estimate(last_run_at)
        if remaining > timedelta(0):
            return schedstate(is_due=False, next=remaining.total_seconds())
        return schedstate(is_due=True, next=max(0.0, self.remaining_estimate(self.now()).total_seconds()))

    def __repr__(self) -> str:
        return self.job.trigger.describe()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, JobSchedule):
            return self.job == other.job
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.job.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.job, vars(self)["nowfun"])
