"""The probe of another broker: each queue is declared passively, and what workers tell is read where there is a Redis.

A declaration is a round trip. When they have taken `LONGEST_S` the queues that are left are asked about an interval
later, before the others, so that beat is never held up for long; each reading has its own age.
"""

import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from redis.exceptions import RedisError

from packages.infra.probes.declared import DeclaredQueues
from packages.infra.probes.interval_probe import IntervalProbe
from packages.infra.probes.objective_source import ObjectiveSource
from packages.infra.probes.waiting import Waiting
from packages.infra.probes.work import Work
from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.outages import Errand
from packages.scheduling.control.objective import Objective
from packages.scheduling.readings import QueueReading
from packages.scheduling.snapshot import Reading

LONGEST_S: Final = 0.25


class WorkAt(NamedTuple):
    """What the workers tell, and the Redis where they do."""

    redis: BrokerRedis
    work: Work


class KombuProbe(IntervalProbe):
    """See `Probe`. `declared` is its own, the Redis its owner's. `work` None: no worker can tell anything."""

    def __init__(
        self,
        declared: DeclaredQueues,
        work: WorkAt | None,
        *,
        interval_ms: int,
        judge: ObjectiveSource | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(interval_ms=interval_ms, judge=judge, monotonic=monotonic)
        self._declared = declared
        self._work = work
        self._working = Errand("probe of the workers", (RedisError, OSError), monotonic)
        self._next: deque[str] = deque()

    def want(self, queues: Collection[str], tasks: Collection[str], objectives: Collection[Objective]) -> None:
        """See `Probe`."""
        super().want(queues, tasks, objectives)
        self._next = deque(self._queues)

    def close(self) -> None:
        """See `Probe`."""
        self._declared.close()

    def _ask(self, now: int) -> None:
        work = self._told_work(now)
        told = self._told
        self._told = told._replace(
            tasks=told.tasks if work is None else self._ended(work, now),
            objectives=self._judged(lambda window_ms: None if work is None else work.counts_of(window_ms, now), now),
        )
        # Last: what raises here leaves the rest as it is.
        self._ask_about_queues(work, now)

    def _ask_about_queues(self, work: Work | None, now: int) -> None:
        ends_s = self._monotonic() + LONGEST_S
        for _ in range(len(self._next)):
            queue = self._next[0]
            # Before it is asked: one that cannot be declared must not keep the others from being asked.
            self._next.rotate(-1)
            ready, consumers = self._declared.ask(queue)
            waiting = Waiting(ready, None if ready else ready)
            reading = QueueReading(ready, waiting.oldest_ms) if work is None else work.queue(queue, waiting)
            if consumers is not None:
                # Also of workers that tell nothing; and of one that is gone the broker knows first.
                reading = reading._replace(consumers=consumers)
            self._told = self._told._replace(queues={**self._told.queues, queue: Reading(reading, now)})
            if self._monotonic() >= ends_s:
                break

    def _told_work(self, now: int) -> Work | None:
        """What the workers tell now; None while they cannot be heard."""
        if self._work is None:
            return None
        redis, work = self._work

        def ask() -> None:
            with redis.client.pipeline(transaction=False) as pipe:
                work.ask(pipe, now)
                work.take(pipe.execute(raise_on_error=False), now)

        return work if self._working.run(ask) else None
