"""What the probes tell beat, while its app has an adaptive control: of the queues and tasks of its jobs.

Nothing of a probe is imported, opened or asked before there is a job.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final, Protocol

from celery import Celery

from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.model import Job

if TYPE_CHECKING:
    from packages.infra.probes.probe import Probe, ProbeReadings

# A setting of the app: an object with the thresholds of the adaptive control; without one there is no control.
CONTROL_SETTING: Final = "beat_control"


class Control(Protocol):
    """What the setting is."""

    @property
    def policy(self) -> ControlPolicy:
        """The thresholds; others after a reload."""
        ...


class Probing:
    """One scheduler's probe. `open_probe` gets the control interval in ms."""

    def __init__(self, control: Control, open_probe: "Callable[[int], Probe]") -> None:
        self._control = control
        self._open_probe = open_probe
        self._probe: Probe | None = None
        self._queues: set[str] = set()
        self._tasks: set[str] = set()
        # As it was when the probe was last told what is wanted; None: it is to be told.
        self._policy: ControlPolicy | None = None

    def want(self, jobs: Collection[Job]) -> None:
        """Ask about the queues and tasks of these jobs, too. One that has no job any more is still asked about."""
        known = len(self._queues), len(self._tasks)
        self._queues.update(job.queue for job in jobs if job.queue)
        self._tasks.update(job.task for job in jobs if job.task)
        if (len(self._queues), len(self._tasks)) != known:
            self._policy = None

    def read(self, now: int) -> "ProbeReadings | None":
        """What is known at the instant `now`; None before there is a job. Asks once an interval."""
        policy = self._control.policy
        if self._probe is None:
            if not self._queues:
                return None
            self._probe = self._open_probe(policy.interval_ms)
        if policy is not self._policy:
            self._policy = policy
            self._probe.interval_ms = policy.interval_ms
            self._probe.want(self._queues, self._tasks, policy.slo.objectives)
        return self._probe.read(now)

    def close(self) -> None:
        """Let go of the probe; `read` opens it again."""
        probe, self._probe, self._policy = self._probe, None, None
        if probe is not None:
            probe.close()


def probing_of(app: Celery, redis: BrokerRedis | None) -> Probing | None:
    """The probing of an app; None if it has no adaptive control."""
    control: Control | None = app.conf.get(CONTROL_SETTING)
    if control is None:
        return None

    def opened(interval_ms: int) -> "Probe":
        # Imported here: most beats need none of it.
        from packages.infra.probes.opening import open_probe

        return open_probe(app, redis, interval_ms=interval_ms)

    return Probing(control, opened)
