"""Which runs of beat's jobs are not over, in the broker's Redis. A run counts from its publish to its final state.

    beat publishes ──> written in the same step (counts until its message expires)
    a worker starts it ──> started (counts for a lease, which the worker's main process renews)
      ├─ success, failure, revoked, expired ──> ended: it is forgotten
      ├─ retry ──> counts until its next start is due, and a lease longer
      └─ the worker is killed ──> nobody renews: it lapses with its lease
    a worker without these signals ──> it lapses when its message would have expired

One hash, `<ns>:running:runs`: task id -> a run as versioned JSON. `<ns>:running:workers` is there while a worker lives
that keeps it; without one nothing is known. Clocks of two machines may differ by less than a lease.
`<ns>:done:<task id>` is there for a while after a run has completed, for whoever must not run it twice. Decides nothing
about a fire.
"""

import json
import logging
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

from redis.exceptions import RedisError

from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.instants import MINUTE_MS, to_ms
from packages.scheduling.snapshot import Reading, Run

log = logging.getLogger(__name__)

LEASE: Final = timedelta(seconds=30)
RENEWED_EVERY: Final = timedelta(seconds=5)
# A lapsed run is left where it is for so long: the clock of the reader may be ahead of a worker's.
_LAPSED_KEPT_MS: Final = MINUTE_MS
_VERSION: Final = 1

# A run that ended meanwhile must not come back, and one that counts for longer must not lose that.
_RENEW = """
for i = 1, #ARGV, 2 do
  local text = redis.call('HGET', KEYS[1], ARGV[i])
  if text then
    local readable, run = pcall(cjson.decode, text)
    readable = readable and type(run) == 'table' and run.v == 1 and type(run.counts_until) == 'number'
    if readable and run.counts_until < tonumber(ARGV[i + 1]) then
      run.counts_until = tonumber(ARGV[i + 1])
      redis.call('HSET', KEYS[1], ARGV[i], cjson.encode(run))
    end
  end
end
"""
# What the reader saw as lapsed may have been started meanwhile.
DROP_UNCHANGED = """
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
"""


class JobRun(NamedTuple):
    """A run, and the job that it is one of."""

    job: str
    run: Run


class RunningStore:
    """The runs that are not over. Each method is one round trip; all but `read` raise `redis.RedisError`."""

    def __init__(self, redis: BrokerRedis) -> None:
        self._client = redis.client
        self._runs = redis.key("running:runs")
        self._workers = redis.key("running:workers")
        self._done = redis.key("done")

    def started(self, run: JobRun) -> None:
        """Count a run that a worker begins; also one that was not counted, or not any more."""
        self._client.hset(self._runs, run.run.task_id, run_text(run))

    def renew(self, counts_until: Mapping[str, int], *, now: int) -> None:
        """Let runs count for longer, by task id; those that are over stay so. Also says that a worker lives."""
        with self._client.pipeline(transaction=False) as pipe:
            pipe.set(self._workers, now, px=to_ms(LEASE))
            if counts_until:
                pipe.eval(_RENEW, 1, self._runs, *_flat(counts_until))
            pipe.execute()

    def ended(self, task_ids: Collection[str]) -> None:
        """Count runs no more."""
        if task_ids:
            self._client.hdel(self._runs, *task_ids)

    def completed(self, task_id: str, *, known_for: timedelta) -> None:
        """Count a run no more, and let it be known for a while that it did what it should."""
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hdel(self._runs, task_id)
            pipe.set(f"{self._done}:{task_id}", b"", px=to_ms(known_for))
            pipe.execute()

    def is_completed(self, task_id: str) -> bool:
        """Whether that is known of this run."""
        return bool(self._client.exists(f"{self._done}:{task_id}"))

    def read(self, now: int) -> Reading[Mapping[str, tuple[Run, ...]]] | None:
        """The runs by job that count at the instant `now`, the oldest first.

        None when no worker lives that keeps them, or Redis cannot be read. Never raises.
        """
        try:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.get(self._workers)
                pipe.hgetall(self._runs)
                alive, stored = pipe.execute()
            runs = self._counting(stored, now)
        except RedisError:
            # Who asks for this asks for the pauses, too, and says that Redis is away.
            return None
        return Reading(runs, now) if alive is not None else None

    def _counting(self, stored: Mapping[bytes, bytes], now: int) -> dict[str, tuple[Run, ...]]:
        by_job: dict[str, list[Run]] = {}
        lapsed: list[bytes] = []
        for task_id, text in stored.items():
            run = _decode(task_id, text)
            if run is None or run.run.counts_until <= now - _LAPSED_KEPT_MS:
                lapsed += [task_id, text]
            elif run.run.counts_until > now:
                by_job.setdefault(run.job, []).append(run.run)
        if lapsed:
            self._client.eval(DROP_UNCHANGED, 1, self._runs, *lapsed)
        return {
            job: tuple(sorted(runs, key=lambda run: (run.published_at, run.task_id))) for job, runs in by_job.items()
        }


def _flat(counts_until: Mapping[str, int]) -> list[str | int]:
    return [value for pair in counts_until.items() for value in pair]


def run_text(run: JobRun) -> str:
    """A run as it is stored."""
    values = {
        "v": _VERSION,
        "job": run.job,
        "published_at": run.run.published_at,
        "counts_until": run.run.counts_until,
    }
    return json.dumps(values, separators=(",", ":"))


def _decode(task_id: bytes, text: bytes) -> JobRun | None:
    try:
        values: Any = json.loads(text)
        if values["v"] != _VERSION:
            raise ValueError(values["v"])  # noqa: TRY301  # one place to contain
        run = Run(task_id.decode(), int(values["published_at"]), int(values["counts_until"]))
        return JobRun(str(values["job"]), run)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        log.warning("running_value_dropped", extra={"task_id": task_id.decode(errors="replace")})
        return None
