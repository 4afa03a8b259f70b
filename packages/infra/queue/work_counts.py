"""The counts of ended runs as they are read: by (queue, task, criticality) over the last while.

    ask ──(commands into somebody's pipeline)──> answers ──> take ──> counts

A bucket is read again until it is over for `SETTLED_MS`, for workers tell every two seconds and their clocks differ; it
is kept then, and never asked for again. If an `ask` got no answers, the server may have been away from the workers as
well: what was not kept before is read again until it is back for as long. History comes behind the first call, the
newest first and a part with each call, so that none is long however much there is; `covers` says whether a window is
whole.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.work_buckets import (
    BOUNDS_MS,
    EXPIRED,
    FAILED,
    NO_CRITICALITY,
    OK,
    OTHER,
    PLACES,
    RESOLUTIONS,
    RUN_MS,
    RUNS,
    SEPARATOR,
    UNBOUNDED_MS,
    WAIT_MS,
    WAITS,
    WHATS,
    Bucket,
    Resolution,
    WorkKey,
)
from packages.infra.queue.work_window import Values, WindowSums
from packages.scheduling.instants import FIRST_INSTANT, SECOND_MS

log = logging.getLogger(__name__)

SETTLED_MS: Final = 30 * SECOND_MS
LONGEST_WINDOW_MS: Final = RESOLUTIONS[-1].reach_ms
_BOUNDS: Final = (*BOUNDS_MS, UNBOUNDED_MS)
# What one call reads, about: beat waits for it. A bucket of the past is read all the same, or it would never be known.
_MOST_FIELDS: Final = 25_000
# Bounds of what is remembered, should somebody write without end.
_MOST_KEYS: Final = 1_000
_MOST_NAMES: Final = 20_000
_MOST_DIGITS: Final = 18
_MOST_WINDOWS: Final = 20
_WRONG_TYPE: Final = "WRONGTYPE"


class WorkCount(NamedTuple):
    """Of one task in one queue: messages that are over.

    `ok` and `failed` runs, and messages that `expired` or were revoked. `wait` and `run`: how many waited (from their
    publishing, where it is known) and ran for at most so many milliseconds, and longer than the bound below; the bound
    of those beyond all others is `UNBOUNDED_MS`. `wait_ms` and `run_ms` are the sums.
    """

    queue: str
    task: str
    criticality: str
    ok: int
    failed: int
    expired: int
    wait: Mapping[int, int]
    run: Mapping[int, int]
    wait_ms: int
    run_ms: int


class WorkCounts:
    """What the workers have counted. `ask` and `take` in turns, by one thread."""

    def __init__(self, redis: BrokerRedis) -> None:
        self._redis = redis
        self._read: dict[Bucket, Mapping[WorkKey, Values]] = {}
        self._settled: set[Bucket] = set()
        self._asked: list[Bucket] = []
        # Since when the server has answered: what workers had counted while it was away came later than that. The first
        # answers of all are taken as if it had never been away.
        self._answers_since = FIRST_INSTANT
        self._was_missed = False
        self._answered = False
        self._widest = 0
        self._names: dict[bytes, tuple[WorkKey, int] | None] = {}
        self._merged: dict[tuple[Bucket, int], list[WorkCount]] = {}
        self._sums: dict[int, WindowSums] = {}
        self._has_warned = False

    def ask(self, pipe: Any, now_ms: int) -> int:  # noqa: ANN401  # a redis pipeline
        """Add the commands that tell what is not known yet; how many these are, in the order of their answers."""
        self._was_missed |= bool(self._asked)
        self._asked = self._to_ask(now_ms)
        for bucket in self._asked:
            pipe.hgetall(self._redis.key(bucket.name))
        return len(self._asked)

    def take(self, answers: Sequence[Any], now_ms: int) -> None:
        """Take the answers to exactly the commands of the last `ask`.

        A bucket that is something else in Redis counts as empty. Of one that was refused, by a server that is busy or
        still loads, say, nothing new is known.
        """
        if self._was_missed:
            self._answers_since = now_ms
        self._was_missed = False
        for bucket, answer in zip(self._asked, answers, strict=True):
            if (read := self._parsed(answer)) is None:
                # Nor could the workers tell it anything.
                self._was_missed = True
                continue
            self._answered = True
            self._read[bucket] = read
            if now_ms - max(bucket.end, self._answers_since) >= SETTLED_MS:
                self._settled.add(bucket)
        self._asked = []
        self._merged = {}
        for bucket in self._read.keys() - set(_reached(now_ms)):
            del self._read[bucket]
            self._settled.discard(bucket)

    def counts(self, window_ms: int, now_ms: int) -> list[WorkCount]:
        """What ended in the last `window_ms`, of every key that has something.

        The oldest bucket counts whole if any part of it is in the window, so that the counts reach back up to one
        bucket further: `span_ms` tells how far. What ended in the last two seconds or so has not been told yet.

        Raises:
            ValueError: the window is not above 0 and at most `LONGEST_WINDOW_MS`.
        """
        buckets = _resolution(window_ms).last(window_ms, now_ms)
        known = (buckets[0], len(buckets))
        if known not in self._merged:
            self._merged[known] = self._counted(window_ms, [bucket for bucket in buckets if bucket in self._read])
        return self._merged[known]

    def span_ms(self, window_ms: int, now_ms: int) -> int:
        """How long a time the counts of a window are of, which is what has been read of it; raises as `counts`."""
        buckets = _resolution(window_ms).last(window_ms, now_ms)
        return sum(min(bucket.end, now_ms) - bucket.start for bucket in buckets if bucket in self._read)

    def covers(self, window_ms: int, now_ms: int) -> bool:
        """Whether each bucket of a window that is over for a while has been read; raises as `counts`."""
        buckets = _resolution(window_ms).last(window_ms, now_ms)
        return all(bucket in self._read or bucket.end + SETTLED_MS > now_ms for bucket in buckets)

    def _to_ask(self, now: int) -> list[Bucket]:
        wanted = [bucket for bucket in _reached(now) if bucket not in self._settled]
        present = [bucket for bucket in wanted if bucket.end + SETTLED_MS > now]
        past = sorted((bucket for bucket in wanted if bucket.end + SETTLED_MS <= now), key=self._urgency)
        if not self._answered:
            # How much is in a bucket is not known yet.
            return present
        return present + past[: max(1, _MOST_FIELDS // max(1, self._widest) - len(present))]

    def _counted(self, window_ms: int, buckets: Iterable[Bucket]) -> list[WorkCount]:
        settled: dict[Bucket, Mapping[WorkKey, Values]] = {}
        others: list[Mapping[WorkKey, Values]] = []
        for bucket in buckets:
            if bucket in self._settled:
                settled[bucket] = self._read[bucket]
            else:
                others.append(self._read[bucket])
        if window_ms not in self._sums and len(self._sums) >= _MOST_WINDOWS:
            self._sums.clear()
        sums = self._sums.setdefault(window_ms, WindowSums())
        return [_count(key, values) for key, values in sums.of(settled, others).items()]

    def _urgency(self, bucket: Bucket) -> tuple[bool, int]:
        return bucket in self._read, -bucket.end

    def _parsed(self, answer: object) -> Mapping[WorkKey, Values] | None:
        if not isinstance(answer, Mapping):
            self._warn(str(answer))
            return {} if str(answer).startswith(_WRONG_TYPE) else None
        self._widest = max(self._widest, len(answer))
        read: dict[WorkKey, list[int]] = {}
        for field, text in answer.items():
            name, value = self._name(field), _number(text)
            if name is None or value is None:
                self._warn(field.decode(errors="replace"))
                continue
            key = name[0] if name[0] in read or len(read) < _MOST_KEYS else WorkKey(OTHER, OTHER, NO_CRITICALITY)
            if (values := read.get(key)) is None:
                values = read[key] = [0] * len(WHATS)
            values[name[1]] += value
        return {key: tuple(values) for key, values in read.items()}

    def _name(self, field: bytes) -> tuple[WorkKey, int] | None:
        if field not in self._names:
            if len(self._names) >= _MOST_NAMES:
                self._names.clear()
            self._names[field] = _parsed_name(field)
        return self._names[field]

    def _warn(self, what: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning("work_count_dropped", extra={"what": what[:200]})


def _reached(now: int) -> Iterable[Bucket]:
    return (bucket for resolution in RESOLUTIONS for bucket in resolution.last(resolution.reach_ms, now))


def _resolution(window_ms: int) -> Resolution:
    if not 0 < window_ms <= LONGEST_WINDOW_MS:
        raise ValueError(f"a window is above 0 and at most {LONGEST_WINDOW_MS} ms long, not {window_ms}")
    return next(resolution for resolution in RESOLUTIONS if window_ms <= resolution.reach_ms)


def _count(key: WorkKey, values: Values) -> WorkCount:
    return WorkCount(
        *key,
        ok=values[OK],
        failed=values[FAILED],
        expired=values[EXPIRED],
        wait=_by_bound(values[WAITS]),
        run=_by_bound(values[RUNS]),
        wait_ms=values[WAIT_MS],
        run_ms=values[RUN_MS],
    )


def _by_bound(values: Values) -> Mapping[int, int]:
    return {bound: value for bound, value in zip(_BOUNDS, values, strict=True) if value}


def _parsed_name(field: bytes) -> tuple[WorkKey, int] | None:
    try:
        queue, task, criticality, what = field.decode().split(SEPARATOR)
        return WorkKey(queue, task, criticality), PLACES[what]
    except (ValueError, KeyError):
        return None


def _number(text: bytes) -> int | None:
    # Python's own `int` takes signs, spaces and underscores, and numbers without end.
    return int(text) if text.isdigit() and len(text) <= _MOST_DIGITS else None
