"""The probe of other brokers: kombu's own in memory, RabbitMQ where it is installed, and one that is away."""

import socket
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from amqp.protocol import queue_declare_ok_t
from celery import Celery
from kombu import Connection, Queue
from kombu.exceptions import ChannelError

from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.infra.beat.wiring import open_for
from packages.infra.probes.declared import Declared, DeclaredQueues
from packages.infra.probes.kombu_probe import LONGEST_S, KombuProbe, WorkAt
from packages.infra.probes.opening import open_probe
from packages.infra.probes.probe import ProbeReadings
from packages.infra.probes.work import Work
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis, open_state_redis
from packages.infra.queue.worker_heartbeats import Heartbeat, say
from packages.scheduling.control import step as control_step
from packages.scheduling.control.controllers import Controllers, QueueControl, WaitBasis
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.model import Criticality
from packages.scheduling.readings import QueueReading, TaskReading
from packages.scheduling.snapshot import Reading, Snapshot
from tests.beat.publishers.rabbitmq import rabbitmq, why_no_rabbitmq
from tests.probes.workers import Counts, Heartbeats, ended, worker

INTERVAL_MS = 5 * SECOND_MS
NOW = 1_700_000_000_000


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("test", broker="memory://", set_as_current=False)
    yield app
    app.close()


@pytest.fixture
def area() -> str:
    """A queue of one test: the broker in memory is the process's."""
    return f"area-{uuid4().hex}"


@pytest.fixture
def state(redis_url: str) -> Iterator[BrokerRedis]:
    redis = open_broker_redis(Celery("test", broker=redis_url, set_as_current=False))
    assert redis is not None
    yield redis._replace(is_broker=False)
    redis.close()


def put(connection: Connection, queue: str, count: int) -> None:
    with connection.channel() as channel:
        Queue(queue, routing_key=queue)(channel).declare()
        for _ in range(count):
            connection.Producer(channel).publish("x", routing_key=queue)


def test_what_waits_is_told_and_nothing_else(app: Celery, area: str) -> None:
    with app.connection_for_write() as connection:
        put(connection, area, 3)
        put(connection, f"{area}-empty", 0)
    probe = open_probe(app, None, interval_ms=INTERVAL_MS)
    probe.want([area, f"{area}-empty", f"{area}-unheard"], ["a.b"], [])
    assert probe.read(NOW) == ProbeReadings(
        queues={
            area: Reading(QueueReading(ready=3), NOW),
            f"{area}-empty": Reading(QueueReading(ready=0, oldest_ms=0), NOW),
            f"{area}-unheard": Reading(QueueReading(ready=0, oldest_ms=0), NOW),
        }
    )
    probe.close()


def test_asking_declares_nothing(app: Celery, area: str) -> None:
    probe = open_probe(app, None, interval_ms=INTERVAL_MS)
    probe.want([area], [], [])
    probe.read(NOW)
    with app.connection_for_read() as connection, connection.channel() as channel, pytest.raises(ChannelError):
        Queue(area)(channel).queue_declare(passive=True)
    probe.close()


def test_workers_tell_where_beat_keeps_its_state(app: Celery, area: str, redis_url: str) -> None:
    app.conf.beat_state_url = redis_url
    redis = open_state_redis(app)
    assert redis is not None
    say(redis, "one@here", Heartbeat(frozenset({area}), frozenset(), 2, {area: 1}, {}))
    probe = open_probe(app, redis, interval_ms=INTERVAL_MS)
    probe.want([area], ["a.b"], [])
    # What the workers count is asked for by the server's clock, which is not known yet.
    assert probe.read(NOW).queues[area].value.completed is None
    told = probe.read(NOW + INTERVAL_MS)
    reading = told.queues[area].value
    assert (reading.ready, reading.reserved, reading.consumers, reading.completed) == (0, 1, 1, 0)
    assert told.tasks["a.b"].value == TaskReading(0, 0)
    probe.close()
    redis.close()


def test_when_the_workers_cannot_be_heard_what_waits_is_told_all_the_same(
    app: Celery, area: str, state: BrokerRedis
) -> None:
    work = Work(Counts(ended(area, "a.b", ok=1)), Heartbeats(worker(area)))
    declared = DeclaredQueues(app.connection_for_write())
    probe = KombuProbe(declared, WorkAt(state, work), interval_ms=INTERVAL_MS)
    probe.want([area], ["a.b"], [])
    assert probe.read(NOW).queues[area].value.consumers == 1
    state.client.connection_pool.connection_kwargs["port"] = 1
    state.client.connection_pool.disconnect()
    state.client.connection_pool.reset()
    told = probe.read(NOW + INTERVAL_MS)
    assert told.queues == {area: Reading(QueueReading(ready=0, oldest_ms=0), NOW + INTERVAL_MS)}
    assert told.tasks == {"a.b": Reading(TaskReading(1, 1), NOW)}
    probe.close()


class Slow(DeclaredQueues):
    """Takes its time, on a clock of its own."""

    def __init__(self, each_s: float) -> None:
        self.each_s = each_s
        self.now_s = 0.0
        self.asked: list[str] = []

    def ask(self, queue: str) -> Declared:
        self.asked.append(queue)
        self.now_s += self.each_s
        return Declared(1)


def test_a_slow_broker_is_asked_about_a_part_of_the_queues_at_a_time() -> None:
    slow = Slow(each_s=LONGEST_S / 2)
    probe = KombuProbe(slow, None, interval_ms=INTERVAL_MS, monotonic=lambda: slow.now_s)
    probe.want(["a", "b", "c"], [], [])
    for step, asked in enumerate((["a", "b"], ["c", "a"], ["b", "c"])):
        slow.asked.clear()
        probe.read(NOW + step * INTERVAL_MS)
        assert slow.asked == asked
    told = probe.read(NOW + 2 * INTERVAL_MS)
    assert {queue: reading.taken_at - NOW for queue, reading in told.queues.items()} == {
        "a": INTERVAL_MS,
        "b": 2 * INTERVAL_MS,
        "c": 2 * INTERVAL_MS,
    }


