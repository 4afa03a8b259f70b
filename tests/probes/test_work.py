"""What the workers tell, as readings of queues and tasks."""

from typing import Any

import pytest

from packages.infra.probes.waiting import Waiting
from packages.infra.probes.work import PACE_OVER_MS, Work
from packages.infra.queue.work_counts import WorkCount
from packages.scheduling.readings import QueueReading, TaskReading
from tests.probes.workers import SPAN_MS, Counts, Heartbeats, ended, worker

NOW = 10_000_000_000
ONE = Waiting(ready=1, oldest_ms=7)


class Echo:
    """A pipeline that answers each command with its argument."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []

    def echo(self, text: str) -> None:
        self.answers.append(text.encode())


def told(counts: Counts, *workers: Any) -> Work:  # noqa: ANN401  # states of workers
    work, pipe = Work(counts, Heartbeats(*workers)), Echo()
    assert work.ask(pipe, NOW) == len(pipe.answers) == 3
    work.take(pipe.answers, NOW)
    return work


@pytest.mark.parametrize(
    ("workers", "consumers"),
    [
        ([], None),
        ([worker("other")], None),
        ([worker("area")], 1),
        ([worker("area"), worker("area", "other"), worker("other")], 2),
        ([worker("area"), worker("area", alive=False)], 1),
        ([worker("area", alive=False)], 0),
        # It goes on without this queue.
        ([worker("other", left=["area"])], 0),
        ([worker(alive=True)], None),
    ],
)
def test_consumers_are_those_that_live_once_anyone_is_known_to_have_served_it(
    workers: list[Any], consumers: int | None
) -> None:
    assert told(Counts(), *workers).queue("area", ONE).consumers == consumers


def test_of_a_queue_that_nobody_tells_of_nothing_is_known_but_what_waits() -> None:
    work = told(Counts(ended("area", "a", ok=3)), worker("other"))
    assert work.queue("area", ONE) == QueueReading(ready=1, oldest_ms=7)


def test_what_is_under_way_is_summed_over_the_workers_that_live() -> None:
    work = told(
        Counts(),
        worker("area", "x", reserved={"area": 2, "x": 9}, running={"area": 1}),
        worker("y", left=["area"], reserved={"area": 1}),
        worker("area", "z", alive=False, reserved={"area": 50}, running={"area": 50}),
    )
    reading = work.queue("area", ONE)
    assert (reading.reserved, reading.running, reading.consumers) == (3, 1, 1)
    assert reading.group == {"area", "x"}


def test_queues_of_the_same_workers_have_their_names_from_one_object_also_the_next_time() -> None:
    work = told(
        Counts(),
        *(worker(*sorted(queues)) for queues in ({"area", "x"}, {"x", "area"}, {"y", "x"})),
    )
    area, x, y = (work.queue(queue, ONE).group for queue in ("area", "x", "y"))
    assert [sorted(group) for group in (area, x, y)] == [["area", "x"], ["area", "x", "y"], ["x", "y"]]
    again = Echo()
    work.ask(again, NOW)
    work.take(again.answers, NOW)
    for queue, group in (("area", area), ("x", x), ("y", y)):
        assert work.queue(queue, ONE).group is group


def test_what_dead_workers_had_taken_is_not_known_to_be_under_way_anywhere() -> None:
    reading = told(Counts(), worker("area", "x", alive=False, reserved={"area": 5})).queue("area", ONE)
    assert (reading.reserved, reading.running, reading.consumers, reading.group) == (None, None, 0, frozenset())


def test_the_pace_of_a_queue_counts_runs_of_all_tasks_well_or_not() -> None:
    work = told(
        Counts(ended("area", "a", ok=3, failed=1), ended("area", "b", ok=5, expired=7), ended("other", "a", ok=100)),
        worker("area"),
    )
    reading = work.queue("area", ONE)
    assert (reading.completed, reading.over_ms) == (9, SPAN_MS)
    assert work.queue("idle", ONE).completed is None
    assert PACE_OVER_MS <= SPAN_MS


def test_a_queue_that_is_served_and_completes_nothing_has_a_pace_of_zero() -> None:
    reading = told(Counts(), worker("area")).queue("area", ONE)
    assert (reading.completed, reading.over_ms) == (0, SPAN_MS)


def test_what_workers_complete_that_tell_nothing_is_not_known_to_be_nothing() -> None:
    gone = worker("area", alive=False)
    assert told(Counts(), gone).queue("area", ONE).completed is None
    assert told(Counts(ended("area", "a", ok=3)), gone).queue("area", ONE).completed == 3


def test_tasks_are_summed_over_all_queues() -> None:
    work = told(
        Counts(ended("x", "a", ok=1, failed=2, expired=9), ended("y", "a", ok=4), ended("x", "b", ok=1)), worker("x")
    )
    assert work.tasks({"a", "idle"}, NOW) == {"a": TaskReading(7, 5), "idle": TaskReading(0, 0)}


def test_while_no_worker_tells_anything_no_task_is_known_to_have_ended_well_or_not() -> None:
    assert told(Counts()).tasks({"a"}, NOW) == {}


def test_a_window_is_told_once_all_of_it_is_known() -> None:
    counts = Counts(ended("x", "a", ok=1), known=False)
    work = told(counts)
    assert work.counts_of(60_000, NOW) is None
    counts.known = True
    assert work.counts_of(60_000, NOW) == [ended("x", "a", ok=1)]


class Buckets(Counts):
    """What ended in buckets of ten seconds, by how many runs ended in each, from the instant 0 on."""

    def __init__(self, *ended_in: int) -> None:
        super().__init__()
        self.ended_in = ended_in

    def counts(self, window_ms: int, now_ms: int) -> list[WorkCount]:
        ok = sum(self.ended_in[(now_ms - window_ms) // 10_000 : now_ms // 10_000 + 1])
        return [ended("area", "a", ok=ok)] if ok else []

    def span_ms(self, window_ms: int, now_ms: int) -> int:
        return now_ms - (now_ms - window_ms) // 10_000 * 10_000


@pytest.mark.parametrize(
    ("ended_in", "at", "completed", "over_ms"),
    [
        # Nobody from 60 s to 90 s; seen last at 85 s.
        ([5] * 6 + [0] * 3 + [7] * 9, 95_000, 7, 10_000),
        ([5] * 6 + [0] * 3 + [7] * 9, 105_000, 14, 20_000),
        ([5] * 6 + [0] * 3 + [7] * 9, 144_999, 42, 59_999),
        ([5] * 6 + [0] * 3 + [7] * 9, 145_000, 42, 65_000),
        ([5] * 6 + [0] * 3 + [7] * 9, 155_000, 49, 65_000),
        # What has just come back has had no time to complete anything.
        ([5] * 6 + [0] * 12, 114_999, None, 29_999),
        ([5] * 6 + [0] * 12, 115_000, 0, 30_000),
    ],
)
def test_the_pace_of_workers_that_came_back_is_of_the_time_since_then(
    ended_in: list[int], at: int, completed: int | None, over_ms: int
) -> None:
    heartbeats = Heartbeats(worker("area", "other"))
    work = Work(Buckets(*ended_in), heartbeats)

    def asked(now: int) -> QueueReading:
        pipe = Echo()
        work.ask(pipe, now)
        work.take(pipe.answers, now)
        return work.queue("area", ONE)

    assert asked(62_000).completed == 30
    heartbeats.workers = [worker("other", left=["area"])]
    for now in (75_000, 85_000):
        assert asked(now).consumers == 0
    heartbeats.workers = [worker("area", "other")]
    reading = asked(at)
    assert (reading.completed, reading.over_ms) == (completed, over_ms)
    assert work.queue("other", ONE).over_ms > 60_000
