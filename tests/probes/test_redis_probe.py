"""The probe of a broker that is Redis: one round trip an interval, and what stays known when nobody answers."""

import threading
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pytest

from packages.infra.probes.interval_probe import MOST
from packages.infra.probes.objective_source import CountsOf
from packages.infra.probes.opening import open_probe
from packages.infra.probes.probe import ProbeReadings
from packages.infra.probes.redis_probe import RedisProbe
from packages.infra.probes.work import Work
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.queue.work_counts import WorkCounts
from packages.infra.queue.worker_heartbeats import WorkerHeartbeats
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.instants import DAY_MS, MINUTE_MS, SECOND_MS
from packages.scheduling.readings import ObjectiveReading, TaskReading, WindowCount
from packages.scheduling.snapshot import Reading
from tests.faults.proxy import Proxy, Way, When
from tests.probes.eventually import eventually
from tests.probes.on_redis import INTERVAL_MS, NOW, app_on, ready, send
from tests.probes.workers import Counts, Heartbeats, ended, worker

FIFTY = [f"queue{number}" for number in range(50)]
GOOD = Objective("good", Measure.SUCCESS, 990_000, task="a.b")
OTHER = Objective("other", Measure.SUCCESS, 990_000, queue="area")


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    proxy = Proxy(redis_url)
    yield proxy
    proxy.close()


@pytest.fixture
def redis(proxy: Proxy) -> Iterator[BrokerRedis]:
    redis = open_broker_redis(app_on(proxy.url))
    assert redis is not None
    yield redis
    redis.close()


def probe_of(redis: BrokerRedis, counts: Counts | None = None, *workers: Any, **options: Any) -> RedisProbe:  # noqa: ANN401  # as the classes have them
    work = Work(counts or Counts(), Heartbeats(*workers))
    probe = RedisProbe(redis, work, **{"interval_ms": INTERVAL_MS, **options})
    probe.want(["area"], ["a.b"], [])
    return probe


def test_what_waits_and_what_workers_tell_come_together(redis_url: str, redis: BrokerRedis) -> None:
    send(app_on(redis_url))
    probe = probe_of(redis, Counts(ended("area", "a.b", ok=3, failed=1)), worker("area", "x", running={"area": 1}))
    told = probe.read(NOW)
    reading = told.queues["area"]
    assert reading.taken_at == NOW
    assert (reading.value.ready, reading.value.running, reading.value.completed) == (1, 1, 4)
    assert reading.value.oldest_ms == 10 * MINUTE_MS
    assert (reading.value.consumers, reading.value.group) == (1, frozenset({"area", "x"}))
    assert told.tasks == {"a.b": Reading(TaskReading(4, 3), NOW)}
    probe.close()


def test_fifty_queues_with_all_that_workers_tell_are_one_round_trip(proxy: Proxy, redis: BrokerRedis) -> None:
    probe = open_probe(app_on(proxy.url), redis, interval_ms=INTERVAL_MS)
    probe.want(FIFTY, ["a.b"], [])
    with redis.client.pipeline(transaction=False) as never_sent:
        of_the_workers = Work(WorkCounts(redis), WorkerHeartbeats(redis)).ask(never_sent, NOW)
    # Connects.
    redis.client.ping()
    commands = proxy.commands
    # No answer goes back before this one.
    first = proxy.hold(When.AFTER, lambda frame: b"LINDEX" in frame)
    reading = threading.Thread(target=probe.read, args=(NOW,))
    reading.start()
    first.wait()
    eventually(lambda: proxy.commands - commands == 1 + of_the_workers)
    first.release()
    reading.join()
    assert set(probe.read(NOW).queues) == set(FIFTY)
    # None had to wait for the answer to another one.
    assert proxy.commands - commands == 1 + of_the_workers
    probe.close()


@pytest.mark.parametrize(
    ("after_ms", "asked"),
    [(0, False), (1, False), (INTERVAL_MS - 1, False), (INTERVAL_MS, True), (DAY_MS, True), (-1, True)],
)
def test_it_asks_once_an_interval_and_when_the_clock_was_set_back(
    redis_url: str, redis: BrokerRedis, *, after_ms: int, asked: bool
) -> None:
    probe = probe_of(redis)
    assert ready(probe.read(NOW)) == (0, NOW)
    send(app_on(redis_url))
    assert ready(probe.read(NOW + after_ms)) == ((1, NOW + after_ms) if asked else (0, NOW))


def test_the_interval_may_be_changed(redis_url: str, redis: BrokerRedis) -> None:
    probe = probe_of(redis)
    probe.read(NOW)
    send(app_on(redis_url))
    probe.interval_ms = SECOND_MS
    assert ready(probe.read(NOW + SECOND_MS)) == (1, NOW + SECOND_MS)


