"""A backfill while its job is held back: it goes slower or stands still, and nothing of it is lost."""

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.infra.beat.stored_values import state_of, state_text
from packages.scheduling.control.controllers import NEUTRAL, Controllers, QueueControl
from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.engine import Engine
from packages.scheduling.instants import HOUR_MS, SECOND_MS
from packages.scheduling.model import Criticality
from packages.scheduling.policies import CatchUp, OverlapMode, Policies
from packages.scheduling.requests import BackfillRequest
from packages.scheduling.snapshot import Pause, PauseScope, Reading, Run, Snapshot
from packages.scheduling.windows import parse_windows
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job

if TYPE_CHECKING:
    from collections.abc import Mapping

SHEDDABLE = Criticality.SHEDDABLE
DAY_MS = 24 * HOUR_MS
PACE_MS = 30 * SECOND_MS
BEGUN = MIDNIGHT + DAY_MS
# A fire may wait for an hour.
POLICIES = Policies(catch_up=CatchUp(window_ms=HOUR_MS))


def let_through(rate: int) -> Snapshot:
    rates = {SHEDDABLE: rate, Criticality.CRITICAL: rate}
    return Snapshot(BEGUN, controllers=Controllers(queues={"area": QueueControl(rates=rates, since=BEGUN)}))


FREE = Snapshot(BEGUN, controllers=NEUTRAL)


class World:
    """A job, and a backfill of so many of its last fires, which begins now."""

    def __init__(
        self, fires: int, policies: Policies = POLICIES, *, criticality: Criticality = SHEDDABLE, every: int = HOUR_MS
    ) -> None:
        self.job = a_job(every=every, criticality=criticality, policies=policies)
        self.engine = Engine()
        self.engine.add(self.job, None, BEGUN)
        start = BEGUN - fires * every
        request = BackfillRequest("b", self.job.name, start, BEGUN - 1, PACE_MS, BEGUN)
        self.engine.take([request], BEGUN)
        self.named = [start + number * every for number in range(fires)]
        self.made: list[Decision] = []
        self.most_open = 0

    def until(self, end: int, snapshot: Snapshot) -> "World":
        """Tick at every wake-up before `end`."""
        engine, name = self.engine, self.job.name
        while (now := engine.next_wake()) is not None and now < end:
            tick = engine.tick(snapshot._replace(taken_at=now), now)
            assert not tick.failures
            self.made += [decision for decision in tick.decisions if decision.origin == "backfill:b"]
            self.most_open = max(self.most_open, len(engine.state(name).open))
        assert state_of(state_text(engine.state(name))) == engine.state(name)
        return self

    @property
    def out(self) -> list[Decision]:
        return [decision for decision in self.made if decision.verdict is Verdict.FIRE]

    @property
    def skipped(self) -> list[Decision]:
        return [decision for decision in self.made if decision.verdict is Verdict.SKIP]