@pytest.mark.parametrize(("code", "ready"), [("404", 0), (404, 0), (403, None), (405, None), (None, None)])
def test_only_a_queue_that_is_not_there_has_nothing_that_waits(app: Celery, code: object, ready: int | None) -> None:
    refused = ChannelError("no", (50, 10), "Channel.queue_declare")
    # A number from AMQP, a text from kombu's own transports.
    refused.reply_code = code  # type: ignore[assignment]

    class Refusing:
        """A channel on which each declaration fails."""

        closed = False

        def queue_declare(self, **_: object) -> Any:  # noqa: ANN401  # never returns
            raise refused

        def close(self) -> None:
            self.closed = True

    declared, channel = DeclaredQueues(app.connection_for_write()), Refusing()
    declared._channel = channel
    # A queue that is not there has no consumer either.
    assert declared.ask("area") == Declared(ready, None if ready is None else 0)
    assert channel.closed
    # Another channel is opened for the next one; it is of kombu's own, and knows of no consumers.
    assert declared.ask(uuid4().hex) == Declared(0)
    declared.close()


class Counting:
    """A channel of a broker that counts who consumes, as RabbitMQ does."""

    def __init__(self, messages: int, consumers: int) -> None:
        self._answer = queue_declare_ok_t("area", messages, consumers)

    def queue_declare(self, *, queue: str, passive: bool) -> queue_declare_ok_t:
        assert (queue, passive) == ("area", True)
        return self._answer


@pytest.mark.parametrize("consumers", [0, 2])
def test_who_consumes_is_told_where_the_broker_counts_it(app: Celery, consumers: int) -> None:
    declared = DeclaredQueues(app.connection_for_write())
    declared._channel = Counting(3, consumers)
    probe = KombuProbe(declared, None, interval_ms=INTERVAL_MS)
    probe.want(["area"], [], [])
    assert probe.read(NOW).queues["area"].value == QueueReading(ready=3, consumers=consumers)
    probe.close()


@pytest.mark.parametrize("consumers", [0, 2])
def test_the_broker_knows_better_than_the_workers_who_consumes(app: Celery, state: BrokerRedis, consumers: int) -> None:
    declared = DeclaredQueues(app.connection_for_write())
    declared._channel = Counting(3, consumers)
    work = Work(Counts(ended("area", "a.b", ok=1)), Heartbeats(worker("area")))
    probe = KombuProbe(declared, WorkAt(state, work), interval_ms=INTERVAL_MS)
    probe.want(["area"], [], [])
    reading = probe.read(NOW).queues["area"].value
    assert (reading.consumers, reading.completed) == (consumers, 1)
    probe.close()


def test_a_broker_that_says_nothing_is_not_waited_for_twice(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        app = Celery("test", broker=f"amqp://127.0.0.1:{silent.getsockname()[1]}//", set_as_current=False)
        app.conf.broker_connection_timeout = 0.2
        probe = open_probe(app, None, interval_ms=INTERVAL_MS)
        probe.want(["area"], [], [])
        assert probe.read(NOW) == ProbeReadings()
        assert probe.read(NOW + INTERVAL_MS) == ProbeReadings()
        probe.close()
    assert [record.getMessage() for record in caplog.records] == ["only_lengths_are_known", "errand_failed"]


@pytest.mark.rabbitmq
@pytest.mark.skipif(why_no_rabbitmq() is not None, reason=str(why_no_rabbitmq()))
def test_rabbitmq_says_what_waits() -> None:
    with rabbitmq() as url:
        app = Celery("test", broker=url, set_as_current=False)
        with app.connection_for_write() as connection:
            put(connection, "area", 2)
        opened = open_for(AdaptiveScheduler(app))
        probe = open_probe(app, opened.redis, interval_ms=INTERVAL_MS)
        probe.want(["unheard", "area"], [], [])
        told = probe.read(NOW)
        assert {queue: (reading.value.ready, reading.value.consumers) for queue, reading in told.queues.items()} == {
            "unheard": (0, 0),
            "area": (2, 0),
        }
        with app.connection_for_read() as connection, connection.Consumer(Queue("area"), accept=["json"]):
            told = probe.read(NOW + INTERVAL_MS)
        assert told.queues["area"].value.consumers == 1
        probe.close()
        opened.close()


def test_a_queue_that_grows_where_nobody_tells_more_is_throttled_and_let_go(app: Celery, area: str) -> None:
    """From the broker to the rates: lengths are all that there is."""
    probe = open_probe(app, None, interval_ms=INTERVAL_MS)
    probe.want([area], [], [])
    present = {area: (Criticality.SHEDDABLE,)}
    now, controllers = NOW, Controllers()

    def stepped(intervals: int) -> QueueControl:
        nonlocal now, controllers
        for _ in range(intervals):
            snapshot = Snapshot(now, queues=probe.read(now).queues)
            controllers = control_step.step(controllers, snapshot, ControlPolicy(), present, now)
            now += 10 * SECOND_MS
        return controllers.queues[area]

    with app.connection_for_write() as connection:
        put(connection, area, 90)
        assert not stepped(20).rates
        for _ in range(9):
            put(connection, area, 20)
            control = stepped(1)
        assert (control.basis, control.messages, control.unserved) == (WaitBasis.LENGTH, 270, False)
        assert control.rates[Criticality.SHEDDABLE] < ONE
        with connection.channel() as channel:
            Queue(area)(channel).purge()
    assert not stepped(100).rates
    probe.close()