def test_nothing_wanted_is_nothing_asked(proxy: Proxy, redis: BrokerRedis) -> None:
    probe = RedisProbe(redis, Work(Counts(), Heartbeats()), interval_ms=INTERVAL_MS)
    redis.client.ping()
    commands = proxy.commands
    assert probe.read(NOW) == ProbeReadings()
    assert proxy.commands == commands


def test_what_is_not_wanted_any_more_is_forgotten(redis: BrokerRedis) -> None:
    probe = probe_of(redis, Counts(), worker("area"))
    probe.want(["area", "other"], ["a.b", "a.c"], [])
    told = probe.read(NOW)
    assert (set(told.queues), set(told.tasks)) == ({"area", "other"}, {"a.b", "a.c"})
    probe.want(["other", "third"], ["a.c"], [])
    told = probe.read(NOW + 1)
    assert (set(told.queues), set(told.tasks)) == ({"other"}, {"a.c"})


@pytest.mark.parametrize("way", [Way.REFUSE, Way.SILENCE])
def test_without_an_answer_the_last_readings_stay_and_get_older(
    proxy: Proxy, redis: BrokerRedis, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = [0.0]
    work = Work(Counts(), Heartbeats(worker("area")))
    probe = RedisProbe(redis, work, interval_ms=INTERVAL_MS, monotonic=lambda: now_s[0])
    probe.want(["area"], ["a.b"], [])
    first = probe.read(NOW)
    proxy.be(way)
    for step in (1, 2):
        assert probe.read(NOW + step * INTERVAL_MS) == first
    assert [record.getMessage() for record in caplog.records] == ["errand_failed"]
    proxy.be(Way.PASS)
    redis.ask_again()
    now_s[0] += 60
    assert ready(probe.read(NOW + 3 * INTERVAL_MS)) == (0, NOW + 3 * INTERVAL_MS)


def test_a_server_that_was_never_there_leaves_all_of_it_absent(proxy: Proxy, redis: BrokerRedis) -> None:
    probe = probe_of(redis)
    proxy.be(Way.REFUSE)
    assert probe.read(NOW) == ProbeReadings()


def test_whatever_goes_wrong_beat_goes_on(redis: BrokerRedis, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Counts):
        def counts(self, window_ms: int, now_ms: int) -> Any:  # noqa: ANN401  # never returns
            raise RuntimeError(f"no counts of {window_ms} at {now_ms}")

    assert probe_of(redis, Broken()).read(NOW) == ProbeReadings()
    assert [record.getMessage() for record in caplog.records] == ["errand_failed"]


def test_tasks_of_which_nobody_tells_any_more_get_older(redis: BrokerRedis) -> None:
    heartbeats = Heartbeats(worker("area"))
    probe = RedisProbe(redis, Work(Counts(), heartbeats), interval_ms=INTERVAL_MS)
    probe.want(["area"], ["a.b"], [])
    probe.read(NOW)
    heartbeats.workers = []
    told = probe.read(NOW + INTERVAL_MS)
    assert told.tasks["a.b"].taken_at == NOW
    assert told.queues["area"].taken_at == NOW + INTERVAL_MS
    assert told.queues["area"].value.consumers is None


def test_more_than_anybody_serves_is_not_asked_about(redis: BrokerRedis, caplog: pytest.LogCaptureFixture) -> None:
    probe = probe_of(redis)
    probe.want([f"q{number:05}" for number in range(MOST + 1)], [], [])
    assert len(probe.read(NOW).queues) == MOST
    assert [record.getMessage() for record in caplog.records] == ["too_much_to_probe"]


def test_objectives_are_judged_by_who_is_told_to(redis: BrokerRedis, caplog: pytest.LogCaptureFixture) -> None:
    known = (WindowCount(MINUTE_MS, 1, 2),)
    judged: list[Any] = []

    def judge(
        objectives: Collection[Objective], counts_of: CountsOf, now: int
    ) -> Mapping[str, Reading[ObjectiveReading]]:
        judged.append((list(objectives), counts_of(MINUTE_MS)))
        if len(judged) == 2:
            raise ValueError("cannot judge")
        return {"good": Reading(known, now)}

    counts = Counts(ended("area", "a.b", ok=1))
    probe = probe_of(redis, counts, judge=judge)
    assert probe.read(NOW).objectives == {}
    assert judged == []
    probe.want(["area"], [], [GOOD, OTHER])
    assert probe.read(NOW + INTERVAL_MS).objectives == {"good": Reading(known, NOW + INTERVAL_MS)}
    assert judged == [([GOOD, OTHER], counts.given)]
    # Who cannot judge spoils nothing else.
    told = probe.read(NOW + 2 * INTERVAL_MS)
    assert told.objectives == {"good": Reading(known, NOW + INTERVAL_MS)}
    assert ready(told) == (0, NOW + 2 * INTERVAL_MS)
    assert [record.getMessage() for record in caplog.records] == ["errand_failed"]
