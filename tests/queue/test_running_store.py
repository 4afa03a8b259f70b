"""The record of what still runs, as beat reads it: what counts, what has lapsed, and when nothing is known."""

import json
import logging
from collections.abc import Iterator

import pytest
from celery import Celery

from packages.infra.queue.active_markets import OLDEST_MS, ActiveMarketsStore
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.queue.running import LEASE, JobRun, RunningStore, run_text
from packages.infra.queue.running_signals import RunKeeper
from packages.scheduling.instants import MINUTE_MS, to_ms
from packages.scheduling.snapshot import Reading, Run

NOW = 1_795_330_000_000
LEASE_MS = to_ms(LEASE)
OLD, NEW = Run("old", NOW - 2000, NOW + 1000), Run("new", NOW - 1000, NOW + 5000)


@pytest.fixture
def redis(redis_url: str) -> Iterator[BrokerRedis]:
    redis = open_broker_redis(Celery("minsy", broker=redis_url))
    assert redis is not None
    yield redis
    redis.close()


@pytest.fixture
def store(redis: BrokerRedis) -> RunningStore:
    """A store that a worker keeps."""
    store = RunningStore(redis)
    store.renew({}, now=NOW)
    return store


def runs(store: RunningStore, job: str, *, at: int = NOW) -> tuple[Run, ...]:
    reading = store.read(at)
    assert reading is not None
    assert reading.taken_at == at
    return reading.value.get(job, ())


def publish(redis: BrokerRedis, *runs: JobRun) -> None:
    """As the script does by which beat publishes."""
    for run in runs:
        redis.client.hset("minsy:running:runs", run.run.task_id, run_text(run))


def test_without_a_worker_that_keeps_it_nothing_is_known(redis: BrokerRedis) -> None:
    store = RunningStore(redis)
    publish(redis, JobRun("a", NEW))
    assert store.read(NOW) is None
    store.renew({}, now=NOW)
    assert runs(store, "a") == (NEW,)
    assert 0 < redis.client.pttl("minsy:running:workers") <= LEASE_MS


def test_runs_stand_by_job_the_oldest_first(store: RunningStore, redis: BrokerRedis) -> None:
    publish(redis, JobRun("a", NEW), JobRun("b", Run("other", NOW, NOW + 1)), JobRun("a", OLD))
    assert runs(store, "a") == (OLD, NEW)
    assert len(runs(store, "b")) == 1
    assert runs(store, "c") == ()


def test_a_run_counts_until_its_end_exclusive(store: RunningStore, redis: BrokerRedis) -> None:
    publish(redis, JobRun("a", OLD))
    assert runs(store, "a", at=NOW + 999) == (OLD,)
    assert runs(store, "a", at=NOW + 1000) == ()


def test_a_run_that_has_lapsed_is_dropped_after_a_while(store: RunningStore, redis: BrokerRedis) -> None:
    publish(redis, JobRun("a", OLD))
    runs(store, "a", at=NOW + 1000 + MINUTE_MS - 1)
    assert redis.client.hlen("minsy:running:runs") == 1
    runs(store, "a", at=NOW + 1000 + MINUTE_MS)
    assert redis.client.hlen("minsy:running:runs") == 0


def test_renewing_moves_the_end_on_and_never_back(store: RunningStore) -> None:
    store.started(JobRun("a", OLD))
    store.renew({"old": NOW + 7000}, now=NOW)
    assert runs(store, "a") == (Run("old", NOW - 2000, NOW + 7000),)
    store.renew({"old": NOW + 6000}, now=NOW)
    assert runs(store, "a")[0].counts_until == NOW + 7000


def test_renewing_does_not_bring_back_what_is_over(store: RunningStore) -> None:
    store.started(JobRun("a", OLD))
    store.ended(["old", "never there"])
    store.ended([])
    store.renew({"old": NOW + 7000}, now=NOW)
    assert runs(store, "a") == ()


@pytest.mark.parametrize(
    "value",
    [
        "nonsense",
        "7",
        "{}",
        '{"v":2,"job":"a","published_at":1,"counts_until":2}',
        '{"v":1,"job":"a","published_at":"x","counts_until":"y"}',
        '{"v":1,"job":"a","published_at":1,"counts_until":[]}',
    ],
)
def test_what_is_not_of_this_form_is_dropped(
    store: RunningStore, redis: BrokerRedis, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    publish(redis, JobRun("a", NEW))
    redis.client.hset("minsy:running:runs", "foreign", value)
    store.renew({"foreign": NOW + 1, "new": NOW + 8000}, now=NOW)
    assert runs(store, "a")[0].counts_until == NOW + 8000
    assert redis.client.hkeys("minsy:running:runs") == [b"new"]
    assert "running_value_dropped" in caplog.text


def test_a_server_that_is_away_is_an_absent_reading(redis: BrokerRedis, store: RunningStore) -> None:
    redis.close()
    redis.client.connection_pool.connection_kwargs["port"] = 1
    redis.client.connection_pool.reset()
    assert store.read(NOW) is None
    assert ActiveMarketsStore(redis).read(NOW) is None


def test_a_worker_without_redis_says_so_once_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    keeper = RunKeeper(Celery("minsy", broker="redis://:hunter2@127.0.0.1:1/0"))
    for _ in range(3):
        keeper.ended("x")
        keeper.renew(NOW)
    assert [record.message for record in caplog.records] == ["errand_failed"]
    assert "hunter2" not in str(vars(caplog.records[0]))


def test_a_worker_on_another_broker_keeps_nothing(caplog: pytest.LogCaptureFixture) -> None:
    RunKeeper(Celery("minsy", broker="memory://")).ended("x")
    assert not caplog.records


def test_markets_in_use_come_back_with_their_instant(redis: BrokerRedis) -> None:
    store = ActiveMarketsStore(redis)
    assert store.read(NOW) is None
    store.write(frozenset({"XNYS", "24/7"}), NOW)
    for at in (NOW - 1000, NOW, NOW + OLDEST_MS):
        assert store.read(at) == Reading(frozenset({"XNYS", "24/7"}), NOW)
    # Too old, or said by a clock that is far ahead.
    assert store.read(NOW + OLDEST_MS + 1) is None
    assert store.read(NOW - OLDEST_MS - 1) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "null",
        "{}",
        '{"v":1}',
        json.dumps({"v": 2, "markets": [], "taken_at": NOW}),
        '{"v":1,"markets":1,"taken_at":1}',
    ],
)
def test_markets_in_another_form_are_not_known(redis: BrokerRedis, value: str) -> None:
    redis.client.set("minsy:active_markets", value)
    assert ActiveMarketsStore(redis).read(NOW) is None
