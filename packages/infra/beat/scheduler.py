"""The scheduler class that beat runs: Celery's in-memory scheduler, whose fires say which job they belong to.

A publish that fails is not lost: the fire stays pending and is tried again until its message would have expired. A beat
that starts goes on where the last one was: what came due while none ran fires once. Intervals keep to a grid that no
restart moves. Nothing else is decided here about when a job is due.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from packages.infra.beat.entry import GridEntry, interval_of, resume_at
from packages.infra.beat.last_fires import LastFires, last_fires_of
from packages.infra.telemetry.instants import rfc3339

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1.0
CLOCK_TOLERANCE_S = 1.0
# For an entry without `expires`: long enough for a broker to restart.
DEFAULT_DEADLINE_S = 3600.0


@dataclass(frozen=True)
class PendingFire:
    """A fire whose publish failed. `deadline` is on the monotonic clock, in seconds."""

    entry: ScheduleEntry
    deadline: float


class BeatScheduler(Scheduler):
    """Publishes each due entry with the headers `beat_job`, `beat_origin` and `beat_published_at`."""

    Entry = GridEntry
    monotonic: Callable[[], float] = staticmethod(time.monotonic)
    wall_clock: Callable[[], datetime] = staticmethod(lambda: datetime.now(UTC))

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # Celery's own signature
        self._pending: list[PendingFire] = []
        self._last_fires: LastFires | None = None
        self._clock_offset_s: float | None = None
        super().__init__(*args, **kwargs)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:  # noqa: ANN401  # a kombu producer
        """Publish one due entry; keep it pending when that fails."""
        expires = (entry.options or {}).get("expires")
        lifetime_s = expires if isinstance(expires, int | float) else DEFAULT_DEADLINE_S
        self._publish(PendingFire(entry, self.monotonic() + lifetime_s), producer)

    def tick(self, *args: Any, **kwargs: Any) -> float:  # noqa: ANN401  # Celery's own signature
        """Try the pending fires, then do what Celery's tick does. Returns seconds until the next tick."""
        if self._last_fires is None and not self._resume():
            return RETRY_AFTER_S
        self._notice_clock_set_back()
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
            "beat_published_at": rfc3339(datetime.now(UTC)),
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
        self._remember(fire.entry.name)
        return None

    def _resume(self) -> bool:
        """Go on where the last beat was; False while the broker is away, without which nothing can be published."""
        try:
            last_fires = last_fires_of(self.connection)
            known = last_fires.read()
            last_fires.forget_all_but(self.schedule)
            now = self.wall_clock()
            for name, entry in self.schedule.items():
                if name in known:
                    entry.last_run_at = resume_at(entry, known[name], now)
                elif entry.last_run_at is not None:
                    last_fires.write(name, entry.last_run_at)
        except (OperationalError, RedisError) as error:
            log.warning("broker_away", extra={"error": str(error)})
            return False
        self._last_fires = last_fires
        self._heap = None
        return True

    def _remember(self, name: str | None) -> None:
        entry = self.schedule.get(name) if name is not None else None
        if name is None or self._last_fires is None or entry is None or entry.last_run_at is None:
            return
        try:
            self._last_fires.write(name, entry.last_run_at)
        except RedisError as error:
            # The message is out; at worst a beat that starts now publishes it once more.
            log.warning("last_fire_not_kept", extra={"job": name, "error": str(error)})

    def _notice_clock_set_back(self) -> None:
        """Without this an interval would wait for as long as the clock was set back."""
        now = self.wall_clock()
        offset_s = now.timestamp() - self.monotonic()
        if self._clock_offset_s is not None and offset_s < self._clock_offset_s - CLOCK_TOLERANCE_S:
            log.warning("clock_set_back", extra={"seconds": round(self._clock_offset_s - offset_s, 3)})
            for entry in self.schedule.values():
                if interval_of(entry.schedule) and entry.last_run_at is not None:
                    entry.last_run_at = resume_at(entry, entry.last_run_at, now)
            self._heap = None
        self._clock_offset_s = offset_s
