"""An entry of the schedule whose plain interval keeps to a grid. Decides nothing about other schedules."""

from datetime import datetime, timedelta
from typing import Any

from celery.beat import ScheduleEntry
from celery.schedules import schedule

from packages.scheduling.grid import EPOCH, latest_instant


class GridEntry(ScheduleEntry):
    """An entry whose plain interval keeps to a grid: from its `last_run_at` when one is given, else from the epoch.

    Celery's own counts an interval from the start of the process, so that a beat that is restarted often never
    comes to its long intervals.
    """

    def __init__(
        self,
        name: str | None = None,
        task: str | None = None,
        last_run_at: datetime | None = None,
        *args: Any,  # noqa: ANN401  # Celery's own signature
        **kwargs: Any,  # noqa: ANN401  # as above
    ) -> None:
        super().__init__(name, task, last_run_at, *args, **kwargs)
        if last_run_at is None and (period := interval_of(self.schedule)):
            self.last_run_at = latest_instant(self.default_now(), period)

    def _next_instance(self, last_run_at: datetime | None = None) -> "GridEntry":
        period = interval_of(self.schedule)
        if last_run_at is None and period:
            last_run_at = latest_instant(self.default_now(), period, anchor=self.last_run_at or EPOCH)
        following: GridEntry = super()._next_instance(last_run_at)  # type: ignore[misc]  # celery-types lacks it
        return following

    __next__ = next = _next_instance

    def is_due(self) -> tuple[bool, float]:
        """Whether it is due, and in how many seconds to ask again: at the next instant of the grid."""
        due: bool
        due, ask_again_s = super().is_due()
        period = interval_of(self.schedule)
        if due and period and self.last_run_at is not None:
            now = self.default_now()
            ask_again_s = (latest_instant(now, period, anchor=self.last_run_at) + period - now).total_seconds()
        return due, ask_again_s


def interval_of(when: object) -> timedelta | None:
    """The period of a plain interval; None for any other schedule, and for one that is rounded by Celery already."""
    if type(when) is not schedule or when.relative:
        return None
    period: timedelta | None = vars(when)["run_every"]
    return period or None


def resume_at(entry: ScheduleEntry, last_fire: datetime, now: datetime) -> datetime:
    """The `last_run_at` for an entry that fired at `last_fire` under an earlier beat.

    An interval is put on the grid that the entry stands on, since its period may have changed meanwhile. An instant in
    the future, which a clock that was set back leaves behind, counts as now.
    """
    last_fire = min(last_fire, now)
    period = interval_of(entry.schedule)
    return latest_instant(last_fire, period, anchor=entry.last_run_at or EPOCH) if period else last_fire
