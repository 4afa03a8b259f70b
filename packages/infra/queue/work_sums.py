"""The runs that ended in one worker, summed up in its main process until they have been added to the buckets in Redis.

    ended runs ──> sums by bucket and key ──(a batch, frozen)──> one script ──> buckets
                                               └──(no answer)──> the same batch again, later

The script adds a batch once: it keeps the number of the last one that it added for this worker (`<ns>:work:told:<id>`,
for an hour), so that a batch whose answer was lost is not counted twice. What no window reaches any more is dropped.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple
from uuid import uuid4

from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.work_buckets import (
    NO_CRITICALITY,
    OTHER,
    RESOLUTIONS,
    RUN_MS,
    SEPARATOR,
    WAIT_MS,
    WHATS,
    Bucket,
    Resolution,
    WorkKey,
    place_of_run,
    place_of_wait,
)
from packages.scheduling.instants import SECOND_MS

MOST_KEYS: Final = 200
# The last keys are kept for queues whose tasks are not told apart any more.
_MOST_TASKS: Final = 150
_MOST_VALUES: Final = 4_000
_TOLD_FOR_S: Final = 3_600

# A field that somebody made something else of must not hold back the others.
_ADD: Final = """
local told = redis.call('GET', KEYS[1])
if told and tonumber(told) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
local at = 3
for k = 2, #KEYS do
  local seconds, last = ARGV[at], at + 2 * tonumber(ARGV[at + 1])
  for i = at + 2, last, 2 do redis.pcall('HINCRBY', KEYS[k], ARGV[i], ARGV[i + 1]) end
  redis.call('EXPIRE', KEYS[k], seconds)
  at = last + 2
end
return 1
"""


class EndedRun(NamedTuple):
    """One message that is over. `outcome` is the place of `ok`, `failed` or `expired`; a time of None is not known."""

    queue: str
    task: str
    outcome: int
    wait_ms: int | None = None
    run_ms: int | None = None


class _Batch(NamedTuple):
    number: int
    buckets: list[str]
    arguments: list[str | int]


class WorkSums:
    """Of one worker; for several threads. `criticalities` are by task; `clock` gives the instant."""

    def __init__(self, criticalities: Mapping[str, str], clock: Callable[[], int]) -> None:
        self._criticalities = criticalities
        self._clock = clock
        self._id = uuid4().hex
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._keys: dict[WorkKey, WorkKey] = {}
        self._sums: dict[Bucket, dict[WorkKey, list[int]]] = {}
        self._batch: _Batch | None = None
        self._batches = 0

    def add(self, run: EndedRun) -> None:
        """Count a run that ended now."""
        now = self._clock()
        with self._lock:
            key = self._key(run)
            for resolution in RESOLUTIONS:
                values = self._values(resolution, now, key)
                values[run.outcome] += 1
                if run.wait_ms is not None:
                    values[WAIT_MS] += run.wait_ms
                    values[place_of_wait(run.wait_ms)] += 1
                if run.run_ms is not None:
                    values[RUN_MS] += run.run_ms
                    values[place_of_run(run.run_ms)] += 1

    def flush(self, redis: BrokerRedis) -> None:
        """Add to the buckets what is not there yet; without anything new nobody is asked.

        Raises:
            redis.RedisError: Redis cannot be reached; the next flush goes on where this one was.
        """
        with self._flushing:
            while (batch := self._batch or self._next_batch()) is not None:
                self._batch = batch
                keys = [redis.key(name) for name in (f"work:told:{self._id}", *batch.buckets)]
                redis.client.eval(_ADD, len(keys), *keys, batch.number, _TOLD_FOR_S, *batch.arguments)
                self._batch = None

    def forget(self) -> None:
        """Drop what has not been added: there is no Redis."""
        with self._lock:
            self._sums.clear()

    def _key(self, run: EndedRun) -> WorkKey:
        key = WorkKey(run.queue, run.task, self._criticalities.get(run.task, NO_CRITICALITY))
        for candidate, limit in ((key, _MOST_TASKS), (WorkKey(run.queue, OTHER, NO_CRITICALITY), MOST_KEYS - 1)):
            if candidate in self._keys or len(self._keys) < limit:
                return self._keys.setdefault(candidate, candidate)
        rest = WorkKey(OTHER, OTHER, NO_CRITICALITY)
        return self._keys.setdefault(rest, rest)

    def _values(self, resolution: Resolution, now: int, key: WorkKey) -> list[int]:
        bucket = resolution.at(now)
        if (sums := self._sums.get(bucket)) is None:
            sums = self._sums[bucket] = {}
            oldest = resolution.at(now - resolution.reach_ms).start
            for late in [each for each in self._sums if each.step_ms == resolution.step_ms and each.start < oldest]:
                del self._sums[late]
        if (values := sums.get(key)) is None:
            values = sums[key] = [0] * len(WHATS)
        return values

    def _next_batch(self) -> _Batch | None:
        names: list[str] = []
        arguments: list[str | int] = []
        with self._lock:
            while self._sums and len(arguments) < _MOST_VALUES:
                bucket = next(iter(self._sums))
                resolution = next(each for each in RESOLUTIONS if each.step_ms == bucket.step_ms)
                fields = list(_fields(self._sums.pop(bucket)))
                names.append(bucket.name)
                arguments += [resolution.kept_ms // SECOND_MS, len(fields) // 2, *fields]
        if not names:
            return None
        self._batches += 1
        return _Batch(self._batches, names, arguments)


def _fields(sums: Mapping[WorkKey, list[int]]) -> Iterator[str | int]:
    for key, values in sums.items():
        for what, value in zip(WHATS, values, strict=True):
            if value:
                yield SEPARATOR.join((*key, what))
                yield value
