"""The scheduler class that beat runs: Celery's interface around the engine, which decides what is published and when.

    tick:  the clocks -> changes of the schedule -> the lease -> the readings -> the engine -> one commit

No error leaves `tick`, and no broker that is away holds it up for longer than its time limits. Whoever overrides one of
Celery's ways to publish (`apply_entry`, `apply_async`, `send_task`) is called.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

from celery import Celery
from celery.exceptions import ImproperlyConfigured
from kombu.exceptions import OperationalError

from packages.infra.beat.celery_host import CeleryHost
from packages.infra.beat.ending import is_asked_by_signal
from packages.infra.beat.entries.changes import Changes
from packages.infra.beat.entries.quarantine import Quarantined
from packages.infra.beat.entries.schedule_map import ScheduleMap
from packages.infra.beat.garbage import PostponedCollection
from packages.infra.beat.loop import Loop
from packages.infra.beat.preparing import PAUSE_S
from packages.infra.beat.standing import Standing
from packages.infra.beat.state_store import StoreAwayError
from packages.infra.beat.trouble import trouble_of
from packages.infra.beat.wiring import Opened, open_for
from packages.infra.telemetry.beat_metrics import BeatMetrics
from packages.infra.telemetry.beat_telemetry import BeatTelemetry
from packages.infra.telemetry.logs import tell_fields
from packages.scheduling.instants import to_instant

log = logging.getLogger(__name__)

# Nothing can wake beat while it sleeps, so it looks this often whether an operator has spoken.
LONGEST_WAIT_S: Final = 0.5
# What is due within this is published together.
LEAST_WAIT_S: Final = 0.008
RETRY_AFTER_S: Final = 1.0


class AdaptiveScheduler(CeleryHost):
    """Runs any `beat_schedule`. `open_for` opens what it keeps and asks for, for a test to replace."""

    open_for: Callable[[CeleryHost], Opened] = staticmethod(open_for)

    def __init__(self, app: Celery, schedule: Any = None, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # Celery's own signature
        self._loop: Loop | None = None
        self._changes: Changes | None = None
        self._away = ""
        # Meanwhile the handler of a signal must touch nothing.
        self._is_at_work = False
        self._is_asked_to_end = False
        self._telemetry: BeatTelemetry | None = None
        self._garbage = PostponedCollection()
        super().__init__(app, ScheduleMap() if schedule is None else schedule, *args, **kwargs)

    @property
    def telemetry(self) -> BeatTelemetry:
        """What it tells of itself while it runs; another one after `close`."""
        if self._telemetry is None:
            self._telemetry = BeatTelemetry(self.app, self.monotonic_s)
        return self._telemetry

    @property
    def metrics(self) -> BeatMetrics:
        """See `Host`."""
        return self.telemetry.metrics

    @property
    def quarantined(self) -> dict[str, Quarantined]:
        """The entries that raised and were put aside, by name."""
        return dict(self._loop.roster.quarantine.listed) if self._loop is not None else {}

    def setup_schedule(self) -> None:
        """Take the entries of the configuration, and Celery's own ones, into the schedule. Connects to nothing."""
        tell_fields(logging.getLogger(), of="packages.")
        self.merge_inplace(self.app.conf.beat_schedule)
        # Behind, as in Celery's persistent scheduler: merging takes out what the configuration does not have.
        self.install_default_entries(self.schedule)

    def install_default_entries(self, data: dict[str, Any]) -> None:
        """Celery's clean-up of expired results; not where results are disabled."""
        from celery.backends.base import DisabledBackend

        if not isinstance(self.app.backend, DisabledBackend):
            super().install_default_entries(data)

    @property
    def schedule(self) -> Any:  # noqa: ANN401  # Celery takes any mapping
        """The entries by name: a dict to read and to change."""
        return self.get_schedule()

    @schedule.setter
    def schedule(self, schedule: Any) -> None:  # noqa: ANN401  # as above
        self.set_schedule(schedule)

    def set_schedule(self, schedule: Any) -> None:  # noqa: ANN401  # as above
        """Run another schedule from now on."""
        self.data = ScheduleMap(schedule) if type(schedule) is dict else schedule

    def merge_inplace(self, b: Any) -> None:  # noqa: ANN401  # as above
        """See Celery. It changes entries in place, so that all that it was given are looked at."""
        super().merge_inplace(b)
        if isinstance(self.schedule, ScheduleMap):
            self.schedule.touched.update(b)

    def tick(self, *_: Any, **__: Any) -> float:  # noqa: ANN401  # Celery's own signature
        """Publish what is due. Returns the seconds until the next call; 0 when there is more to do at once.

        Raises:
            SystemExit: a signal asked beat to end, and its own SystemExit was lost in what it had interrupted.
            celery.exceptions.ImproperlyConfigured: a setting makes no sense.
        """
        if self._is_asked_to_end:
            raise SystemExit
        self._is_at_work = True
        wait_s = RETRY_AFTER_S
        self._garbage.begin()
        try:
            wait_s = self._tick()
        except ImproperlyConfigured:
            raise
        except Exception:
            log.exception("tick_failed")
        finally:
            self._is_at_work = False
            self._garbage.end(more=not wait_s)
        self.telemetry.ticked(pending=0 if self._loop is None else self._loop.pending)
        if self._is_asked_to_end:
            raise SystemExit
        return wait_s

    def sync(self) -> None:
        """Keep what is not kept yet. Not in the middle of a tick, from where Celery calls it, too: that keeps it."""
        if self._is_at_work:
            return
        self._is_at_work = True
        try:
            if self._loop is not None:
                self._loop.save()
        finally:
            self._is_at_work = False

    def close(self) -> None:
        """Keep what is not kept yet, give the lease back, let go of all connections; a later `tick` opens them again.

        Celery calls it twice when beat is to end: from the handler of the signal, which may have interrupted a tick,
        and again when the tick was left. The first call then only gives the lease back, by a connection of its own: all
        else may be in use right there. What the tick was about to commit is refused, and the next leader's to do.
        """
        if self._telemetry is not None:
            self._telemetry.stopping()
        if self._is_at_work or is_asked_by_signal():
            # The handler's SystemExit may be lost in what it interrupted: then the next tick raises it again.
            self._is_asked_to_end = True
        if self._is_at_work:
            if self._loop is not None:
                self._loop.resign()
            return
        self._is_at_work = True
        try:
            super().close()
        finally:
            self._is_at_work = False
            loop, self._loop = self._loop, None
            if loop is not None:
                loop.close()
            telemetry, self._telemetry = self._telemetry, None
            if telemetry is not None:
                telemetry.close()

    def _tick(self) -> float:
        now = to_instant(self.utc_now())
        begins = self._loop is None
        loop = self._loop or self._open(now)
        if loop is None:
            return self._at_most(RETRY_AFTER_S)
        loop.watch_clock(now, self.monotonic_s())
        self._follow_changes(loop, now)
        if loop.run(now):
            return 0
        # Against the clock as it is now: publishing took its time, and so does preparing.
        at = self.utc_now()
        # Not at the start, which is to be quick.
        if not begins and loop.wait_s(at.timestamp()) > LEAST_WAIT_S:
            if loop.prepare(to_instant(at)):
                return self._at_most(PAUSE_S)
            at = self.utc_now()
        return self._at_most(max(LEAST_WAIT_S, min(loop.wait_s(at.timestamp()), LONGEST_WAIT_S)))

    def _at_most(self, wait_s: float) -> float:
        return min(wait_s, float(self.max_interval or wait_s))

    def _open(self, now: int) -> Loop | None:
        """Open what beat works with; None while the broker is away, without which nothing can be published."""
        if self._changes is None:
            self._changes = Changes(self.app, make_entry=self.make_entry, now_s=self.monotonic_s())
        opened: Opened | None = None
        try:
            opened = self.open_for(self)
            names = self._changes.all_names(self.schedule, asks_everybody=self.asks_everybody)
            loop = Loop(self, opened, names, now)
        except (OperationalError, StoreAwayError) as error:
            if opened is not None:
                opened.close()
            self.metrics.stands(Standing.NO_BROKER, term=0, trouble=trouble_of(error))
            if str(error) != self._away:
                log.warning("broker_away", extra={"error": str(error)})
            self._away = str(error)
            return None
        self._away = ""
        self._loop = loop
        return loop

    def _follow_changes(self, loop: Loop, now: int) -> None:
        changes = self._changes
        if changes is None:
            return
        changes.apply_configuration(self.schedule, self.monotonic_s())
        names = changes.names(self.schedule, loop.roster, now, asks_everybody=self.asks_everybody)
        if not names:
            return
        try:
            loop.take_in(names, now)
        except StoreAwayError as error:
            changes.keep(names, error)
        else:
            changes.taken_in()