@pytest.mark.parametrize("criticality", [SHEDDABLE, Criticality.CRITICAL])
def test_a_throttle_makes_it_slower_and_nothing_of_it_is_lost(criticality: Criticality) -> None:
    world = World(20, criticality=criticality).until(BEGUN + 20 * 4 * PACE_MS, let_through(ONE // 4))
    assert [decision.nominal for decision in world.out] == world.named
    assert world.skipped == []
    # Every fourth turn, and the first one waits for its own.
    assert [(each.at - BEGUN) // PACE_MS for each in world.out] == [3 + 4 * number for number in range(20)]
    assert {each.reason for each in world.made} == {Reason.REQUESTED, Reason.THROTTLED}


@given(st.integers(ONE // 20, ONE - 1))
@settings(max_examples=30, deadline=None)
def test_the_share_of_its_pace_goes_out(rate: int) -> None:
    turns = 200
    world = World(turns).until(BEGUN + turns * PACE_MS, let_through(rate))
    assert abs(len(world.out) - rate * turns // ONE) <= 1
    assert [decision.nominal for decision in world.out] == world.named[: len(world.out)]


def test_while_nothing_is_let_through_it_stands_still_and_then_goes_on_at_its_pace() -> None:
    world = World(10).until(BEGUN + 3 * DAY_MS, let_through(0))
    assert world.out == world.skipped == []
    # What is owed to the schedule waits, and no heap of fires.
    assert world.most_open <= 2
    # Where nothing is let through asking at the pace would only fill the record.
    assert len(world.made) < 3 * DAY_MS // (2 * MINUTE)
    free_at = BEGUN + 3 * DAY_MS
    world.until(free_at + HOUR_MS, FREE)
    assert [decision.nominal for decision in world.out] == world.named
    assert world.skipped == []
    pauses = {after.at - before.at for before, after in pairwise(world.out)}
    assert pauses == {PACE_MS}


def test_outside_of_its_windows_it_stands_still_too() -> None:
    # For longer than a fire may wait.
    windows = Policies(catch_up=CatchUp(window_ms=HOUR_MS), windows=parse_windows("20:00-20:02"))
    world = World(6, windows).until(BEGUN + 3 * DAY_MS, FREE)
    assert [decision.nominal for decision in world.out] == world.named
    assert world.skipped == []
    minute_of = [(each.at - BEGUN) // 30_000 for each in world.out]
    first = 20 * 120
    assert minute_of == [first, first + 1, first + 2, first + 3, first + 24 * 120, first + 24 * 120 + 1]
    assert world.most_open <= 1


def test_it_waits_for_an_earlier_run_where_the_schedule_does() -> None:
    policies = Policies(catch_up=CatchUp(window_ms=HOUR_MS), overlap=OverlapMode.BUFFER_ONE)
    running: Reading[Mapping[str, tuple[Run, ...]]] = Reading(
        {"area.job": (Run("id", BEGUN, BEGUN + 2 * HOUR_MS),)}, BEGUN
    )
    world = World(3, policies, every=DAY_MS).until(BEGUN + 3 * HOUR_MS, FREE._replace(running=running))
    assert [decision.nominal for decision in world.out] == world.named
    assert world.out[0].at == BEGUN + 2 * HOUR_MS
    assert world.skipped == []


def test_what_a_pause_skips_is_skipped_and_says_so() -> None:
    pauses: Reading[tuple[Pause, ...]] = Reading((Pause(PauseScope.ALL, "", BEGUN, None, "for now"),), BEGUN)
    world = World(3).until(BEGUN + HOUR_MS, FREE._replace(pauses=pauses))
    assert [(each.nominal, each.reason) for each in world.skipped] == [(each, Reason.PAUSED) for each in world.named]


def test_a_fire_of_it_that_could_not_be_published_has_had_its_turn() -> None:
    world = World(2, every=DAY_MS)
    (fire,) = world.engine.tick(FREE, BEGUN).fires
    world.engine.publish_failed(fire, BEGUN)
    world.until(BEGUN + HOUR_MS, let_through(0))
    assert [(each.nominal, each.reason) for each in world.out] == [(world.named[0], Reason.REQUESTED)]
    world.until(BEGUN + 2 * HOUR_MS, FREE)
    assert [each.nominal for each in world.out] == world.named


def test_it_and_the_schedule_do_not_take_each_others_turns() -> None:
    world = World(100, every=PACE_MS)
    end = BEGUN + 200 * PACE_MS
    scheduled = 0
    while (now := world.engine.next_wake()) is not None and now <= end:
        tick = world.engine.tick(let_through(ONE // 2)._replace(taken_at=now), now)
        world.made += [decision for decision in tick.decisions if decision.origin == "backfill:b"]
        scheduled += sum(fire.decision.origin == "schedule" for fire in tick.fires)
    assert abs(scheduled - 100) <= 1
    assert abs(len(world.out) - 100) <= 1
