"""Brokers with publishers on them, one after the other, as replicas that lead in turn: what the contract is tried on.

Another implementation of `Publisher` is another function in `WORLDS`.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol
from uuid import uuid4

import pytest
import redis
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

from packages.infra.beat.celery_host import ANSWERS_WITHIN_S, CeleryHost
from packages.infra.beat.lease import Lease, replica_name
from packages.infra.beat.lease_store import LeaseStore, MemoryLease
from packages.infra.beat.messages.maker import Messages
from packages.infra.beat.publisher import Publisher
from packages.infra.beat.publishers.claims import ClaimStore, MemoryClaims
from packages.infra.beat.publishers.commit_script import COMMIT
from packages.infra.beat.publishers.kombu_publisher import KombuPublisher
from packages.infra.beat.publishers.redis_claims import CLAIM, SETTLE, RedisClaims
from packages.infra.beat.publishers.redis_publisher import RedisPublisher
from packages.infra.beat.redis_lease import KEEP, RedisLease
from packages.infra.beat.redis_state import RedisStateStore
from packages.infra.beat.state_store import MemoryStateStore, StateStore
from packages.infra.ledger.ledger import Ledger, MemoryLedger
from packages.infra.ledger.redis_ledger import RedisLedger
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.queue.script_wire import ScriptWire
from packages.scheduling.control.controllers import Controllers
from packages.scheduling.decision import Decision
from packages.scheduling.instants import to_instant
from packages.scheduling.state import JobState
from tests.beat.freezable import freezable
from tests.beat.publishers.rabbitmq import rabbitmq, why_no_rabbitmq

LEDGER_LENGTH: Final = 1_000
# In place of the time limits of a real beat, for who waits for a broker that is cut off.
PATIENCE_S: Final = 0.5


class Killed(BaseException):
    """The process of a replica ends here."""


class Host(CeleryHost):
    """Publishes by Celery's own way, unless something is in it.

    `is_away`: the broker is. `broken`: tasks that cannot be published. `dies`: the process ends "before" the next
    message is sent, or "after".
    """

    def __init__(self, app: Celery) -> None:
        super().__init__(app, lazy=True)
        self.is_away = False
        self.broken: set[str] = set()
        self.dies = ""
        self.sent = 0

    def send_task(self, name: str, args: object = None, kwargs: object = None, **options: object) -> None:
        if self.dies == "before":
            raise Killed
        if self.is_away:
            raise OperationalError("the broker is away")
        if name in self.broken:
            raise ValueError("this is no message")
        super().send_task(name, args, kwargs, **options)
        self.sent += 1
        if self.dies == "after":
            raise Killed

    def _ensure_connected(self) -> Connection:
        if self.is_away:
            raise OperationalError("the broker is away")
        return super()._ensure_connected()


@dataclass
class Replica:
    """One that leads, until another one does."""

    publisher: Publisher
    host: Host
    term: int


class World(Protocol):
    """A broker, and where beat keeps what it knows. `is_atomic`: a message goes out together with its claim."""

    is_atomic: bool
    queue: str

    def replica(self) -> Replica:
        """A replica that takes over from the one before."""
        ...

    def cut_off(self, replica: Replica) -> AbstractContextManager[None]:
        """The replica does not reach the broker inside the block."""
        ...

    def messages(self) -> list[dict[str, Any]]:
        """The headers of the messages in the queue, which is empty afterwards."""
        ...

    def states(self, *names: str) -> Mapping[str, JobState]:
        """What is kept of these jobs."""
        ...

    def decisions(self) -> Sequence[Decision]:
        """What is in the ledger, the oldest first."""
        ...

    def controllers(self) -> Controllers | None:
        """What is kept of the adaptive control."""
        ...


class _Base:
    """What all worlds have in common."""

    is_atomic = False

    def __init__(self, url: str, store: StateStore, ledger: Ledger) -> None:
        self.queue = f"q-{uuid4().hex}"
        self._url = url
        self._store = store
        self._ledger = ledger
        self._opened: list[Replica] = []

    def close(self) -> None:
        self.messages()
        for replica in self._opened:
            replica.publisher.close()
            replica.host.connection.release()

    def messages(self) -> list[dict[str, Any]]:
        taken: list[dict[str, Any]] = []
        app = app_on(self._url)
        with app.connection_for_read() as connection, connection.SimpleQueue(self.queue) as waiting:
            while True:
                try:
                    message = waiting.get(block=False)
                except waiting.Empty:
                    return taken
                taken.append(dict(message.headers))
                message.ack()

    def states(self, *names: str) -> Mapping[str, JobState]:
        return self._store.load(names)

    def decisions(self) -> Sequence[Decision]:
        return self._ledger.read(None, LEDGER_LENGTH)[::-1]

    def controllers(self) -> Controllers | None:
        return self._store.load_controllers()

    def _replica(self, publisher: Publisher, host: Host, term: int) -> Replica:
        replica = Replica(publisher, host, term)
        self._opened.append(replica)
        return replica

    @contextmanager
    def cut_off(self, replica: Replica) -> Iterator[None]:
        replica.host.is_away = True
        yield
        replica.host.is_away = False


class KombuInMemory(_Base):
    """A broker that is no Redis, and nothing kept but in the process."""

    def __init__(self) -> None:
        super().__init__("memory://", MemoryStateStore(), MemoryLedger())
        self._terms = itertools.count(1)
        self._claims: ClaimStore = MemoryClaims(self._store, self._ledger)

    def replica(self) -> Replica:
        host = Host(app_on(self._url))
        lease = lease_of(host, MemoryLease())
        lease.keep()
        return self._replica(KombuPublisher(host, self._claims, lease), host, next(self._terms))


class KombuWithRedis(_Base):
    """A broker that is no Redis, and a Redis beside it."""

    def __init__(self, url: str, redis_: BrokerRedis) -> None:
        super().__init__(url, RedisStateStore(redis_), RedisLedger(redis_))
        self._redis = redis_

    def replica(self) -> Replica:
        host = Host(app_on(self._url))
        wire = ScriptWire(self._redis, (KEEP, CLAIM, SETTLE), timeout_s=ANSWERS_WITHIN_S)
        lease = takes_over(self._redis, host, wire)
        claims = RedisClaims(self._redis, wire, lease, ledger_length=LEDGER_LENGTH)
        return self._replica(KombuPublisher(host, claims, lease), host, lease.term)


class OnRedis(_Base):
    """One Redis for all."""

    is_atomic = True

    def __init__(self, url: str) -> None:
        self._stack = ExitStack()
        self._way = self._stack.enter_context(freezable(url))
        redis_ = open_broker_redis(app_on(url))
        assert redis_ is not None
        self._redis = redis_
        super().__init__(url, RedisStateStore(redis_), RedisLedger(redis_))

    def close(self) -> None:
        super().close()
        self._redis.close()
        self._stack.close()

    def replica(self) -> Replica:
        host = Host(app_on(self._way.url, socket_timeout=PATIENCE_S))
        redis_ = open_broker_redis(host.app)
        assert redis_ is not None
        wire = ScriptWire(redis_, (KEEP, COMMIT), timeout_s=PATIENCE_S)
        lease = takes_over(redis_, host, wire)
        publisher = RedisPublisher(
            redis_,
            wire,
            Messages(host),
            lease,
            ledger_length=LEDGER_LENGTH,
            now=lambda: to_instant(host.utc_now()),
            monotonic=host.monotonic_s,
        )
        return self._replica(publisher, host, lease.term)

    @contextmanager
    def cut_off(self, replica: Replica) -> Iterator[None]:  # noqa: ARG002  # there is one way for all of them
        self._way.is_frozen = True
        yield
        self._way.is_frozen = False


def app_on(url: str, **options: object) -> Celery:
    """An app with these options of its broker's transport."""
    return Celery("test", broker=url, broker_transport_options=options, set_as_current=False)


