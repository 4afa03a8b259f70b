"""What beat is told of the world: the operator's word and the runs by the broker's Redis, the calendars by their files.

Decides nothing. While Redis is away the operator's last word holds; all else is absent.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final, Protocol

from redis.exceptions import RedisError

from packages.infra.beat.probing import Probing
from packages.infra.control.control import Control
from packages.infra.control.redis_control import RedisControl
from packages.infra.queue.active_markets import ActiveMarketsStore
from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.outages import Errand
from packages.infra.queue.running import RunningStore
from packages.scheduling.instants import FIRST_INSTANT, to_datetime
from packages.scheduling.model import Job
from packages.scheduling.policies import OverlapMode
from packages.scheduling.requests import Request
from packages.scheduling.sessions import SessionTable
from packages.scheduling.snapshot import Reading, Snapshot

log = logging.getLogger(__name__)

# At thousands of ticks a second an operator's word is not asked for at each one.
_HEARD_EVERY_MS: Final = 200
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


class BrokerReadings:
    """See `Readings`: the operator's word and the runs from the broker's Redis, the calendars from their files.

    While Redis is away the operator's last word holds, and so, with its age, does what the probes told; all else is
    absent. `probing` is its own.
    """

    def __init__(
        self,
        redis: BrokerRedis | None,
        make_calendars: Callable[[Collection[str], datetime], Calendars] | None,
        probing: Probing | None = None,
    ) -> None:
        self._control = RedisControl(redis) if redis is not None else None
        self._running = RunningStore(redis) if redis is not None else None
        self._active = ActiveMarketsStore(redis) if redis is not None else None
        self._make_calendars = make_calendars
        self._probing = probing
        self._calendars: Calendars | None = None
        self._markets: set[str] = set()
        self._counts_runs = False
        self._in_trading_hours = False
        self._said = Reading(Control(), 0)
        self._heard_at = FIRST_INSTANT
        self._away = Errand("control", (RedisError, OSError))

    @property
    def has_probes(self) -> bool:
        """See `Readings`."""
        return self._probing is not None

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
        if self._probing is not None:
            self._probing.want(jobs)

    def read(self, now: int) -> tuple[Snapshot, Sequence[Request]]:
        """See `Readings`."""
        requests: Sequence[Request] = ()
        if self._control is not None and not 0 <= now - self._heard_at < _HEARD_EVERY_MS:
            self._heard_at = now
            if self._away.run(lambda: self._hear(now)):
                requests = self._said.value.requests
        active = self._active.read(now) if self._active is not None and self._in_trading_hours else None
        tables = self._tables(now, frozenset() if active is None else active.value)
        if active is not None:
            # One that no calendar knows, a misspelt one, say, must not open the gate for all that trade elsewhere.
            active = Reading(active.value & tables.keys(), active.taken_at)
        said = self._said.value
        snapshot = Snapshot(
            taken_at=now,
            markets=tables,
            active_markets=active,
            pauses=Reading(said.pauses, self._said.taken_at),
            running=self._running.read(now) if self._running is not None and self._counts_runs else None,
            gate_modes=said.gate_modes,
            # What was heard may have ended since, above all while Redis is away.
            pins={(pin.queue, pin.criticality): pin for pin in said.pins if pin.holds(now)},
            exempt={each.job: each for each in said.exemptions if each.holds(now)},
        )
        told = self._probing.read(now) if self._probing is not None else None
        if told is not None:
            snapshot = snapshot._replace(queues=told.queues, tasks=told.tasks, objectives=told.objectives)
        return snapshot, requests

    def look_ahead(self, now: int, stepped_at: int | None) -> None:
        """See `Readings`."""
        if self._probing is not None:
            self._probing.look_ahead(now, stepped_at)

    def let_go(self, names: Iterable[str]) -> None:
        """See `Readings`."""
        if self._probing is not None:
            self._probing.let_go(names)

    def acknowledge(self, requests: Sequence[Request]) -> None:
        """See `Readings`."""
        control = self._control
        if control is not None and requests:
            self._away.run(lambda: control.acknowledge([request.id for request in requests]))

    def close(self) -> None:
        """See `Readings`."""
        if self._calendars is not None:
            self._calendars.close()
            self._calendars = None
        if self._probing is not None:
            self._probing.close()

    def _hear(self, now: int) -> None:
        if self._control is not None:
            self._said = Reading(self._control.read(now), now)

    def _tables(self, now: int, active: frozenset[str]) -> Mapping[str, SessionTable]:
        markets = self._markets | active
        if self._make_calendars is None or not markets:
            return _NO_TABLES
        if self._calendars is None:
            try:
                self._calendars = self._make_calendars(markets, to_datetime(now))
            except Exception as error:
                # Without calendars each policy says itself what becomes of its job.
                log.exception("calendars_refused", extra={"error": str(error)})
                self._make_calendars = None
                return _NO_TABLES
        else:
            self._calendars.want(markets)
            self._calendars.poll(to_datetime(now))
        return self._calendars.tables
