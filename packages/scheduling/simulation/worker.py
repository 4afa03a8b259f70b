"""A worker of the laboratory: a main process that takes messages, and a pool that runs them.

As a Celery worker with late acknowledgement and a prefetch multiplier of 1: it holds at most one message for each
process of its pool, so none waits inside of it. What is most urgent goes first; within one priority its queues take
turns: the one that gave the last message, of any priority, goes to the end (kombu's round robin; a message that is
dropped is a turn, too). An expired message is dropped when it is taken.

    waits for a process ──> waits for a message ──> takes it (`message_ms`) ──> expired: dropped; else it runs ──> ended

A worker that stops lives no more: what of that life is still under way then has no effect.
"""

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol

from packages.scheduling.simulation.broker import Broker
from packages.scheduling.simulation.message import Fate, Message
from packages.scheduling.simulation.scenario import QueueOrder, WorkerSpec

if TYPE_CHECKING:
    import simpy


class Service(Protocol):
    """What a run comes to."""

    def run(self, message: Message) -> tuple[int, bool]:
        """How many ms a run that begins now takes, and whether it succeeds."""
        ...


class Worker:
    """`ended` is told of each message that ended. It lives from `start` to `stop`."""

    def __init__(  # noqa: PLR0913  # all that it works with
        self,
        env: "simpy.Environment",
        spec: WorkerSpec,
        broker: Broker,
        service: Service,
        *,
        message_ms: int,
        ended: Callable[[Message], None],
    ) -> None:
        self.spec = spec
        self.processes = spec.processes
        self.held: list[Message] = []
        self.stopped_at: int | None = None
        self._env = env
        self._broker = broker
        self._service = service
        self._message_ms = message_ms
        self._ended = ended
        self._turns = list(spec.queues)
        self._life = 0
        self._asks: simpy.Event | None = None
        self._full: simpy.Event | None = None

    @property
    def lives(self) -> bool:
        """Whether it has been started, and not been stopped since."""
        return self._life > 0 and self.stopped_at is None

    def start(self) -> None:
        """Begin to work; nothing if it does."""
        if not self.lives:
            self._life += 1
            self.stopped_at = None
            self._turns = list(self.spec.queues)
            self._env.process(self._main(self._life))

    def stop(self) -> list[Message]:
        """Die; returns what it held."""
        if not self.lives:
            return []
        if self._asks is not None and self._asks.triggered and self._asks.value is not None:
            self.held.append(self._asks.value)
        self.stopped_at = int(self._env.now)
        held, self.held = self.held, []
        self._wake()
        self._asks = None
        return held

    def resize(self, processes: int) -> None:
        """Go on with so many processes."""
        self.processes = processes
        self._wake()

    def _wake(self) -> None:
        if self._asks is not None:
            self._broker.cancel(self._asks)
        if self._full is not None and not self._full.triggered:
            self._full.succeed()

    def _is_over(self, life: int) -> bool:
        return life != self._life or self.stopped_at is not None

    def _main(self, life: int) -> "Generator[simpy.Event, Any, None]":
        while not self._is_over(life):
            if len(self.held) >= self.processes:
                self._full = self._env.event()
                yield self._full
                continue
            self._asks = asks = self._broker.next_for(self._turns)
            message = yield asks
            if self._is_over(life):
                return
            self._asks = None
            if message is None:
                continue
            self.held.append(message)
            if self.spec.order is QueueOrder.ROUND_ROBIN:
                self._turns.remove(message.queue)
                self._turns.append(message.queue)
            if self._message_ms:
                yield self._env.timeout(self._message_ms)
                if self._is_over(life):
                    return
            self._begin(message, life)

    def _begin(self, message: Message, life: int) -> None:
        now = int(self._env.now)
        if message.expires_at is not None and now >= message.expires_at:
            self._end(message, Fate.EXPIRED)
            return
        message.fate, message.started_at = Fate.RUNNING, now
        run_ms, succeeds = self._service.run(message)
        fate = Fate.SUCCEEDED if succeeds else Fate.FAILED
        self._env.timeout(run_ms).callbacks.append(lambda _: self._run_over(message, life, fate))

    def _run_over(self, message: Message, life: int, fate: Fate) -> None:
        if not self._is_over(life):
            self._end(message, fate)

    def _end(self, message: Message, fate: Fate) -> None:
        message.fate, message.ended_at = fate, int(self._env.now)
        self.held.remove(message)
        self._ended(message)
        if self._full is not None and not self._full.triggered:
            self._full.succeed()
