"""What workers have left on a broker that is Redis, as the probe reads it: counts, last words, and keys of others."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from packages.infra.probes.judging import Judges
from packages.infra.probes.opening import open_probe
from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.work_buckets import SEPARATOR
from packages.infra.queue.worker_heartbeats import Heartbeat, say
from packages.scheduling.control.backlog import step_queues
from packages.scheduling.control.burn import WINDOWS_MS
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.instants import SECOND_MS, to_instant
from packages.scheduling.model import Criticality
from packages.scheduling.readings import TaskReading, WindowCount
from tests.probes.on_redis import INTERVAL_MS, app_on, ready, send

if TYPE_CHECKING:
    from packages.scheduling.control.controllers import QueueControl


def test_what_real_workers_tell_is_read(redis_url: str, redis: BrokerRedis) -> None:
    now = to_instant(datetime.now(UTC))
    field = SEPARATOR.join(("area", "a.b", "none", ""))
    for what, count in (("ok", 7), ("failed", 2)):
        redis.client.hset(redis.key(f"work:10:{now // 10_000 * 10}"), f"{field}{what}", count)
    say(redis, "one@here", Heartbeat(frozenset({"area", "x"}), frozenset(), 2, {"area": 1}, {"area": 2}))
    say(redis, "two@here", Heartbeat(frozenset({"gone"}), frozenset(), 2, {}, {}, is_last=True))
    probe = open_probe(app_on(redis_url), redis, interval_ms=INTERVAL_MS)
    probe.want(["area", "gone", "unheard"], ["a.b"], [])
    told = probe.read(now)
    area, gone, unheard = (told.queues[queue].value for queue in ("area", "gone", "unheard"))
    assert (area.reserved, area.running, area.completed, area.consumers) == (1, 2, 9, 1)
    assert area.group == {"area", "x"}
    assert area.over_ms >= 30 * SECOND_MS
    assert (gone.consumers, unheard.consumers, unheard.completed) == (0, None, None)
    assert told.tasks["a.b"].value == TaskReading(9, 7)


def test_objectives_are_judged_by_what_real_workers_count(redis_url: str, redis: BrokerRedis) -> None:
    now = to_instant(datetime.now(UTC))
    field = SEPARATOR.join(("area", "a.b", "none", ""))
    for length_s in (10, 300, 3_600):
        bucket = redis.key(f"work:{length_s}:{now // SECOND_MS // length_s * length_s}")
        redis.client.hset(bucket, mapping={f"{field}ok": 7, f"{field}failed": 2})
    probe = open_probe(app_on(redis_url), redis, interval_ms=INTERVAL_MS, judge=Judges(None))
    probe.want(["area"], ["a.b"], [Objective("good", Measure.SUCCESS, 990_000, task="a.b")])
    # The history comes behind the first reading; a window of which a part is not known yet is not told of.
    known = [probe.read(now + step * INTERVAL_MS).objectives for step in range(4)]
    assert known[0] == {}
    assert known[-1]["good"].taken_at == now + 3 * INTERVAL_MS
    assert known[-1]["good"].value == tuple(WindowCount(window_ms, 2, 9) for window_ms in WINDOWS_MS)


@pytest.mark.parametrize("key", ["workers", "work:10:0"])
def test_keys_of_another_kind_leave_what_stands_in_them_unknown(redis: BrokerRedis, key: str) -> None:
    redis.client.set(redis.key(key), "text")
    probe = open_probe(app_on("redis://"), redis, interval_ms=INTERVAL_MS)
    probe.want(["area"], ["a.b"], [])
    told = probe.read(5 * SECOND_MS)
    assert ready(told) == (0, 5 * SECOND_MS)
    assert told.queues["area"].value.consumers is None
    assert told.tasks == {}


def test_whether_messages_are_taken_is_seen_though_no_worker_says_so(redis_url: str, redis: BrokerRedis) -> None:
    """Workers were rolled back to a version without heartbeats: the last words there are say that they stop."""
    app, now = app_on(redis_url), to_instant(datetime.now(UTC))
    say(redis, "before@here", Heartbeat(frozenset({"area"}), frozenset(), 2, {}, {}, is_last=True))
    probe = open_probe(app, redis, interval_ms=INTERVAL_MS)
    probe.want(["area"], ["a.b"], [])
    control: dict[str, QueueControl] = {}
    unserved: list[bool] = []
    for step, sent in enumerate((0, 2, 1, 0, 0)):
        for _ in range(sent):
            send(app)
        at = now + step * INTERVAL_MS
        if step == 3:
            with app.connection_for_read() as connection, connection.SimpleQueue("area") as queue:
                queue.get_nowait().ack()
        control = step_queues(
            control, probe.read(at).queues, BacklogPolicy(), {"area": tuple(Criticality)}, at, stale_ms=INTERVAL_MS
        )
        unserved.append(control["area"].unserved)
    assert unserved == [False, True, True, False, False]
    probe.close()
