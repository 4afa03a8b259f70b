"""The pace of a queue where the clocks of workers, of beat and of the server differ, on a real server."""

import pytest

from packages.infra.probes.waiting import Waiting
from packages.infra.probes.work import Work
from packages.infra.queue.broker_clock import BrokerClock
from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.running_signals import present
from packages.infra.queue.work_buckets import OK
from packages.infra.queue.work_counts import WorkCounts
from packages.infra.queue.work_sums import EndedRun, WorkSums
from packages.infra.queue.worker_heartbeats import Heartbeat, WorkerHeartbeats, say
from packages.scheduling.instants import MINUTE_MS, SECOND_MS
from packages.scheduling.readings import TaskReading

HEARTBEAT = Heartbeat(frozenset({"q"}), frozenset(), 1, {}, {})


@pytest.mark.parametrize("beat_ahead_ms", [-90_000, -2_000, 0, 90_000])
@pytest.mark.parametrize("worker_ahead_ms", [-90_000, 0, 90_000])
def test_what_a_worker_completes_is_seen_whatever_its_clock_says_and_beats(
    redis: BrokerRedis, worker_ahead_ms: int, beat_ahead_ms: int
) -> None:
    began = [present()]
    clock = BrokerClock(lambda: began[0] + worker_ahead_ms)
    sums = WorkSums({}, clock)
    clock.hear(lambda: say(redis, "one@here", HEARTBEAT))
    began[0] -= MINUTE_MS
    for _ in range(60):
        began[0] += SECOND_MS
        sums.add(EndedRun("q", "t", OK, 5, 5))
    sums.flush(redis)
    work, told = Work(WorkCounts(redis), WorkerHeartbeats(redis)), []
    for _ in range(2):
        now = present() + beat_ahead_ms
        with redis.client.pipeline(transaction=False) as pipe:
            work.ask(pipe, now)
            work.take(pipe.execute(), now)
        told.append(work.queue("q", Waiting(7, None)))
    assert 58 <= (told[-1].completed or 0) <= 60
    assert MINUTE_MS <= told[-1].over_ms < MINUTE_MS + 10 * SECOND_MS
    # Before the server's clock was known, nothing of another time counts as if it were of now.
    assert told[0].completed is None or told[0].completed * MINUTE_MS // told[0].over_ms in range(50, 70)
    assert work.tasks(["t"], now) == {"t": TaskReading(60, 60)}
