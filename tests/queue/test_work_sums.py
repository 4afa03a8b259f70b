"""Ended runs on their way from a worker's processes into the buckets in Redis, and what they take up there."""

from collections import Counter
from collections.abc import Iterator

import pytest
from celery import Celery
from hypothesis import given

from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.queue.work_buckets import (
    BOUNDS_MS,
    EXPIRED,
    FAILED,
    OK,
    OTHER,
    RESOLUTIONS,
    Bucket,
    place_of_run,
    place_of_wait,
)
from packages.infra.queue.work_signals import outcome_of, record_of, run_of
from packages.infra.queue.work_sums import MOST_KEYS, EndedRun, WorkSums
from packages.scheduling.instants import MINUTE_MS, SECOND_MS
from tests.queue.ended_runs import ENDS, KEY, NOW, Clock, Unreliable, flushed
from tests.queue.work_reading import read_counts

TEN_S = RESOLUTIONS[0]


@pytest.fixture
def broker(redis_url: str) -> Iterator[BrokerRedis]:
    broker = open_broker_redis(Celery("minsy", broker=redis_url))
    assert broker is not None
    yield broker
    broker.close()


def fields(broker: BrokerRedis, bucket: Bucket) -> dict[bytes, bytes]:
    return dict(broker.client.hgetall(broker.key(bucket.name)))


def test_each_bound_is_the_last_of_its_own(broker: BrokerRedis) -> None:
    for place in (place_of_wait, place_of_run):
        assert [place(bound) - place(0) for bound in BOUNDS_MS] == list(range(len(BOUNDS_MS)))
        assert [place(bound + 1) - place(0) for bound in BOUNDS_MS] == list(range(1, len(BOUNDS_MS) + 1))
    flushed(broker, EndedRun("q", "t", OK, 100, 101))
    count = read_counts(broker, now=NOW)[KEY]
    assert (count.wait, count.run) == ({100: 1}, {250: 1})


def test_what_stands_in_redis_is_what_is_documented(broker: BrokerRedis) -> None:
    flushed(broker, EndedRun("q", "t", OK, 40, 4_000_000), EndedRun("q", "t", EXPIRED))
    prefix = b"q\x1ft\x1fnone\x1f"
    for resolution in RESOLUTIONS:
        bucket = resolution.at(NOW)
        assert fields(broker, bucket) == {
            prefix + b"ok": b"1",
            prefix + b"expired": b"1",
            prefix + b"wait:100": b"1",
            prefix + b"wait_ms": b"40",
            prefix + b"run:inf": b"1",
            prefix + b"run_ms": b"4000000",
        }
        ttl_ms = broker.client.pttl(broker.key(bucket.name))
        assert resolution.reach_ms < ttl_ms <= resolution.kept_ms
    assert broker.client.exists(f"{broker.prefix}:work:10:{NOW // 10_000 * 10}")


def test_a_flush_without_anything_new_asks_nobody(broker: BrokerRedis) -> None:
    sums = WorkSums({}, Clock())
    sums.flush(broker._replace(client=Unreliable(broker.client, ["unheard"])))


def test_what_no_window_reaches_any_more_is_not_kept(broker: BrokerRedis) -> None:
    clock = Clock()
    sums = WorkSums({}, clock)
    worker = broker._replace(client=Unreliable(broker.client, []))
    for step in range(200):
        clock.now = NOW + step * MINUTE_MS
        sums.add(EndedRun("q", "t", OK))
    sums.flush(worker)
    starts = {int(key.rsplit(b":", 1)[1]) for key in broker.client.keys(f"{broker.prefix}:work:10:*")}
    assert min(starts) * SECOND_MS >= clock.now - TEN_S.reach_ms - TEN_S.step_ms
    assert sum(int(value) for value in all_values(broker, "300")) == 200


def all_values(broker: BrokerRedis, seconds: str) -> list[bytes]:
    keys = broker.client.keys(f"{broker.prefix}:work:{seconds}:*")
    return [value for key in keys for value in broker.client.hvals(key)]


def test_without_a_redis_nothing_piles_up(broker: BrokerRedis) -> None:
    sums = WorkSums({}, Clock())
    sums.add(EndedRun("q", "t", OK))
    sums.forget()
    sums.flush(broker)
    assert not broker.client.keys(f"{broker.prefix}:*")


def test_of_too_many_tasks_the_rest_is_counted_by_queue(broker: BrokerRedis) -> None:
    flushed(broker, *(EndedRun(f"q{n % 3}", f"t{n}", OK) for n in range(1_000)))
    read = read_counts(broker, now=NOW)
    assert len(read) <= MOST_KEYS
    by_queue: Counter[str] = Counter()
    for count in read.values():
        by_queue[count.queue] += count.ok
    assert by_queue == {"q0": 334, "q1": 333, "q2": 333}
    assert ("q0", OTHER, "none") in read


def test_of_too_many_queues_the_rest_is_counted_together(broker: BrokerRedis) -> None:
    flushed(broker, *(EndedRun(f"q{n}", "t", OK) for n in range(1_000)))
    read = read_counts(broker, now=NOW)
    assert len(read) == MOST_KEYS
    assert sum(count.ok for count in read.values()) == 1_000
    assert read[OTHER, OTHER, "none"].ok == 1_000 - MOST_KEYS + 1


@given(run=ENDS)
def test_a_run_comes_through_the_pipe_as_it_was(run: EndedRun) -> None:
    assert run_of(record_of(run)) == run


def test_names_that_are_too_long_are_cut_and_times_are_never_negative() -> None:
    run = run_of(record_of(EndedRun("ü" * 500, "a\x1fb", OK, -5, -1)))
    assert run == EndedRun("ü" * 120, "a?b", OK, 0, 0)


@pytest.mark.parametrize(
    ("state", "outcome"),
    [("SUCCESS", OK), ("FAILURE", FAILED), ("RETRY", None), ("IGNORED", None), (None, None), ("REJECTED", FAILED)],
)
def test_states_that_are_no_end_count_as_nothing(state: str | None, outcome: int | None) -> None:
    assert outcome_of(state, None) == outcome
