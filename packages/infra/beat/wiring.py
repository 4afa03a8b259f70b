"""What beat keeps, asks for and publishes with, opened for one scheduler: in the broker's Redis, else in the process.

The one place of this package that knows which class stands behind which port.
"""

import logging
from datetime import timedelta
from typing import Final, NamedTuple

from celery import Celery

from packages.infra.beat.beat_status import BeatStatusStore
from packages.infra.beat.broker_readings import BrokerReadings
from packages.infra.beat.celery_host import ANSWERS_WITHIN_S, CeleryHost
from packages.infra.beat.lease import PERIOD, SHORTEST_PERIOD, Lease, replica_name
from packages.infra.beat.lease_store import LeaseStore, MemoryLease
from packages.infra.beat.messages.maker import Messages
from packages.infra.beat.probing import probing_of
from packages.infra.beat.publisher import Publisher
from packages.infra.beat.publishers.commit_script import COMMIT
from packages.infra.beat.publishers.redis_publisher import RedisPublisher
from packages.infra.beat.readings import Readings
from packages.infra.beat.redis_lease import KEEP, RedisLease
from packages.infra.beat.redis_state import RedisStateStore
from packages.infra.beat.state_store import MemoryStateStore, StateStore
from packages.infra.ledger.ledger import Ledger, MemoryLedger
from packages.infra.ledger.redis_ledger import RedisLedger, length_of
from packages.infra.queue.broker_redis import STATE_URL_SETTING, BrokerRedis, open_state_redis
from packages.infra.queue.script_wire import ScriptWire
from packages.scheduling.instants import to_instant

log = logging.getLogger(__name__)

# A setting of the app: makes the calendars of some markets, as of an instant.
CALENDARS_SETTING: Final = "beat_calendars"
# Another one: how many seconds a lease holds without being renewed.
LEASE_PERIOD_SETTING: Final = "beat_lease_period_s"


class Opened(NamedTuple):
    """What one scheduler works with. `redis` and `status` are None where the broker is no Redis."""

    store: StateStore
    ledger: Ledger
    readings: Readings
    redis: BrokerRedis | None
    lease: Lease
    publisher: Publisher
    status: BeatStatusStore | None = None

    def ask_again(self) -> None:
        """Let nothing be left out because Redis did not answer a moment ago."""
        if self.redis is not None:
            self.redis.ask_again()

    def close(self) -> None:
        """Let go of the connections."""
        self.publisher.close()
        self.readings.close()
        if self.redis is not None:
            self.redis.close()


def open_for(host: CeleryHost) -> Opened:
    """Open what beat needs.

    Raises:
        kombu.exceptions.OperationalError: the broker, or where the state is kept, cannot be reached.
    """
    redis = open_state_redis(host.app)
    readings = BrokerReadings(redis, host.app.conf.get(CALENDARS_SETTING), probing_of(host.app, redis))
    if redis is None:
        log.warning("state_is_in_process_only", extra={"reason": "the broker is not Redis; one replica only"})
        return opened_with(host, store=MemoryStateStore(), ledger=MemoryLedger(), readings=readings)
    if redis.is_broker and host.app.conf.get(STATE_URL_SETTING):
        log.warning("state_url_not_used", extra={"reason": "the broker is Redis and keeps the state, too"})
    length = length_of(host.app)
    lease, publisher = (_by_script if redis.is_broker else _by_celery)(host, redis, length)
    return Opened(
        store=RedisStateStore(redis),
        ledger=RedisLedger(redis, length=length),
        readings=readings,
        redis=redis,
        lease=lease,
        publisher=publisher,
        status=BeatStatusStore(redis),
    )


def _by_script(host: CeleryHost, redis: BrokerRedis, ledger_length: int) -> tuple[Lease, Publisher]:
    """Where the broker itself can claim and push in one step."""
    # One connection for what must be in order: the lease, and what is published under it.
    wire = ScriptWire(redis, (KEEP, COMMIT), timeout_s=ANSWERS_WITHIN_S)
    lease = lease_of(host, RedisLease(redis, wire))
    publisher = RedisPublisher(
        redis,
        wire,
        Messages(host),
        lease,
        ledger_length=ledger_length,
        now=lambda: to_instant(host.utc_now()),
        monotonic=host.monotonic_s,
    )
    return lease, publisher


def _by_celery(host: CeleryHost, redis: BrokerRedis, ledger_length: int) -> tuple[Lease, Publisher]:
    """Where the claims are in another place than the messages. Imported here: most beats need none of it."""
    from packages.infra.beat.publishers.kombu_publisher import KombuPublisher
    from packages.infra.beat.publishers.redis_claims import CLAIM, SETTLE, RedisClaims

    wire = ScriptWire(redis, (KEEP, CLAIM, SETTLE), timeout_s=ANSWERS_WITHIN_S)
    lease = lease_of(host, RedisLease(redis, wire))
    return lease, KombuPublisher(host, RedisClaims(redis, wire, lease, ledger_length=ledger_length), lease)


def opened_with(
    host: CeleryHost, *, store: StateStore, ledger: Ledger, readings: Readings, status: BeatStatusStore | None = None
) -> Opened:
    """What beat needs where it publishes by Celery's own way and shares nothing: for one replica."""
    from packages.infra.beat.publishers.claims import MemoryClaims
    from packages.infra.beat.publishers.kombu_publisher import KombuPublisher

    lease = lease_of(host, MemoryLease())
    publisher = KombuPublisher(host, MemoryClaims(store, ledger), lease)
    return Opened(store, ledger, readings, None, lease, publisher, status)


def lease_of(host: CeleryHost, store: LeaseStore) -> Lease:
    """The lease of one replica, with the period of the app's settings."""
    return Lease(
        store,
        owner=replica_name(),
        period=lease_period(host.app),
        monotonic=host.monotonic_s,
        now=lambda: to_instant(host.utc_now()),
    )


def lease_period(app: Celery) -> timedelta:
    """How long a lease holds without being renewed; the setting, but a second at least."""
    given = app.conf.get(LEASE_PERIOD_SETTING)
    return PERIOD if given is None else max(SHORTEST_PERIOD, timedelta(seconds=float(given)))
