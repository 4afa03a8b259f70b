"""The broker of the laboratory: a list for each priority of each queue, and the workers that wait for a message.

As a Redis broker under kombu: the messages of a list go first in, first out; what is given back goes to the head of its
list; all lists of one priority, whatever their queue, go before those of the next; of several workers that wait, the
one that has waited longest is served first (BRPOP).
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from packages.scheduling.message_priority import PRIORITIES
from packages.scheduling.simulation.message import Message

if TYPE_CHECKING:
    import simpy

_STEPS: Final = sorted(set(PRIORITIES.values()))


class Broker:
    """All queues. The backlog of each is watched over as it changes: its peak, and its mean over time."""

    def __init__(self, env: "simpy.Environment", queues: Iterable[str]) -> None:
        self._env = env
        names = tuple(queues)
        self._lists: dict[str, dict[int, deque[Message]]] = {name: {step: deque() for step in _STEPS} for name in names}
        self._lengths = dict.fromkeys(names, 0)
        self._blocked: list[tuple[simpy.Event, Sequence[str]]] = []
        self._since = int(env.now)
        self._changed_at = dict.fromkeys(names, self._since)
        self._area = dict.fromkeys(names, 0)
        self.peaks = dict.fromkeys(names, 0)
        self.ready = 0
        self.peak = 0

    def push(self, message: Message) -> None:
        """A new message, behind all others of its priority."""
        self._put(message, at_head=False)

    def give_back(self, message: Message) -> None:
        """A message that was taken and not ended: before all others of its priority."""
        self._put(message, at_head=True)

    def next_for(self, queues: Sequence[str]) -> "simpy.Event":
        """An event that has the next message for a worker of `queues`, at once or when there is one.

        It is one of the highest priority that waits, out of the first of `queues` that has one of it.
        """
        event = self._env.event()
        for waiting in (self._lists[queue][step] for step in _STEPS for queue in queues):
            if waiting:
                message = waiting.popleft()
                self._note(message.queue)
                self._lengths[message.queue] -= 1
                self.ready -= 1
                event.succeed(message)
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
        return self._lengths[queue]

    def heads(self, queue: str) -> Iterator[Message]:
        """The next message of each priority that waits in a queue."""
        return (waiting[0] for waiting in self._lists[queue].values() if waiting)

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
        waiting = self._lists[queue][message.priority]
        if at_head:
            waiting.appendleft(message)
        else:
            waiting.append(message)
        self._lengths[queue] += 1
        self.ready += 1
        self.peak = max(self.peak, self.ready)
        self.peaks[queue] = max(self.peaks[queue], self._lengths[queue])

    def _note(self, queue: str) -> None:
        now = int(self._env.now)
        self._area[queue] += self._lengths[queue] * (now - self._changed_at[queue])
        self._changed_at[queue] = now
