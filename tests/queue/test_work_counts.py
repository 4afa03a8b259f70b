"""Ended runs from the buckets in Redis to the counts of a window, on a real server."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from uuid import uuid4

import pytest
import redis.exceptions
from celery import Celery
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.queue.work_buckets import BOUNDS_MS, EXPIRED, FAILED, OK, RESOLUTIONS, UNBOUNDED_MS, WHATS
from packages.infra.queue.work_counts import LONGEST_WINDOW_MS, SETTLED_MS, WorkCounts
from packages.infra.queue.work_sums import EndedRun, WorkSums
from packages.scheduling.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from tests.queue.ended_runs import ENDS, KEY, NOW, Clock, Unreliable, flushed
from tests.queue.work_reading import read_counts

TEN_S, FIVE_MIN, HOUR = RESOLUTIONS


@pytest.fixture(scope="module")
def server(valkey_server: str) -> Iterator[BrokerRedis]:
    broker = open_broker_redis(Celery("minsy", broker=valkey_server))
    assert broker is not None
    yield broker
    broker.close()


@pytest.fixture
def broker(server: BrokerRedis) -> Iterator[BrokerRedis]:
    yield (own := own_part(server))
    clear(own)


def own_part(server: BrokerRedis) -> BrokerRedis:
    return server._replace(prefix=uuid4().hex)


def clear(broker: BrokerRedis) -> None:
    if keys := broker.client.keys(f"{broker.prefix}:*"):
        broker.client.delete(*keys)


@settings(max_examples=40, deadline=None)
@given(
    runs=st.lists(st.tuples(ENDS, st.integers(0, 90 * HOUR_MS)), max_size=25),
    failures=st.lists(st.sampled_from(["none", "unheard", "unanswered"]), max_size=25),
    windows=st.lists(st.integers(1, LONGEST_WINDOW_MS), min_size=1, max_size=4),
    at_once=st.booleans(),
)
def test_the_counts_of_a_window_are_those_of_the_runs_that_ended_in_it(
    server: BrokerRedis,
    runs: list[tuple[EndedRun, int]],
    failures: list[str],
    windows: list[int],
    at_once: bool,  # noqa: FBT001  # drawn by name
) -> None:
    broker, clock = own_part(server), Clock()
    worker = broker._replace(client=Unreliable(broker.client, failures))
    sums = WorkSums({"x": "critical"}, clock)
    for run, ago in sorted(runs, key=lambda pair: -pair[1]):
        clock.now = NOW - ago
        sums.add(run)
        if not at_once:
            flush_or_not(sums, worker)
    for _ in range(len(failures)):
        flush_or_not(sums, worker)
    sums.flush(worker)
    for window_ms in windows:
        counts = WorkCounts(broker)
        read = read_counts(broker, counts, window_ms=window_ms, now=NOW)
        for _ in range(3):
            read = read_counts(broker, counts, window_ms=window_ms, now=NOW)
        assert counts.covers(window_ms, NOW)
        in_it = [run for run, ago in runs if ago <= counts.span_ms(window_ms, NOW)]
        totals = Counter((run.queue, run.task, run.outcome) for run in in_it)
        assert totals == Counter(
            {
                (count.queue, count.task, outcome): n
                for count in read.values()
                for outcome, n in ((OK, count.ok), (FAILED, count.failed), (EXPIRED, count.expired))
                if n
            }
        )
        waits = [run.wait_ms for run in in_it if run.wait_ms is not None]
        assert sum(count.wait_ms for count in read.values()) == sum(waits)
        assert sum(sum(count.wait.values()) for count in read.values()) == len(waits)
        assert {count.criticality for count in read.values() if count.task == "x"} <= {"critical"}
        long = sum(run.run_ms > BOUNDS_MS[-1] for run in in_it if run.run_ms is not None)
        assert sum(count.run.get(UNBOUNDED_MS, 0) for count in read.values()) == long
    clear(broker)


def flush_or_not(sums: WorkSums, broker: BrokerRedis) -> None:
    with suppress(redis.exceptions.RedisError):
        sums.flush(broker)


@given(window_ms=st.integers(1, LONGEST_WINDOW_MS), now=st.integers(10**12, 2 * 10**12))
def test_a_window_is_covered_by_buckets_and_by_none_too_many(window_ms: int, now: int) -> None:
    resolution = next(each for each in RESOLUTIONS if window_ms <= each.reach_ms)
    buckets = resolution.last(window_ms, now)
    assert buckets[0].start <= now - window_ms < buckets[0].end
    assert buckets[-1].start <= now < buckets[-1].end
    assert all(later.start == earlier.end for earlier, later in pairwise(buckets))


@pytest.mark.parametrize("window_ms", [0, -1, LONGEST_WINDOW_MS + 1])
def test_a_window_out_of_reach_is_refused(broker: BrokerRedis, window_ms: int) -> None:
    with pytest.raises(ValueError, match="a window is above 0"):
        WorkCounts(broker).counts(window_ms, NOW)


def test_a_bucket_that_is_over_is_not_asked_for_again(broker: BrokerRedis) -> None:
    counts = WorkCounts(broker)
    with broker.client.pipeline(transaction=False) as pipe:
        first = counts.ask(pipe, NOW)
        counts.take(pipe.execute(), NOW)
    asked = first
    for _ in range(4):
        with broker.client.pipeline(transaction=False) as pipe:
            asked = counts.ask(pipe, NOW)
            counts.take(pipe.execute(), NOW)
    assert counts.covers(LONGEST_WINDOW_MS, NOW)
    assert asked <= 10
    # It still changes while it is not over for a while.
    recent = NOW - SETTLED_MS + TEN_S.step_ms
    flushed(broker, EndedRun("q", "t", OK), at=recent)
    flushed(broker, EndedRun("q", "t", OK), at=NOW - 5 * MINUTE_MS)
    assert read_counts(broker, counts, now=NOW)[KEY].ok == 1
    assert read_counts(broker, now=NOW)[KEY].ok == 2


def test_what_workers_tell_after_an_outage_is_found(broker: BrokerRedis) -> None:
    counts = WorkCounts(broker)
    read_counts(broker, counts, now=NOW)
    later = NOW + 2 * MINUTE_MS
    with broker.client.pipeline(transaction=False) as pipe:
        # Nobody answers.
        counts.ask(pipe, later - MINUTE_MS)
    assert not read_counts(broker, counts, now=later)
    # The workers tell only after it has been read again.
    flushed(broker, EndedRun("q", "t", OK), at=NOW + MINUTE_MS)
    assert read_counts(broker, counts, now=later + 7_000)[KEY].ok == 1
    read_counts(broker, counts, now=later + SETTLED_MS)
    with broker.client.pipeline(transaction=False) as pipe:
        assert counts.ask(pipe, later + SETTLED_MS) <= 10


def test_what_has_not_been_read_yet_is_no_part_of_the_span(broker: BrokerRedis) -> None:
    for ago in range(0, 60, 5):
        flushed(broker, EndedRun("q", "t", OK), at=NOW - ago * SECOND_MS)
    counts, paces = WorkCounts(broker), []
    for _ in range(3):
        with broker.client.pipeline(transaction=False) as pipe:
            counts.ask(pipe, NOW)
            counts.take(pipe.execute(), NOW)
        [count] = counts.counts(MINUTE_MS, NOW)
        paces.append((count.ok, round(counts.span_ms(MINUTE_MS, NOW) / (5 * SECOND_MS))))
    assert paces[0][0] < 12
    assert [abs(ok - expected) <= 1 for ok, expected in paces] == [True] * 3
    assert counts.span_ms(MINUTE_MS, NOW) == NOW - TEN_S.at(NOW - MINUTE_MS).start
    assert WorkCounts(broker).span_ms(MINUTE_MS, NOW) == 0


def test_what_was_refused_is_asked_again_and_what_was_known_stays(broker: BrokerRedis) -> None:
    counts, runs = WorkCounts(broker), [EndedRun("q", "t", OK)] * 3
    flushed(broker, *runs)
    flushed(broker, *runs, at=NOW - 10 * MINUTE_MS)
    with broker.client.pipeline(transaction=False) as pipe:
        counts.ask(pipe, NOW)
        counts.take(pipe.execute(), NOW)
        busy = ResponseError("BUSY Valkey is busy running a script.")
        for _ in range(3):
            counts.take([busy] * counts.ask(pipe, NOW), NOW)
            pipe.reset()
    assert counts.counts(MINUTE_MS, NOW)[0].ok == 3
    assert not counts.covers(15 * MINUTE_MS, NOW)
    assert read_counts(broker, counts, now=NOW)[KEY].ok == 6
    assert counts.covers(15 * MINUTE_MS, NOW)
    # The workers may have been refused as well: they tell it later.
    flushed(broker, *runs, at=NOW - 10 * MINUTE_MS)
    assert read_counts(broker, counts, now=NOW)[KEY].ok == 9


def test_history_comes_in_parts_when_there_is_much_of_it(broker: BrokerRedis) -> None:
    keys = [f"k{n}\x1ft\x1fnone\x1f{what}" for n in range(100) for what in WHATS]
    now = NOW
    with broker.client.pipeline(transaction=False) as pipe:
        for bucket in [TEN_S.at(now), FIVE_MIN.at(now), HOUR.at(now)]:
            pipe.hset(broker.key(bucket.name), mapping=dict.fromkeys(keys, 1))
        pipe.execute()
    counts, asked = WorkCounts(broker), list[int]()
    windows = [10 * SECOND_MS, 2 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, LONGEST_WINDOW_MS]
    known_after = dict.fromkeys(windows, 0)
    while not counts.covers(LONGEST_WINDOW_MS, now):
        with broker.client.pipeline(transaction=False) as pipe:
            asked.append(counts.ask(pipe, now))
            counts.take(pipe.execute(), now)
        for window in windows:
            if not known_after[window] and counts.covers(window, now):
                known_after[window] = len(asked)
    assert max(asked) < 20
    # The newest come first.
    assert [*known_after.values()] == sorted(known_after.values())
    assert known_after[10 * SECOND_MS] == 1
    assert known_after[LONGEST_WINDOW_MS] > 100
    assert len(counts.counts(LONGEST_WINDOW_MS, now)) == 100


@pytest.mark.parametrize(
    "field",
    [b"", b"q\x1ft\x1fnone", b"q\x1ft\x1fnone\x1fwhat", b"q\x1ft\x1fnone\x1fok\x1fok", b"\xff\x1ft\x1fnone\x1fok"],
)
def test_a_field_that_cannot_be_read_is_left_out(
    broker: BrokerRedis, field: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    flushed(broker, EndedRun("q", "t", OK))
    broker.client.hset(broker.key(TEN_S.at(NOW).name), field, 5)
    counts = WorkCounts(broker)
    for _ in range(2):
        assert read_counts(broker, counts, now=NOW)[KEY].ok == 1
    assert caplog.text.count("work_count_dropped") == 1


@pytest.mark.parametrize("value", ["x", "", "-1", "1.5", "1_0", "9" * 5_000])
def test_so_is_a_value(broker: BrokerRedis, value: str, caplog: pytest.LogCaptureFixture) -> None:
    flushed(broker, EndedRun("q", "t", OK))
    broker.client.hset(broker.key(TEN_S.at(NOW).name), "q\x1ft\x1fnone\x1ffailed", value)
    count = read_counts(broker, now=NOW)[KEY]
    assert (count.ok, count.failed) == (1, 0)
    assert "work_count_dropped" in caplog.text
    # And it holds back no worker.
    flushed(broker, EndedRun("q", "t", FAILED), EndedRun("q", "t", OK))
    assert read_counts(broker, now=NOW)[KEY].ok == 2


def test_a_key_of_another_type_is_an_empty_bucket(broker: BrokerRedis, caplog: pytest.LogCaptureFixture) -> None:
    broker.client.set(broker.key(TEN_S.at(NOW).name), "foreign")
    flushed(broker, EndedRun("q", "t", OK), at=NOW - TEN_S.step_ms)
    flushed(broker, EndedRun("q", "t", OK))
    assert read_counts(broker, now=NOW)[KEY].ok == 1
    assert "work_count_dropped" in caplog.text
    assert read_counts(broker, window_ms=HOUR_MS, now=NOW)[KEY].ok == 2
