"""What the probes tell beat, while its app has an adaptive control: of the queues and tasks of its jobs.

The probe is asked when beat has time, shortly before the control goes by the answers, so that nothing that is due waits
for it; only where beat never has time for so long, in the middle of its work. Nothing of a probe is imported, opened or
asked before there is a job, nor by the first tick, which is to publish soon, unless there is something to go on with.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from celery import Celery

from packages.infra.beat.keeping_control import CONTROL_SETTING
from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.instants import FIRST_INSTANT, SECOND_MS, to_instant
from packages.scheduling.model import Job

if TYPE_CHECKING:
    from pydantic import SecretStr

    from packages.infra.probes.external_objectives import ExternalObjectives
    from packages.infra.probes.probe import Probe, ProbeReadings

# So long before they are needed readings are asked for, half an interval at most: beat wakes every half second, or a
# little later, and does not ask shortly before something is due.
_AHEAD_MS: Final = 700
# So late they are asked for at any cost.
_PATIENCE_MS: Final = SECOND_MS
_ENDS_WITHIN_S: Final = 2.0


class Control(Protocol):
    """What the setting is."""

    @property
    def policy(self) -> ControlPolicy | None:
        """The thresholds; others after a reload. None: nothing is to be asked."""
        ...

    @property
    def prometheus_url(self) -> "SecretStr | None":
        """The server that is asked about external objectives; another one after a reload."""
        ...


class Asked(NamedTuple):
    """Who is asked: the probe, and whoever asks another server about objectives, which `url` is the address of."""

    probe: "Probe"
    external: "ExternalObjectives | None" = None
    url: "SecretStr | None" = None


class Probing:
    """One scheduler's probe. `open_probe` gets the ms between two questions at least: half a control interval.

    The first step, or one that had to wait for its readings, may be that close to the next one.
    """

    def __init__(self, control: Control, open_probe: Callable[[int], Asked]) -> None:
        self._control = control
        self._open_probe = open_probe
        self._asked: Asked | None = None
        # Nobody asks them any more.
        self._ending: list[ExternalObjectives] = []
        # By name; how many have each pair of a queue and a task, and whether there are other pairs since it was asked.
        self._jobs: dict[str, Job] = {}
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._pairs_changed = False
        self._queues: set[str] = set()
        self._tasks: set[str] = set()
        # As it was when the probe was last told what is wanted; None: it is to be told.
        self._policy: ControlPolicy | None = None
        self._told: ProbeReadings | None = None
        self._asked_at = FIRST_INSTANT

    def want(self, jobs: Collection[Job]) -> None:
        """Ask about the queues and tasks of these jobs, too; of what had the name of one before no more."""
        for job in jobs:
            before, pair = self._jobs.get(job.name), _pair(job)
            self._jobs[job.name] = job
            if before is not None and _pair(before) == pair:
                continue
            self._pairs[pair] += 1
            self._pairs_changed |= self._pairs[pair] == 1
            if before is not None:
                self._leave(_pair(before))

    def let_go(self, names: Iterable[str]) -> None:
        """There are no jobs of these names any more: what only they have is not asked about."""
        for name in names:
            if (job := self._jobs.pop(name, None)) is not None:
                self._leave(_pair(job))

    def look_ahead(self, now: int, stepped_at: int | None) -> None:
        """Ask, if the readings are wanted soon, or if nothing is known: there is time, or they are needed at once.

        `stepped_at` is when the control last went by them.
        """
        policy = self._control.policy
        if policy is None:
            return
        since = self._asked_at if stepped_at is None else stepped_at
        soon = policy.interval_end(since) - min(_AHEAD_MS, policy.interval_ms // 2)
        if self._told is None or self._asked_at < soon <= now:
            self._ask(policy, now)

    def read(self, now: int) -> "ProbeReadings | None":
        """What is known at the instant `now`; None before there is a job, and while there is no policy.

        Asks what was not asked for ahead; the first time it leaves that to `look_ahead`.
        """
        policy = self._control.policy
        if policy is None:
            return None
        if self._asked_at == FIRST_INSTANT:
            self._asked_at = now - policy.interval_ms
        if not 0 <= now - self._asked_at < policy.interval_ms + _PATIENCE_MS:
            self._ask(policy, now)
        return self._told

    def _ask(self, policy: ControlPolicy, now: int) -> None:
        interval_ms = policy.interval_ms // 2
        if self._asked is not None and self._asked.url != self._control.prometheus_url:
            self._close_probe()
        if self._pairs_changed:
            self._look_at_pairs()
        if self._asked is None:
            if not self._queues:
                return
            self._asked = self._open_probe(interval_ms)
        probe, external, _ = self._asked
        if policy is not self._policy:
            self._policy = policy
            probe.interval_ms = interval_ms
            if external is not None:
                external.interval_ms = policy.interval_ms
            probe.want(self._queues, self._tasks, policy.slo.objectives)
        self._asked_at = now
        self._told = probe.read(now)

    def close(self) -> None:
        """Let go of the probe; it is opened again by who asks next. A question under way is waited for shortly."""
        self._close_probe()
        until_s = monotonic() + _ENDS_WITHIN_S
        for external in self._ending:
            external.wait_for_end(max(0.0, until_s - monotonic()))
        self._ending = []

    def _leave(self, pair: tuple[str, str]) -> None:
        self._pairs[pair] -= 1
        if not self._pairs[pair]:
            del self._pairs[pair]
            self._pairs_changed = True

    def _look_at_pairs(self) -> None:
        known = self._queues, self._tasks
        self._queues = {queue for queue, _ in self._pairs if queue}
        self._tasks = {task for _, task in self._pairs if task}
        self._pairs_changed = False
        if (self._queues, self._tasks) != known:
            self._policy = None

    def _close_probe(self) -> None:
        asked, self._asked, self._policy, self._told = self._asked, None, None, None
        self._asked_at = FIRST_INSTANT
        if asked is not None:
            asked.probe.close()
            if asked.external is not None:
                asked.external.stop()
                self._ending = [*(each for each in self._ending if not each.has_ended), asked.external]


def _pair(job: Job) -> tuple[str, str]:
    return job.queue, job.task


def probing_of(app: Celery, redis: BrokerRedis | None) -> Probing | None:
    """The probing of an app; None if it has no adaptive control."""
    setting: Control | None = app.conf.get(CONTROL_SETTING)
    if setting is None:
        return None
    control = setting

    def opened(interval_ms: int) -> Asked:
        # Imported here: most beats need none of it.
        from packages.infra.probes.judging import Judges
        from packages.infra.probes.opening import open_probe

        external = _external(control.prometheus_url, interval_ms)
        probe = open_probe(app, redis, interval_ms=interval_ms, judge=Judges(external))
        return Asked(probe, external, control.prometheus_url)

    return Probing(control, opened)


def _external(url: "SecretStr | None", interval_ms: int) -> "ExternalObjectives | None":
    if url is None:
        return None
    # Imported here: an HTTP client is needed only where there is such a server.
    from packages.infra.probes.external_objectives import ExternalObjectives
    from packages.infra.probes.prometheus import PrometheusClient

    return ExternalObjectives(PrometheusClient(url), interval_ms=interval_ms, now_ms=_present)


def _present() -> int:
    return to_instant(datetime.now(UTC))
