"""In which order workers of the laboratory take messages: queues in turn or by priority, and priorities of messages."""

from typing import Any

import simpy

from packages.scheduling.model import Criticality
from packages.scheduling.simulation.broker import Broker
from packages.scheduling.simulation.message import Message
from packages.scheduling.simulation.probe import Probe
from packages.scheduling.simulation.scenario import (
    JobGroup,
    QueueOrder,
    Scenario,
    ServiceTime,
    Stopped,
)
from tests.scheduling.simulation.platforms import HOUR, MINUTE, SECOND, a_group, a_scenario, a_worker, began, fixed


def two_queues(first: JobGroup, second: JobGroup, *, order: QueueOrder = QueueOrder.ROUND_ROBIN) -> Scenario:
    return a_scenario(
        first,
        second,
        objectives_ms={"area": MINUTE, "other": MINUTE},
        workers=(a_worker(queues=("area", "other"), order=order),),
        length_ms=2 * MINUTE,
    )


def test_queues_take_turns() -> None:
    outcome = fixed(two_queues(a_group("a", count=4), a_group("b", count=4, queue="other")))
    assert [message.job for message in began(outcome)][:8] == ["a.1", "b.1", "a.2", "b.2", "a.3", "b.3", "a.4", "b.4"]


def test_what_is_dropped_is_a_turn() -> None:
    """As a real worker did: one process, the queues b, a and c, and four messages that had expired at the head of c."""
    groups = (
        a_group("a", count=4, every_ms=HOUR, queue="a"),
        a_group("b", count=4, every_ms=HOUR, queue="b"),
        a_group("c.old", count=4, every_ms=HOUR, queue="c", expires_ms=1),
        a_group("d", count=3, every_ms=HOUR, queue="c"),
    )
    scenario = a_scenario(
        *groups,
        objectives_ms=dict.fromkeys("bac", MINUTE),
        workers=(a_worker(queues=("b", "a", "c")),),
        events=(Stopped(0, "worker", SECOND),),
    )
    jobs = [message.job for message in began(fixed(scenario))]
    assert jobs == ["b.1", "a.1", "b.2", "a.2", "b.3", "a.3", "b.4", "a.4", "d.1", "d.2", "d.3"]


def test_by_priority_the_first_queue_goes_first() -> None:
    scenario = two_queues(a_group("b", count=4), a_group("a", count=4, queue="other"), order=QueueOrder.PRIORITY)
    # The worker had waited for the first message.
    first, *others = [message.job for message in began(fixed(scenario))][:8]
    assert first == "a.1"
    assert others == ["b.1", "b.2", "b.3", "b.4", "a.2", "a.3", "a.4"]


def urgent_and_not(*, message_priorities: bool = True, order: QueueOrder = QueueOrder.ROUND_ROBIN) -> str:
    """The jobs in the order of their runs: of each criticality one on two queues, published by their numbers.

    Those of `area` are 0 (sheddable) to 3 (critical_plus), those of `other` 5 to 8.
    """
    groups = [
        a_group(f"{first + number}", every_ms=HOUR, queue=queue, criticality=criticality)
        for first, queue in ((0, "area"), (5, "other"))
        for number, criticality in enumerate(reversed(Criticality))
    ]
    scenario = a_scenario(
        *groups,
        objectives_ms={"area": MINUTE, "other": MINUTE},
        workers=(a_worker(queues=("area", "other"), order=order),),
        # All of them are there when it begins.
        events=(Stopped(0, "worker", SECOND),),
        length_ms=2 * MINUTE,
        message_priorities=message_priorities,
    )
    return " ".join(message.job.removesuffix(".1") for message in began(fixed(scenario)))


def test_what_is_critical_goes_first_whatever_its_queue() -> None:
    assert urgent_and_not() == "2 7 3 8 1 6 0 5"


def test_within_one_priority_the_first_queue_goes_first_if_its_worker_says_so() -> None:
    assert urgent_and_not(order=QueueOrder.PRIORITY) == "2 3 7 8 1 6 0 5"


def test_without_priorities_each_queue_is_as_it_was_filled() -> None:
    assert urgent_and_not(message_priorities=False) == "0 5 1 6 2 7 3 8"
    assert urgent_and_not(message_priorities=False, order=QueueOrder.PRIORITY) == "0 1 2 3 5 6 7 8"


def test_what_is_given_back_goes_before_its_equals_and_not_before_what_is_more_urgent() -> None:
    scenario = a_scenario(
        a_group("held", count=2, service=ServiceTime(40 * SECOND), every_ms=HOUR),
        a_group("urgent", criticality=Criticality.CRITICAL, every_ms=HOUR, jitter_ms=40 * SECOND),
        events=(Stopped(30 * SECOND, "worker", 30 * SECOND),),
    )
    # The first run of held.1 was killed.
    assert [message.job for message in began(fixed(scenario))] == ["urgent.1", "held.1", "held.2"]


def test_what_waits_in_a_queue_is_counted_and_is_as_old_as_the_oldest_of_any_priority() -> None:
    env = simpy.Environment(initial_time=MINUTE)
    broker = Broker(env, ["area", "other"])
    probe = Probe(broker, [], ["area", "other"])
    for published_at, priority in ((50, 0), (20, 6), (30, 3), (10, 6)):
        broker.push(Message("a", "a.a", "area", Criticality.CRITICAL, 0, 0, published_at, None, priority))
    area, other = (probe.read(MINUTE).queues[queue].value for queue in ("area", "other"))
    # As on a live broker the heads are looked at: what a clock that was set back left behind one is not.
    assert (area.ready, area.oldest_ms) == (4, MINUTE - 20)
    assert (other.ready, other.oldest_ms) == (0, None)
    taken: list[Any] = [broker.next_for(["other", "area"]).value for _ in range(4)]
    assert [message.priority for message in taken] == [0, 3, 6, 6]
    assert (broker.length("area"), broker.ready, broker.peak, broker.peaks["area"]) == (0, 0, 4, 4)
