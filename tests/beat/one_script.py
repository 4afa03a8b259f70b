"""A publisher on a server of Redis' kind, with messages that a test makes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import redis
from celery import Celery
from celery.beat import ScheduleEntry

from packages.infra.beat.entries.entry import BeatEntry
from packages.infra.beat.lease import Lease
from packages.infra.beat.messages.fire_ids import task_id_of
from packages.infra.beat.messages.message import Message, Pieces, Push, Route
from packages.infra.beat.publisher import Commit, Committed, FireOut
from packages.infra.beat.publishers.commit_script import COMMIT
from packages.infra.beat.publishers.redis_publisher import RedisPublisher
from packages.infra.beat.redis_lease import KEEP, RedisLease
from packages.infra.beat.standing import Standing
from packages.infra.beat.stored_values import state_of
from packages.infra.ledger.records import decision_of
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.queue.script_wire import ScriptWire
from packages.scheduling.decision import SCHEDULE, Decision, Reason, Verdict
from packages.scheduling.instants import HOUR_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.plan import Fire
from packages.scheduling.policies import Policies
from packages.scheduling.state import JobState
from packages.scheduling.triggers.interval import IntervalTrigger

NOW = 1_767_614_400_000
QUEUE = Route("queue")
FRAME = (" <", ",", ",", ",", ">")


@dataclass
class Made:
    """Makes messages as told: `pushes` by job, else one to `queue`; a job in `broken` cannot be made one.

    Those to `queue` are whole, or `in_pieces`.
    """

    in_pieces: bool = False
    pushes: dict[str, tuple[Push, ...]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    accepted: list[str] = field(default_factory=list)

    def make(self, fire: Fire, entry: ScheduleEntry, *, term: int, published_at: int, task_id: str) -> Message | Pieces:
        assert entry.name == fire.job.name
        assert (term > 0, published_at) == (True, NOW)
        name = fire.job.name
        if name in self.broken:
            raise ValueError(f"{name} cannot be written")
        pushes = self.pushes.get(name, (Push(QUEUE, f"message of {name}"),))
        assert task_id == task_id_of(name, fire.decision.nominal, fire.decision.origin)
        if self.in_pieces and name not in self.pushes:
            return Pieces(QUEUE, f"message of {name}", f" at {fire.decision.nominal}", FRAME)
        return Message(task_id, pushes, lambda: self.accepted.append(name))

    def prepare(self, name: str, entry: ScheduleEntry, *, now: int) -> None:
        """There is nothing to prepare."""

    def forget(self, name: str) -> None:
        """Nothing is remembered."""


@dataclass
class World:
    """A publisher on a server, and another client to look with."""

    broker: BrokerRedis
    wire: ScriptWire
    lease: Lease
    publisher: RedisPublisher
    made: Made
    client: Any

    def commit(self, fires: Sequence[FireOut] = (), **given: Any) -> Committed:  # noqa: ANN401  # the fields of a commit
        states = {out.fire.job.name: state_after(out.fire) for out in fires}
        usual: dict[str, Any] = {"term": self.lease.term, "now": NOW, "tick": "1.1", "states": states}
        usual["tick_record"] = '{"v":1}'
        return self.publisher.commit(Commit(fires=fires, **(usual | given)))

    def messages(self, key: str = "queue") -> list[str]:
        """What was pushed, in its order; of those in pieces the head."""
        return [text.decode().split(" at ")[0] for text in reversed(self.client.lrange(key, 0, -1))]

    def states(self) -> dict[str, JobState]:
        return {name.decode(): state_of(text) for name, text in self.client.hgetall("test:beat:state").items()}

    def ledger(self) -> list[tuple[str, str]]:
        """The kind of each entry, and the job of a decision."""
        entries = [fields for _, fields in self.client.xrange("test:ledger")]
        return [
            ("d", decision_of(f[b"j"].decode(), f[b"d"]).job) if b"d" in f else ("s", f[b"s"].decode()) for f in entries
        ]

    def claims(self) -> int:
        return sum(self.client.scard(key) for key in self.client.scan_iter("test:beat:claims:*"))


def state_after(fire: Fire) -> JobState:
    return JobState(watermark=fire.decision.nominal, trigger="every hour", fired=1)


def fire_of(name: str, nominal: int = NOW, policies: Policies | None = None) -> FireOut:
    job = Job(name, f"task.{name}", IntervalTrigger(HOUR_MS), "queue", Criticality.CRITICAL)
    if policies is not None:
        job = Job(name, job.task, job.trigger, "queue", job.criticality, 60_000, policies)
    decision = Decision(name, nominal, nominal, SCHEDULE, NOW, Verdict.FIRE, Reason.ON_TIME)
    return FireOut(Fire(job, decision), BeatEntry(name=name, task=job.task, schedule=timedelta(hours=1)))


@contextmanager
def leading_world(url: str, *, in_pieces: bool) -> Iterator[World]:
    """A world whose lease leads, for as long as the block; `in_pieces`: how its messages are made.

    All worlds are of one owner.
    """
    broker = open_broker_redis(Celery("test", broker=url, set_as_current=False))
    assert broker is not None
    wire = ScriptWire(broker, (KEEP, COMMIT), timeout_s=2)
    lease = Lease(
        RedisLease(broker, wire), owner="me", period=timedelta(seconds=10), monotonic=lambda: 0.0, now=lambda: NOW
    )
    made = Made(in_pieces)
    publisher = RedisPublisher(broker, wire, made, lease, ledger_length=3_000, now=lambda: NOW, monotonic=lambda: 0.0)
    client = redis.Redis.from_url(url)
    try:
        assert lease.keep() is Standing.LEADING
        yield World(broker, wire, lease, publisher, made, client)
    finally:
        publisher.close()
        broker.close()
        client.close()
