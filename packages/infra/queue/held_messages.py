"""What a worker's main process holds at this moment, as its heartbeat says it; read from Celery's consumer."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from celery import Celery

from packages.infra.queue.running_signals import HeldMessage
from packages.infra.queue.worker_heartbeats import Heartbeat
from packages.scheduling.instants import to_instant


class RoutedMessage(HeldMessage, Protocol):
    """What Celery's `Request` says of where its message came from, beside what a `HeldMessage` says."""

    @property
    def delivery_info(self) -> Mapping[str, Any]:
        """Of the broker; `routing_key` is the queue's name unless the queue has another one."""
        ...


class QueueNames:
    """The queues of an app by routing key."""

    def __init__(self, app: Celery) -> None:
        queues = app.amqp.queues
        self._by_key = {queue.routing_key: name for name, queue in queues.items() if queue.routing_key not in queues}

    def of(self, delivery_info: Mapping[str, Any] | None) -> str:
        """The queue that a message came from."""
        key = str((delivery_info or {}).get("routing_key"))
        return self._by_key.get(key, key)


class ConsumerWatch:
    """A consumer of Celery, looked at by another thread than its own."""

    def __init__(self, consumer: Any) -> None:  # noqa: ANN401  # celery's consumer
        self._consumer = consumer
        self._names = QueueNames(consumer.app)
        self._served: frozenset[str] = frozenset()

    def heartbeat(self, now: int) -> Heartbeat:
        """What it says at the instant `now`."""
        # Imported here: a command and beat import modules of workers, and are none.
        from celery.worker.state import requests

        queues = self._consumed()
        self._served |= queues
        # Copied in one step of the interpreter: other threads change it.
        reserved, running = held_by_queue(list(requests.values()), self._names, now)
        return Heartbeat(queues, self._served - queues, int(self._consumer.pool.num_processes), reserved, running)

    def last(self) -> Heartbeat:
        """What it says when it stops: which queues it served."""
        return Heartbeat(self._served, frozenset(), 0, {}, {}, is_last=True)

    def _consumed(self) -> frozenset[str]:
        # None while the broker is away, and from when the worker begins to stop.
        consumer = self._consumer.task_consumer
        if consumer is None:
            return frozenset()
        return frozenset(queue.name for queue in consumer.queues if consumer.consuming_from(queue))


def held_by_queue(
    held: Iterable[RoutedMessage], names: QueueNames, now: int
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """How many messages of each queue are taken and not begun, but for those that wait for their time; and begun."""
    reserved: Counter[str] = Counter()
    running: Counter[str] = Counter()
    for message in held:
        if message.time_start is not None:
            running[names.of(message.delivery_info)] += 1
        elif message.eta is None or to_instant(message.eta) <= now:
            reserved[names.of(message.delivery_info)] += 1
    return reserved, running
