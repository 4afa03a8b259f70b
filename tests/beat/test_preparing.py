"""Which jobs are prepared when: each once, shortly before it is due."""

from dataclasses import dataclass, field

import pytest

from packages.infra.beat.messages.message import MakerAwayError
from packages.infra.beat.preparing import AHEAD_MS, Preparing
from packages.scheduling.engine import Engine
from packages.scheduling.instants import MINUTE_MS, SECOND_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.triggers.interval import IntervalTrigger

NOW = 1_767_614_400_000
AHEAD_S = AHEAD_MS // SECOND_MS


@dataclass
class World:
    """Jobs of every minute, and what was prepared."""

    engine: Engine = field(default_factory=Engine)
    found: list[str] = field(default_factory=list)
    # What is in the way of one, by its name.
    broken: dict[str, Exception] = field(default_factory=dict)
    # How long one takes, and what the clock says.
    takes_s: float = 0.0001
    monotonic_s: float = 50.0

    def __post_init__(self) -> None:
        self.preparing = Preparing(self.engine, self.prepare, monotonic_s=lambda: self.monotonic_s)

    def prepare(self, name: str, now: int) -> None:
        assert now > 0
        self.monotonic_s += self.takes_s
        self.found.append(name)
        if name in self.broken:
            raise self.broken[name]

    def add(self, name: str, *, due_in_s: int, now: int = NOW) -> None:
        trigger = IntervalTrigger(MINUTE_MS, (NOW + due_in_s * SECOND_MS) % MINUTE_MS)
        self.engine.add(Job(name, "area.job", trigger, "area", Criticality.CRITICAL), None, now)

    def prepared(self, *, after_s: float) -> list[str]:
        """What is prepared then."""
        self.found.clear()
        now = NOW + round(after_s * SECOND_MS)
        while self.preparing.run(now):
            pass
        self.engine.tick(Snapshot(taken_at=now), now)
        return sorted(self.found)


@pytest.fixture
def world() -> World:
    return World()


def test_each_job_is_prepared_once_before_it_is_due(world: World) -> None:
    world.add("soon", due_in_s=3)
    world.add("later", due_in_s=AHEAD_S + 3)
    assert world.prepared(after_s=0) == ["soon"]
    assert world.prepared(after_s=0.5) == []
    assert [world.prepared(after_s=second) for second in (1, 2, 3)] == [[], [], ["later"]]
    assert [world.prepared(after_s=second) for second in range(4, 50)] == [[]] * 46
    assert [world.prepared(after_s=second) for second in range(50, 64)] == [[]] * 3 + [["soon"]] + [[]] * 9 + [
        ["later"]
    ]


def test_what_is_overdue_is_not_prepared(world: World) -> None:
    world.add("late", due_in_s=3)
    assert world.prepared(after_s=5) == []


def test_many_are_prepared_in_parts(world: World) -> None:
    names = [f"job {number:04}" for number in range(1_200)]
    for name in names:
        world.add(name, due_in_s=3)
    assert world.preparing.run(NOW)
    # One takes a tenth of a millisecond, and a part two milliseconds.
    assert 19 <= len(world.found) <= 21
    world.takes_s = 1.0
    assert world.preparing.run(NOW)
    assert 20 <= len(world.found) <= 22
    world.takes_s = 0.0
    while world.preparing.run(NOW):
        pass
    assert sorted(world.found) == names


def test_one_that_cannot_be_prepared_stops_no_other() -> None:
    world = World(broken={"job 1": ValueError("not this one")})
    for number in range(3):
        world.add(f"job {number}", due_in_s=3)
    assert world.prepared(after_s=0) == ["job 0", "job 1", "job 2"]


def test_a_broker_that_is_away_is_asked_once() -> None:
    world = World(broken={f"job {number}": MakerAwayError() for number in range(3)})
    for number in range(3):
        world.add(f"job {number}", due_in_s=9)
    assert len(world.prepared(after_s=0)) == 1
    assert [world.prepared(after_s=second) for second in (1, 2, 3)] == [[], [], []]


def test_a_clock_that_was_set_back(world: World) -> None:
    world.add("job", due_in_s=3)
    assert world.prepared(after_s=0) == ["job"]
    assert world.prepared(after_s=4) == []
    world.engine.clock_set_back(NOW - MINUTE_MS)
    assert world.prepared(after_s=-60) == ["job"]
