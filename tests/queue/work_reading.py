"""What workers told of their work, read as beat reads it: everything in one round trip."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.queue.running_signals import present
from packages.infra.queue.work_counts import WorkCount, WorkCounts
from packages.infra.queue.worker_heartbeats import WorkerHeartbeats, WorkerState
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.instants import MINUTE_MS, to_datetime
from tests.queue.running_app import TASK, make_app
from tests.queue.test_running_worker import eventually

# The same, acknowledged when it is begun.
EARLY = "maintenance.obey_early"


def read_counts(
    redis: BrokerRedis, counts: WorkCounts | None = None, *, window_ms: int = 15 * MINUTE_MS, now: int | None = None
) -> dict[tuple[str, str, str], WorkCount]:
    """The counts of a window by key: as one more call of `counts` finds them; by a new one, with all of the past."""
    now = now or present()
    fresh = WorkCounts(redis)
    _read_once(redis, counts or fresh, now)
    while counts is None and not fresh.covers(window_ms, now):
        _read_once(redis, fresh, now)
    return {count[:3]: count for count in (counts or fresh).counts(window_ms, now)}


def _read_once(redis: BrokerRedis, counts: WorkCounts, now: int) -> None:
    with redis.client.pipeline(transaction=False) as pipe:
        asked = counts.ask(pipe, now)
        answers = pipe.execute(raise_on_error=False)
    assert len(answers) == asked
    counts.take(answers, now)


def read_workers(redis: BrokerRedis, heartbeats: WorkerHeartbeats | None = None) -> Mapping[str, WorkerState]:
    """The workers by node name."""
    heartbeats = heartbeats or WorkerHeartbeats(redis)
    with redis.client.pipeline(transaction=False) as pipe:
        asked = heartbeats.ask(pipe)
        answers = pipe.execute(raise_on_error=False)
    assert len(answers) == asked
    return heartbeats.take(answers)


class Counted:
    """A worker, and what it has counted since this was made."""

    def __init__(self, url: str, directory: Path) -> None:
        self.app = make_app(url)
        redis = open_broker_redis(self.app)
        assert redis is not None
        self.redis = redis
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self._before = {task: self._total(task) for task in (TASK, EARLY)}

    def publish(self, order: str, task: str = TASK, *, waited_ms: int | None = None, **options: Any) -> str:  # noqa: ANN401  # celery's own
        """Give the order, in a directory of its own; returns the task's id."""
        directory = self.directory / uuid4().hex
        directory.mkdir()
        published_at = rfc3339(to_datetime(present() - (waited_ms or 0)))
        headers = {} if waited_ms is None else {"beat_job": "any", "beat_published_at": published_at}
        result = self.app.send_task(task, args=(order, str(directory)), queue="maintenance", headers=headers, **options)
        return str(result.id)

    def close(self) -> None:
        """Give the connections back."""
        self.redis.close()
        self.app.close()

    def let_go(self) -> None:
        for directory in self.directory.iterdir():
            (directory / "go").touch()

    def begun(self) -> int:
        return len([*self.directory.glob("*/pids")])

    def counted(self, task: str = TASK) -> tuple[int, int, int]:
        """Ok, failed, expired."""
        now = self._total(task)
        return tuple(a - b for a, b in zip(now, self._before[task], strict=True))  # type: ignore[return-value]

    def count(self, task: str = TASK) -> WorkCount | None:
        return read_counts(self.redis).get(("maintenance", task, "none"))

    def worker(self) -> WorkerState:
        """The one that lives; there is one soon."""
        eventually(lambda: len(self._alive()) == 1, "there is not one worker")
        [state] = self._alive()
        return state

    def _alive(self) -> list[WorkerState]:
        return [state for state in read_workers(self.redis).values() if state.is_alive]

    def _total(self, task: str) -> tuple[int, int, int]:
        count = self.count(task)
        return (0, 0, 0) if count is None else (count.ok, count.failed, count.expired)
