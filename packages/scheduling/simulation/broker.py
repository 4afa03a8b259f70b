"""The broker of the laboratory: a list for each queue, and the workers that wait for a message.

As a Redis broker under kombu: messages of a queue go first in, first out; what is given back goes to the head; of
several workers that wait, the one that has waited longest is served first (BRPOP).
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from packages.scheduling.simulation.message import Message

if TYPE_CHECKING:
    import simpy


class Broker:
    """All queues. The backlog of each is watched over as it changes: its peak, and its mean over time."""

    def __init__(self, env: "simpy.Environment", queues: Iterable[str]) -> None:
        self._env = env
        self._lists: dict[str, deque[Message]] = {queue: deque() for queue in queues}
        self._blocked: list[tuple[simpy.Event, Sequence[str]]] = []
        self._since = int(env.now)
        self._changed_at = dict.fromkeys(self._lists, self._since)
        self._area = dict.fromkeys(self._lists, 0)
        self.peaks = dict.fromkeys(self._lists, 0)
        self.ready = 0
        self.peak = 0

    def push(self, message: Message) -> None:
        """A new message, behind all others."""
        self._put(message, at_head=False)

    def give_back(self, message: Message) -> None:
        """A message that was taken and not ended: before all others."""
        self._put(message, at_head=True)

    def next_for(self, queues: Sequence[str]) -> "simpy.Event":
        """An event that has the next message of the first of `queues` that has one, at once or when there is one."""
        event = self._env.event()
        for queue in queues:
            waiting = self._lists[queue]
            if waiting:
                self._note(queue)
                self.ready -= 1
                event.succeed(waiting.popleft())
                return event
        self._blocked.append((event, queues))
        return event

    def cancel(self, event: "simpy.Event") -> None:
        """Wait for nothing any more: the event has None, if it had no message yet."""
        if not event.triggered:
            self._blocked = [each for each in self._blocked if each[0] is not event]
            event.succeed(None)

    def length(self, queue: str) -> int:
        """How many messages wait in a queue."""
        return len(self._lists[queue])

    def head(self, queue: str) -> Message | None:
        """The message that is next in a queue."""
        waiting = self._lists[queue]
        return waiting[0] if waiting else None

    def mean(self, queue: str) -> float:
        """The mean backlog of a queue until now."""
        self._note(queue)
        elapsed = int(self._env.now) - self._since
        return self._area[queue] / elapsed if elapsed else 0.0

    def _put(self, message: Message, *, at_head: bool) -> None:
        queue = message.queue
        for at, (event, queues) in enumerate(self._blocked):
            if queue in queues:
                del self._blocked[at]
                event.succeed(message)
                return
        self._note(queue)
        waiting = self._lists[queue]
        if at_head:
            waiting.appendleft(message)
        else:
            waiting.append(message)
        self.ready += 1
        self.peak = max(self.peak, self.ready)
        self.peaks[queue] = max(self.peaks[queue], len(waiting))

    def _note(self, queue: str) -> None:
        now = int(self._env.now)
        self._area[queue] += len(self._lists[queue]) * (now - self._changed_at[queue])
        self._changed_at[queue] = now
