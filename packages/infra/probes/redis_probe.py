"""The probe of a broker that is Redis: everything in one pipelined round trip, within the time limit of its client."""

import time
from collections.abc import Callable
from typing import Final

from packages.infra.probes.interval_probe import IntervalProbe
from packages.infra.probes.objective_source import ObjectiveSource
from packages.infra.probes.probe import ProbeReadings
from packages.infra.probes.waiting import RedisQueues
from packages.infra.probes.work import Work
from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.snapshot import Reading

_OF_THE_QUEUES: Final = 1


class RedisProbe(IntervalProbe):
    """See `Probe`. `redis` stays its owner's."""

    def __init__(
        self,
        redis: BrokerRedis,
        work: Work,
        *,
        interval_ms: int,
        judge: ObjectiveSource | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(interval_ms=interval_ms, judge=judge, monotonic=monotonic)
        self._client = redis.client
        self._waiting = RedisQueues(redis)
        self._work = work

    def close(self) -> None:
        """See `Probe`."""

    def _ask(self, now: int) -> None:
        with self._client.pipeline(transaction=False) as pipe:
            self._waiting.ask(pipe, self._queues)
            self._work.ask(pipe, now)
            answers = pipe.execute(raise_on_error=False)
        # First: it raises if the server refuses, and what it refused says nothing of the workers either.
        waiting = self._waiting.take(answers[0], now)
        self._work.take(answers[_OF_THE_QUEUES:], now)
        self._told = ProbeReadings(
            queues={queue: Reading(self._work.queue(queue, each), now) for queue, each in waiting.items()},
            tasks=self._ended(self._work, now),
            objectives=self._judged(lambda window_ms: self._work.counts_of(window_ms, now), now),
        )
