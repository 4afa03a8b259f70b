"""From beat's entries over the lists of a real broker to a real worker: what is critical goes first."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from celery import signals
from kombu import Connection

from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.infra.control.redis_control import RedisControl
from packages.infra.probes.declared import DeclaredQueues
from packages.infra.probes.waiting import RedisQueues
from packages.infra.queue.broker_redis import open_broker_redis
from packages.infra.queue.entries import beat_entry
from packages.infra.queue.unacknowledged import restore_unacknowledged
from packages.scheduling.instants import HOUR_MS, MINUTE_MS, SECOND_MS, to_instant
from packages.scheduling.message_priority import PRIORITIES
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import CatchUp, CatchUpMode, Policies
from packages.scheduling.requests import TriggerRequest
from packages.scheduling.simulate import simulate
from packages.scheduling.simulation.scenario import JobGroup, Scenario, ServiceTime, Stopped, WorkerSpec
from packages.scheduling.simulation.strategies import Strategy
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.messages.test_full_path import connected, listen
from tests.beat.stepped import Clock, on_clock, settle
from tests.queue.running_app import NOTE, make_app
from tests.queue.test_broker import hold
from tests.queue.test_running_worker import eventually, working

QUEUES = ("maintenance", "market_data")
# Of each job, all of them overdue at once.
FIRES = 3
KINDS = [(queue, criticality) for criticality, queue in product(Criticality, QUEUES)]
# Critical and critical_plus share the list without a suffix.
LISTS = {
    f"{queue}{suffix}": fires
    for queue, (suffix, fires) in product(QUEUES, (("", 2 * FIRES), ("\x06\x163", FIRES), ("\x06\x166", FIRES)))
}
MOMENT = timedelta(seconds=1)
# Not on the grid of the jobs for a while.
BEGINNING = datetime(2026, 1, 5, 12, 5, tzinfo=UTC)


def name_of(queue: str, criticality: Criticality) -> str:
    # The least critical ones are published first, so that it is not the order of publishing that shows.
    return f"{9 - [*Criticality].index(criticality)}-{queue}-{criticality}"


# Each of its runs is tried again once.
AGAIN = name_of(QUEUES[0], Criticality.SHEDDABLE)


class World:
    """Beat with a job of each criticality on two queues; each of them has missed its last fires when it begins."""

    def __init__(self, url: str, directory: Path) -> None:
        self.app = make_app(url)
        self.directory = directory
        self.clock = Clock(BEGINNING)
        self.app.conf.beat_schedule = {name_of(*kind): self.entry(*kind) for kind in KINDS}
        self.scheduler = AdaptiveScheduler(self.app)
        on_clock(self.scheduler, self.clock)
        redis = open_broker_redis(self.app)
        assert redis is not None
        self.redis = redis
        self.client: Any = redis.client

    def entry(self, queue: str, criticality: Criticality) -> dict[str, Any]:
        name = name_of(queue, criticality)
        policies = Policies(catch_up=CatchUp(CatchUpMode.ALL, HOUR_MS, limit=FIRES))
        job = Job(name, NOTE, IntervalTrigger(20 * MINUTE_MS), queue, criticality, policies=policies)
        return {
            **beat_entry(job, priorities=True),
            "args": (name, str(self.directory)),
            "kwargs": {"again": name == AGAIN},
        }

    def publish(self) -> None:
        """All of an hour at its end."""
        settle(self.scheduler)
        for key in LISTS:
            self.client.delete(key)
        self.clock.step(timedelta(hours=1))
        settle(self.scheduler)

    def lengths(self) -> dict[str, int]:
        return {key: self.client.llen(key) for key in LISTS}

    def ran(self) -> list[str]:
        """The jobs in the order of their runs."""
        path = self.directory / "order"
        return path.read_text(encoding="ascii").splitlines() if path.exists() else []


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> Iterator[World]:
    world = World(redis_url, tmp_path)
    yield world
    world.scheduler.close()
    world.redis.close()
    world.app.close()


def ids(world: World, key: str) -> list[str]:
    """Of the messages in a list; the last one is taken next."""
    return [json.loads(message)["headers"]["id"] for message in world.client.lrange(key, 0, -1)]


@pytest.mark.parametrize("by_template", [True, False], ids=["template", "full path"])
def test_each_message_goes_to_the_list_of_its_criticality(world: World, *, by_template: bool) -> None:
    with nullcontext() if by_template else connected(signals.before_task_publish, listen):
        world.publish()
    assert world.lengths() == LISTS


def test_all_lists_of_a_queue_are_counted(world: World, redis_url: str) -> None:
    world.publish()
    with Connection(redis_url) as connection:
        declared = DeclaredQueues(connection)
        assert [declared.ask(queue).ready for queue in QUEUES] == [4 * FIRES] * 2
        declared.close()
    asked = RedisQueues(world.redis)
    with world.redis.client.pipeline(transaction=False) as pipe:
        asked.ask(pipe, QUEUES)
        [answer] = pipe.execute()
    assert {queue: waiting.ready for queue, waiting in asked.take(answer, 0).items()} == dict.fromkeys(
        QUEUES, 4 * FIRES
    )


@pytest.mark.parametrize("count", [1, 4 * FIRES])
def test_what_a_killed_worker_held_goes_back_to_its_list(world: World, redis_url: str, count: int) -> None:
    world.publish()
    before = {key: ids(world, key) for key in LISTS}
    hold(redis_url, QUEUES[0], count)
    assert sum(world.lengths().values()) == 8 * FIRES - count
    with Connection(redis_url) as connection:
        assert restore_unacknowledged(connection, QUEUES) == count
    after = {key: ids(world, key) for key in LISTS}
    assert {key: sorted(found) for key, found in after.items()} == {key: sorted(each) for key, each in before.items()}
    # Of several that go back to one list any may be the first.
    assert count > 1 or after == before


def test_a_list_that_is_none_stops_the_fires_of_that_list_alone(world: World) -> None:
    # kombu declares a queue once, which looks at all its lists.
    world.publish()
    broken = f"{QUEUES[0]}\x06\x166"
    world.client.delete(*LISTS)
    world.client.set(broken, "foreign")
    world.clock.step(timedelta(hours=1))
    settle(world.scheduler)
    assert world.client.getdel(broken) == b"foreign"
    assert Counter(LISTS) - Counter(world.lengths()) == Counter({broken: FIRES})
    world.clock.step(timedelta(minutes=1))
    settle(world.scheduler)
    assert world.lengths() == LISTS


def test_a_fire_by_hand_goes_where_the_others_go(world: World) -> None:
    world.publish()
    operator = RedisControl(world.redis)
    for number, kind in enumerate(KINDS):
        operator.request(TriggerRequest(f"t{number}", name_of(*kind), requested_at=to_instant(world.clock.now)))
    world.clock.step(MOMENT)
    settle(world.scheduler)
    by_hand = {key: fires // FIRES for key, fires in LISTS.items()}
    assert Counter(world.lengths()) - Counter(LISTS) == Counter(by_hand)


def simulated(queues: Sequence[str]) -> list[tuple[str, int]]:
    """The same messages in the laboratory, taken by a worker that begins when all are there."""
    groups = [
        JobGroup(
            name=name_of(queue, criticality),
            count=FIRES,
            task=NOTE,
            queue=queue,
            criticality=criticality,
            service=ServiceTime(SECOND_MS),
            every_ms=HOUR_MS,
        )
        for queue, criticality in KINDS
    ]
    scenario = Scenario(
        name="same",
        title="The same",
        length_ms=MINUTE_MS,
        objectives_ms=dict.fromkeys(queues, MINUTE_MS),
        workers=(WorkerSpec("worker", tuple(queues), processes=1),),
        groups=tuple(groups),
        events=(Stopped(0, "worker", SECOND_MS),),
    )
    messages = simulate(scenario, Strategy.FIXED).record.messages
    taken = sorted(messages, key=lambda message: message.started_at or 0)
    return [(message.queue, message.priority) for message in taken]


def test_one_process_runs_them_in_the_order_of_criticality_and_as_in_the_laboratory(
    world: World, redis_url: str, tmp_path: Path
) -> None:
    world.publish()
    assert world.lengths() == LISTS
    with working(redis_url, tmp_path, "-Q", ",".join(QUEUES), "-c", "1"):
        eventually(lambda: len(world.ran()) == 9 * FIRES, "not all of them run")
    ran = world.ran()
    # What is tried again is behind what waits with its urgency, and not before it.
    assert ran[-FIRES:] == [AGAIN] * FIRES
    taken = [
        (queue, PRIORITIES[Criticality(criticality)])
        for _, queue, criticality in (name.split("-") for name in ran[:-FIRES])
    ]
    assert [priority for _, priority in taken] == sorted(priority for _, priority in taken)
    assert taken == simulated(QUEUES)
