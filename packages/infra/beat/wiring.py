"""What beat keeps and asks for, opened for one app: in the broker's Redis, else in the process with a warning.

The one place of this package that knows which class stands behind which port.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Protocol

from celery import Celery
from redis.exceptions import RedisError

from packages.infra.beat.decision_sink import DecisionSink, MemoryDecisions
from packages.infra.beat.namespace import namespace_of
from packages.infra.beat.readings import PublishedRun, Readings, Request
from packages.infra.beat.redis_decisions import RedisDecisions
from packages.infra.beat.redis_state import RedisStateStore
from packages.infra.beat.state_store import MemoryStateStore, StateStore
from packages.infra.control.control import Control
from packages.infra.control.redis_control import RedisControl
from packages.infra.queue.active_markets import ActiveMarketsStore
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.queue.outages import Errand
from packages.infra.queue.running import JobRun, RunningStore
from packages.scheduling.instants import DAY_MS, to_datetime
from packages.scheduling.model import Job
from packages.scheduling.policies import OverlapMode
from packages.scheduling.sessions import SessionTable
from packages.scheduling.snapshot import Reading, Run, Snapshot

log = logging.getLogger(__name__)

# A setting of the app: makes the calendars of some markets, as of an instant.
CALENDARS_SETTING: Final = "beat_calendars"
_NO_TABLES: Final[Mapping[str, SessionTable]] = MappingProxyType({})


class Calendars(Protocol):
    """The calendars of the markets in use, kept fresh; see `packages.infra.calendars.load.MarketCalendars`."""

    @property
    def tables(self) -> Mapping[str, SessionTable]:
        """By market."""
        ...

    def want(self, markets: Collection[str]) -> None:
        """Markets that turn out to be in use."""
        ...

    def poll(self, now: datetime) -> bool:
        """See to what is missing, without waiting."""
        ...

    def close(self) -> None:
        """End what is being made."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """What one scheduler works with. `redis` is None where the broker is none."""

    store: StateStore
    decisions: DecisionSink
    readings: Readings
    redis: BrokerRedis | None

    def close(self) -> None:
        """Let go of the connections."""
        self.readings.close()
        if self.redis is not None:
            self.redis.close()


def open_for(app: Celery) -> Opened:
    """Open what beat needs beside the messages.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    redis = open_broker_redis(app, namespace=namespace_of(app))
    calendars = app.conf.get(CALENDARS_SETTING)
    if redis is None:
        log.warning("state_is_in_process_only", extra={"reason": "the broker is not Redis"})
        return Opened(MemoryStateStore(), MemoryDecisions(), BrokerReadings(None, calendars), None)
    return Opened(RedisStateStore(redis), RedisDecisions(redis), BrokerReadings(redis, calendars), redis)


class BrokerReadings:
    """See `Readings`: the operator's word and the runs from the broker's Redis, the calendars from their files.

    While Redis is away the operator's last word holds; all else is absent.
    """

    def __init__(
        self, redis: BrokerRedis | None, make_calendars: Callable[[Collection[str], datetime], Calendars] | None
    ) -> None:
        self._control = RedisControl(redis) if redis is not None else None
        self._running = RunningStore(redis) if redis is not None else None
        self._active = ActiveMarketsStore(redis) if redis is not None else None
        self._make_calendars = make_calendars
        self._calendars: Calendars | None = None
        self._markets: set[str] = set()
        self._counts_runs = False
        self._in_trading_hours = False
        self._said = Reading(Control(), 0)
        self._away = Errand("control", (RedisError, OSError))
        self._counting = Errand("runs", (RedisError, OSError))

    def want(self, jobs: Collection[Job]) -> None:
        """See `Readings`."""
        for job in jobs:
            policies = job.policies
            self._counts_runs |= policies.overlap is not OverlapMode.ALLOW
            if policies.trading_hours is not None:
                self._in_trading_hours = True
                self._markets |= set(policies.trading_hours.markets)
            if policies.windows is not None:
                self._markets |= set(policies.windows.outside_sessions_of)

    def read(self, now: int) -> tuple[Snapshot, Sequence[Request]]:
        """See `Readings`."""
        requests: Sequence[Request] = ()
        if self._control is not None and self._away.run(lambda: self._hear(now)):
            requests = self._said.value.requests
        snapshot = Snapshot(
            taken_at=now,
            markets=self._tables(now),
            active_markets=self._active.read(now) if self._active is not None and self._in_trading_hours else None,
            pauses=Reading(self._said.value.pauses, self._said.taken_at),
            running=self._running.read(now) if self._running is not None and self._counts_runs else None,
            gate_modes=self._said.value.gate_modes,
        )
        return snapshot, requests

    def acknowledge(self, requests: Sequence[Request]) -> None:
        """See `Readings`."""
        control = self._control
        if control is not None and requests:
            self._away.run(lambda: control.acknowledge([request.id for request in requests]))

    def publishing(self, runs: Sequence[PublishedRun]) -> None:
        """See `Readings`. Only runs of a job whose policy looks at them are counted."""
        running = self._running
        counted = [_as_run(run) for run in runs if run.job.policies.overlap is not OverlapMode.ALLOW]
        if running is not None and counted:
            self._counting.run(lambda: running.published(counted))

    def not_published(self, task_ids: Sequence[str]) -> None:
        """See `Readings`."""
        running = self._running
        if running is not None and self._counts_runs and task_ids:
            self._counting.run(lambda: running.ended(task_ids))

    def close(self) -> None:
        """See `Readings`."""
        if self._calendars is not None:
            self._calendars.close()
            self._calendars = None

    def _hear(self, now: int) -> None:
        if self._control is not None:
            self._said = Reading(self._control.read(now), now)

    def _tables(self, now: int) -> Mapping[str, SessionTable]:
        if self._make_calendars is None or not self._markets:
            return _NO_TABLES
        if self._calendars is None:
            try:
                self._calendars = self._make_calendars(frozenset(self._markets), to_datetime(now))
            except Exception as error:
                # Without calendars each policy says itself what becomes of its job.
                log.exception("calendars_refused", extra={"error": str(error)})
                self._make_calendars = None
                return _NO_TABLES
        else:
            self._calendars.want(self._markets)
            self._calendars.poll(to_datetime(now))
        return self._calendars.tables


def _as_run(run: PublishedRun) -> JobRun:
    # A message without an end may wait for a worker for long; a day later it no longer holds its job up.
    lifetime_ms = DAY_MS if run.job.expires_ms is None else run.job.expires_ms
    return JobRun(run.job.name, Run(run.task_id, run.published_at, run.published_at + lifetime_ms))
