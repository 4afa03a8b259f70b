"""Workers as a test has them: what they told, without a server."""

from collections.abc import Mapping, Sequence
from typing import Any

from packages.infra.queue.work_counts import WorkCount
from packages.infra.queue.worker_heartbeats import WorkerState

SPAN_MS = 64_000


def ended(queue: str, task: str, *, ok: int = 0, failed: int = 0, expired: int = 0) -> WorkCount:
    return WorkCount(queue, task, "none", ok, failed, expired, wait={}, run={}, wait_ms=0, run_ms=0)


def worker(*queues: str, alive: bool = True, left: Sequence[str] = (), **held: Mapping[str, int]) -> WorkerState:
    """`reserved` and `running` are by queue."""
    return WorkerState(
        frozenset(queues), 2, held.get("reserved", {}), held.get("running", {}), alive, left=frozenset(left)
    )


class Counts:
    """Has the same in every window, of which `known` are covered."""

    def __init__(self, *counts: WorkCount, known: bool = True) -> None:
        self.given = list(counts)
        self.known = known
        self.answers: list[Any] = []

    def ask(self, pipe: Any, now_ms: int) -> int:  # noqa: ANN401  # a redis pipeline
        pipe.echo(str(now_ms))
        pipe.echo("counts")
        return 2

    def take(self, answers: Sequence[Any], now_ms: int) -> None:
        assert list(answers) == [str(now_ms).encode(), b"counts"]

    def counts(self, window_ms: int, now_ms: int) -> Sequence[WorkCount]:
        assert window_ms <= now_ms
        return self.given

    def span_ms(self, window_ms: int, now_ms: int) -> int:
        assert window_ms <= now_ms
        return SPAN_MS

    def covers(self, window_ms: int, now_ms: int) -> bool:
        return self.known and window_ms <= now_ms


class Heartbeats:
    """Has these workers, by any name, and no clock."""

    answered_at: int | None = None

    def __init__(self, *workers: WorkerState) -> None:
        self.workers = list(workers)

    def ask(self, pipe: Any) -> int:  # noqa: ANN401  # as above
        pipe.echo("heartbeats")
        return 1

    def take(self, answers: Sequence[Any]) -> Mapping[str, WorkerState]:
        assert list(answers) == [b"heartbeats"]
        return {str(number): each for number, each in enumerate(self.workers)}
