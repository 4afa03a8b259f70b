"""What the probes of the laboratory tell: the readings that the live ones make out of the broker and the workers.

Heartbeats and counters are those of a worker every 2 s; one that has said nothing for 8 s does not live any more.
Runs that ended are counted over 30 s by queue and over 2 minutes by task.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from packages.scheduling.instants import MINUTE_MS, SECOND_MS
from packages.scheduling.readings import QueueReading, TaskReading
from packages.scheduling.simulation.broker import Broker
from packages.scheduling.simulation.message import Fate, Message
from packages.scheduling.simulation.worker import Worker
from packages.scheduling.snapshot import Reading

HEARTBEAT_MS: Final = 2 * SECOND_MS
PATIENCE_MS: Final = 8 * SECOND_MS
QUEUE_WINDOW_MS: Final = 30 * SECOND_MS
TASK_WINDOW_MS: Final = 2 * MINUTE_MS


class Readings(NamedTuple):
    """Those of one control interval."""

    queues: Mapping[str, Reading[QueueReading]]
    tasks: Mapping[str, Reading[TaskReading]]


class Probe:
    """Told of each message that ended (`ended`), it tells what there is to know (`read`)."""

    def __init__(self, broker: Broker, workers: Sequence[Worker], queues: Sequence[str]) -> None:
        self._broker = broker
        self._workers = workers
        self._completed: dict[str, deque[int]] = {queue: deque() for queue in queues}
        self._runs: dict[str, deque[tuple[int, bool]]] = {}
        self._last_held: dict[str, list[Message]] = {}

    def ended(self, message: Message) -> None:
        """Take a message down that ended; one that expired was no run."""
        at = message.ended_at
        if at is None or message.fate not in {Fate.SUCCEEDED, Fate.FAILED}:
            return
        self._completed[message.queue].append(at)
        self._runs.setdefault(message.task, deque()).append((at, message.fate is Fate.SUCCEEDED))

    def died(self, worker: Worker, held: list[Message]) -> None:
        """Remember what a worker held when it died: its last heartbeat still says so."""
        self._last_held[worker.spec.name] = held

    def read(self, now: int) -> Readings:
        """The readings as of now."""
        return Readings(
            {queue: Reading(self._queue(queue, now), now) for queue in self._completed},
            {task: Reading(self._task(runs, now), now) for task, runs in self._runs.items()},
        )

    def _queue(self, queue: str, now: int) -> QueueReading:
        completed = self._completed[queue]
        while completed and completed[0] <= now - QUEUE_WINDOW_MS:
            completed.popleft()
        published_at = [message.published_at for message in self._broker.heads(queue)]
        serving = [worker for worker in self._workers if queue in worker.spec.queues and _has_been_seen(worker)]
        alive = [worker for worker in serving if _seems_alive(worker, now)]
        held = [message for worker in alive for message in self._held(worker) if message.queue == queue]
        running = sum(message.fate is Fate.RUNNING for message in held)
        return QueueReading(
            ready=self._broker.length(queue),
            oldest_ms=now - min(published_at) if published_at else None,
            reserved=len(held) - running,
            running=running,
            completed=len(completed),
            over_ms=QUEUE_WINDOW_MS,
            consumers=len(alive) if serving else None,
            group=frozenset(other for worker in alive for other in worker.spec.queues),
        )

    def _held(self, worker: Worker) -> Sequence[Message]:
        return worker.held if worker.lives else self._last_held.get(worker.spec.name, ())

    @staticmethod
    def _task(runs: deque[tuple[int, bool]], now: int) -> TaskReading:
        while runs and runs[0][0] <= now - TASK_WINDOW_MS:
            runs.popleft()
        return TaskReading(len(runs), sum(succeeded for _, succeeded in runs))


def _has_been_seen(worker: Worker) -> bool:
    return worker.lives or worker.stopped_at is not None


def _seems_alive(worker: Worker, now: int) -> bool:
    if worker.lives:
        return True
    said_at = (worker.stopped_at or 0) // HEARTBEAT_MS * HEARTBEAT_MS
    return now - said_at < PATIENCE_MS
