"""The scheduler class that beat runs: Celery's in-memory scheduler, whose fires say which job they belong to.

A publish that fails is not lost: the fire stays pending and is tried again until its message would have expired.
Intervals keep to a grid that no restart moves. Nothing else is decided here about when a job is due.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import schedule
from kombu.exceptions import OperationalError

from packages.scheduling.grid import EPOCH, latest_instant

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1.0
# For an entry without `expires`: long enough for a broker to restart.
DEFAULT_DEADLINE_S = 3600.0


@dataclass(frozen=True)
class PendingFire:
    """A fire whose publish failed. `deadline` is on the monotonic clock, in seconds."""

    entry: ScheduleEntry
    deadline: float


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
        if last_run_at is None and (period := _interval(self.schedule)):
            self.last_run_at = latest_instant(self.default_now(), period)

    def _next_instance(self, last_run_at: datetime | None = None) -> "GridEntry":
        period = _interval(self.schedule)
        if last_run_at is None and period:
            last_run_at = latest_instant(self.default_now(), period, anchor=self.last_run_at or EPOCH)
        following: GridEntry = super()._next_instance(last_run_at)  # type: ignore[misc]  # celery-types lacks it
        return following

    __next__ = next = _next_instance


def _interval(when: object) -> timedelta | None:
    """The period of a plain interval; None for any other schedule, and for one that is rounded by Celery already."""
    if type(when) is not schedule or when.relative:
        return None
    period: timedelta | None = vars(when)["run_every"]
    return period or None


class BeatScheduler(Scheduler):
    """Publishes each due entry with the headers `beat_job`, `beat_origin` and `beat_published_at`."""

    Entry = GridEntry
    monotonic: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # Celery's own signature
        self._pending: list[PendingFire] = []
        super().__init__(*args, **kwargs)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:  # noqa: ANN401  # a kombu producer
        """Publish one due entry; keep it pending when that fails."""
        expires = (entry.options or {}).get("expires")
        lifetime_s = expires if isinstance(expires, int | float) else DEFAULT_DEADLINE_S
        self._publish(PendingFire(entry, self.monotonic() + lifetime_s), producer)

    def tick(self, *args: Any, **kwargs: Any) -> float:  # noqa: ANN401  # Celery's own signature
        """Try the pending fires, then do what Celery's tick does. Returns seconds until the next tick."""
        self._retry_pending()
        delay: float = super().tick(*args, **kwargs)
        return min(delay, RETRY_AFTER_S) if self._pending else delay

    def apply_async(self, entry: ScheduleEntry, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # Celery's own
        """Publish `entry` with the headers of one fire.

        Raises:
            SchedulingError: the broker did not take the message.
        """
        options = entry.options or {}
        headers = {
            **options.get("headers", {}),
            "beat_job": entry.name,
            "beat_origin": "schedule",
            "beat_published_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        # A copy: the headers of this fire must not stay in the entry.
        stamped = type(entry)(**{**vars(entry), "options": {**options, "headers": headers}})
        return super().apply_async(stamped, *args, **kwargs)

    def _retry_pending(self) -> None:
        waiting, self._pending = self._pending, []
        for n, fire in enumerate(waiting):
            if self.monotonic() >= fire.deadline:
                log.error("fire_expired_unpublished", extra={"job": fire.entry.name})
                continue
            if isinstance(self._publish(fire, self.producer), OperationalError):
                # The broker is still away: the others would only wait for the same time-out.
                self._pending.extend(waiting[n + 1 :])
                return

    def _publish(self, fire: PendingFire, producer: Any) -> BaseException | None:  # noqa: ANN401  # a kombu producer
        """Publish, or keep the fire pending and return what was in the way."""
        try:
            result = self.apply_async(fire.entry, producer=producer, advance=False)
        except Exception as error:  # noqa: BLE001  # the loop boundary: one entry must not end beat
            # Celery raises its SchedulingError while it handles what really happened.
            reason = error.__context__ or error
            log.warning("publish_failed", extra={"job": fire.entry.name, "error": str(reason)})
            self._pending.append(fire)
            return reason
        log.info("published", extra={"job": fire.entry.name, "task_id": getattr(result, "id", None)})
        return None
