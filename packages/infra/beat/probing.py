"""What the probes tell beat, while its app has an adaptive control: of the queues and tasks of its jobs.

The probe is asked when beat has time, shortly before the control goes by the answers, so that nothing that is due waits
for it; only where beat never has time for so long, in the middle of its work. Nothing of a probe is imported, opened or
asked before there is a job.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final, Protocol

from celery import Celery

from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.instants import FIRST_INSTANT, SECOND_MS
from packages.scheduling.model import Job

if TYPE_CHECKING:
    from packages.infra.probes.probe import Probe, ProbeReadings

# A setting of the app: an object with the thresholds of the adaptive control; without one there is no control.
CONTROL_SETTING: Final = "beat_control"
# So long before they are needed readings are asked for, half an interval at most: beat wakes every half second.
_AHEAD_MS: Final = 600
# So late they are asked for at any cost.
_PATIENCE_MS: Final = SECOND_MS


class Control(Protocol):
    """What the setting is."""

    @property
    def policy(self) -> ControlPolicy:
        """The thresholds; others after a reload."""
        ...


class Probing:
    """One scheduler's probe. `open_probe` gets the ms between two questions at least."""

    def __init__(self, control: Control, open_probe: "Callable[[int], Probe]") -> None:
        self._control = control
        self._open_probe = open_probe
        self._probe: Probe | None = None
        self._queues: set[str] = set()
        self._tasks: set[str] = set()
        # As it was when the probe was last told what is wanted; None: it is to be told.
        self._policy: ControlPolicy | None = None
        self._told: ProbeReadings | None = None
        self._asked_at = FIRST_INSTANT

    def want(self, jobs: Collection[Job]) -> None:
        """Ask about the queues and tasks of these jobs, too. One that has no job any more is still asked about."""
        known = len(self._queues), len(self._tasks)
        self._queues.update(job.queue for job in jobs if job.queue)
        self._tasks.update(job.task for job in jobs if job.task)
        if (len(self._queues), len(self._tasks)) != known:
            self._policy = None

    def look_ahead(self, now: int, stepped_at: int | None) -> None:
        """There is time: ask, if the readings are wanted soon. `stepped_at` is when the control last went by them."""
        since = self._asked_at if stepped_at is None else stepped_at
        interval_ms = self._control.policy.interval_ms
        if self._asked_at <= since and now >= since + interval_ms - _ahead_ms(interval_ms):
            self._ask(now)

    def read(self, now: int) -> "ProbeReadings | None":
        """What is known at the instant `now`; None before there is a job. Asks what was not asked for ahead."""
        if not 0 <= now - self._asked_at < self._control.policy.interval_ms + _PATIENCE_MS:
            self._ask(now)
        return self._told

    def _ask(self, now: int) -> None:
        policy = self._control.policy
        interval_ms = policy.interval_ms - _ahead_ms(policy.interval_ms)
        if self._probe is None:
            if not self._queues:
                return
            self._probe = self._open_probe(interval_ms)
        if policy is not self._policy:
            self._policy = policy
            self._probe.interval_ms = interval_ms
            self._probe.want(self._queues, self._tasks, policy.slo.objectives)
        self._asked_at = now
        self._told = self._probe.read(now)

    def close(self) -> None:
        """Let go of the probe; `read` opens it again."""
        probe, self._probe, self._policy, self._told = self._probe, None, None, None
        self._asked_at = FIRST_INSTANT
        if probe is not None:
            probe.close()


def _ahead_ms(interval_ms: int) -> int:
    return min(_AHEAD_MS, interval_ms // 2)


def probing_of(app: Celery, redis: BrokerRedis | None) -> Probing | None:
    """The probing of an app; None if it has no adaptive control."""
    control: Control | None = app.conf.get(CONTROL_SETTING)
    if control is None:
        return None

    def opened(interval_ms: int) -> "Probe":
        # Imported here: most beats need none of it.
        from packages.infra.probes.judging import Judges
        from packages.infra.probes.opening import open_probe

        return open_probe(app, redis, interval_ms=interval_ms, judge=Judges(None))

    return Probing(control, opened)