def lease_of(host: Host, store: LeaseStore) -> Lease:
    return Lease(
        store,
        owner=replica_name(),
        period=timedelta(seconds=10),
        monotonic=host.monotonic_s,
        now=lambda: to_instant(host.utc_now()),
    )


def takes_over(redis_: BrokerRedis, host: Host, wire: ScriptWire) -> Lease:
    """A new lease, the one before having ended."""
    redis_.client.delete(redis_.key("beat:lease"))
    lease = lease_of(host, RedisLease(redis_, wire))
    lease.keep()
    return lease


def kombu_in_memory(request: pytest.FixtureRequest, stack: ExitStack) -> World:  # noqa: ARG001  # as the others
    world = KombuInMemory()
    stack.callback(world.close)
    return world


def kombu_with_redis(request: pytest.FixtureRequest, stack: ExitStack) -> World:
    return _with_redis("memory://", request, stack)


def rabbitmq_with_redis(request: pytest.FixtureRequest, stack: ExitStack) -> World:
    return _with_redis(stack.enter_context(rabbitmq()), request, stack)


def on_redis(request: pytest.FixtureRequest, stack: ExitStack) -> World:
    world = OnRedis(request.getfixturevalue("redis_url"))
    stack.callback(world.close)
    return world


def _with_redis(url: str, request: pytest.FixtureRequest, stack: ExitStack) -> World:
    client = stack.enter_context(redis.Redis.from_url(request.getfixturevalue("redis_url")))
    world = KombuWithRedis(url, BrokerRedis(client, "test", channel=None))
    stack.callback(world.close)
    return world


Opener = Callable[[pytest.FixtureRequest, ExitStack], World]
# Each implementation of `Publisher`, and each broker that it is tried on.
WORLDS: Final = (
    pytest.param(kombu_in_memory, id="kombu-in-memory"),
    pytest.param(kombu_with_redis, id="kombu-with-redis"),
    pytest.param(
        rabbitmq_with_redis,
        id="rabbitmq-with-redis",
        marks=[
            pytest.mark.rabbitmq,
            pytest.mark.skipif(why_no_rabbitmq() is not None, reason=str(why_no_rabbitmq())),
        ],
    ),
    pytest.param(on_redis, id="redis"),
)
