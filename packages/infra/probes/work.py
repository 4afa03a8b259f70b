"""What the workers tell, as readings: who serves a queue, what is under way and has ended in it, how its tasks end.

Workers count by the server's clock, and so is it read, as far as its last answers say how it differs from beat's.

A queue that no worker has ever named is served by workers that tell nothing, or by none: nothing is known of it, which
is not zero. Workers that tell nothing beside others that do are not seen.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Protocol

from packages.infra.probes.groups import Groups
from packages.infra.probes.waiting import Waiting
from packages.infra.queue.work_buckets import RESOLUTIONS
from packages.infra.queue.work_counts import WorkCount
from packages.infra.queue.worker_heartbeats import WorkerState
from packages.scheduling.instants import FIRST_INSTANT, MINUTE_MS, SECOND_MS
from packages.scheduling.readings import QueueReading, TaskReading

PACE_OVER_MS: Final = MINUTE_MS
TASKS_OVER_MS: Final = 2 * MINUTE_MS
_STEP_MS: Final = RESOLUTIONS[0].step_ms
# For so long it is no surprise that a worker has not completed anything.
_COMES_BACK_MS: Final = 30 * SECOND_MS


class Counts(Protocol):
    """See `packages.infra.queue.work_counts.WorkCounts`."""

    def ask(self, pipe: Any, now_ms: int) -> int:  # noqa: ANN401  # a redis pipeline
        """Add commands; how many."""
        ...

    def take(self, answers: Sequence[Any], now_ms: int) -> None:
        """Take the answers to exactly these."""
        ...

    def counts(self, window_ms: int, now_ms: int) -> Sequence[WorkCount]:
        """What ended in the last while."""
        ...

    def span_ms(self, window_ms: int, now_ms: int) -> int:
        """How long a while that is: what is known of it."""
        ...

    def covers(self, window_ms: int, now_ms: int) -> bool:
        """Whether all of it is known."""
        ...


class Heartbeats(Protocol):
    """See `packages.infra.queue.worker_heartbeats.WorkerHeartbeats`."""

    def ask(self, pipe: Any) -> int:  # noqa: ANN401  # a redis pipeline
        """Add commands; how many."""
        ...

    def take(self, answers: Sequence[Any]) -> Mapping[str, WorkerState]:
        """The workers by name, out of the answers to exactly these."""
        ...

    @property
    def answered_at(self) -> int | None:
        """The instant of these answers by the server's clock; None if it never told."""
        ...


class Work:
    """Both of them, as of their last answers. `ask` and `take` in turns."""

    def __init__(self, counts: Counts, heartbeats: Heartbeats) -> None:
        self._counts = counts
        self._heartbeats = heartbeats
        self._asked = (0, 0)
        # How far beat's clock is behind the server's.
        self._behind_ms = 0
        self._workers: Mapping[str, WorkerState] = {}
        self._groups = Groups()
        # The instant of the last answers, by the server's clock, and when a queue was last seen to be served by nobody.
        self._now = FIRST_INSTANT
        self._unserved_at: dict[str, int] = {}
        # Runs that ended by queue, by the window that was asked for.
        self._ended: dict[int, Mapping[str, int]] = {}

    def ask(self, pipe: Any, now: int) -> int:  # noqa: ANN401  # as above
        """Add commands to somebody's pipeline; how many."""
        self._asked = self._heartbeats.ask(pipe), self._counts.ask(pipe, now + self._behind_ms)
        return sum(self._asked)

    def take(self, answers: Sequence[Any], now: int) -> None:
        """Take the answers to exactly these."""
        of_heartbeats, _ = self._asked
        self._workers = self._groups.take(self._heartbeats.take(answers[:of_heartbeats]))
        if (answered_at := self._heartbeats.answered_at) is not None:
            self._behind_ms = answered_at - now
        self._now = now = now + self._behind_ms
        self._counts.take(answers[of_heartbeats:], now)
        served = frozenset[str]().union(*{worker.queues for worker in self._workers.values() if worker.is_alive})
        named = frozenset[str]().union(*{worker.queues | worker.left for worker in self._workers.values()})
        lately = {queue: at for queue, at in self._unserved_at.items() if 0 <= now - at < PACE_OVER_MS}
        self._unserved_at = lately | dict.fromkeys(named - served, now)
        self._ended = {PACE_OVER_MS: self._ended_in(PACE_OVER_MS)}

    def queue(self, name: str, waiting: Waiting) -> QueueReading:
        """One queue, with the messages that wait in it."""
        naming = [worker for worker in self._workers.values() if name in worker.queues or name in worker.left]
        if not naming:
            return QueueReading(ready=waiting.ready, oldest_ms=waiting.oldest_ms)
        alive = [worker for worker in naming if worker.is_alive]
        serving = [worker for worker in alive if name in worker.queues]
        completed, over_ms = self._pace(name, is_served=bool(serving))
        return QueueReading(
            ready=waiting.ready,
            oldest_ms=waiting.oldest_ms,
            # What a dead worker had taken is under way nowhere, and may come back.
            reserved=sum(worker.reserved.get(name, 0) for worker in alive) if alive else None,
            running=sum(worker.running.get(name, 0) for worker in alive) if alive else None,
            completed=completed,
            over_ms=over_ms,
            consumers=len(serving),
            group=self._groups.served_by(serving),
        )

    def _pace(self, queue: str, *, is_served: bool) -> tuple[int | None, int]:
        """The runs that ended, and over how long: since the queue is served again, if nobody did a moment ago."""
        served_for_ms = self._now - self._unserved_at.get(queue, FIRST_INSTANT)
        window_ms = PACE_OVER_MS
        if is_served and served_for_ms < PACE_OVER_MS:
            # In steps: each window that is asked for is kept.
            window_ms = (served_for_ms // _STEP_MS + 1) * _STEP_MS
        if window_ms not in self._ended:
            self._ended[window_ms] = self._ended_in(window_ms)
        over_ms = min(served_for_ms, self._counts.span_ms(window_ms, self._now))
        # While nobody says that it serves the queue, nobody says that nothing was completed either; nor does who has
        # just come back.
        is_nothing = is_served and over_ms > 0 and served_for_ms >= _COMES_BACK_MS
        return self._ended[window_ms].get(queue, 0 if is_nothing else None), over_ms

    def _ended_in(self, window_ms: int) -> Mapping[str, int]:
        ended: dict[str, int] = {}
        for count in self._counts.counts(window_ms, self._now):
            ended[count.queue] = ended.get(count.queue, 0) + count.ok + count.failed
        return ended

    def tasks(self, names: Collection[str], now: int) -> Mapping[str, TaskReading]:
        """How these tasks ended lately, wherever they ran; nothing while no worker tells anything."""
        now += self._behind_ms
        if not self._workers or not self._counts.span_ms(TASKS_OVER_MS, now):
            return {}
        ended = dict.fromkeys(names, TaskReading(0, 0))
        for count in self._counts.counts(TASKS_OVER_MS, now):
            if (so_far := ended.get(count.task)) is not None:
                runs, succeeded = so_far
                ended[count.task] = TaskReading(runs + count.ok + count.failed, succeeded + count.ok)
        return ended

    def counts_of(self, window_ms: int, now: int) -> Sequence[WorkCount] | None:
        """What ended in a window; None until all of it is known: a part of it is not what the whole was like."""
        now += self._behind_ms
        return self._counts.counts(window_ms, now) if self._counts.covers(window_ms, now) else None
