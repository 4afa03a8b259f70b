"""The engine under objectives that burn and tasks that fail: who makes room, for how long, and back to all."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import pytest

from packages.scheduling.control.burn import WINDOWS_MS
from packages.scheduling.control.controllers import Controllers, TargetControl
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.control.policy import ControlPolicy, SloPolicy, TargetPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.engine import Engine
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode
from packages.scheduling.readings import ObjectiveReading, TaskReading, WindowCount
from packages.scheduling.snapshot import Exemption, Pin, Reading, Snapshot
from packages.scheduling.state import JobState
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job

INTERVAL_MS: Final = ControlPolicy().interval_ms
DWELL_MS: Final = MINUTE
OBJECTIVE: Final = Objective("orders", Measure.SUCCESS, 900_000, task="orders.place")
POLICY: Final = ControlPolicy(slo=SloPolicy(objectives=(OBJECTIVE,), dwell_ms=DWELL_MS))
# By how many of 100 events were bad: the budget is ten, so that one burns it eightfold, and none does not.
BURNING, GOOD = 80, 0
FAILING, WELL = TaskReading(100, 0), TaskReading(100, 100)


class Driven:
    """One job of each criticality, every five seconds, and an engine that is ticked once an interval."""

    def __init__(self, policy: ControlPolicy) -> None:
        self.engine = Engine()
        for criticality in Criticality:
            job = a_job(criticality.value, every=5 * SECOND_MS, criticality=criticality)
            self.engine.add(job, JobState(MIDNIGHT, job.trigger.describe()), MIDNIGHT)
        self.engine.use_control(policy)
        self.now = MIDNIGHT
        self.pins: tuple[Pin, ...] = ()
        self.exempt: tuple[str, ...] = ()

    @property
    def controllers(self) -> Controllers:
        return self.engine.controllers

    def ticked(
        self,
        bad: int | None = None,
        tasks: Mapping[str, TaskReading] | None = None,
        modes: Mapping[str, GateMode] | None = None,
    ) -> list[Decision]:
        """The decisions on the fires that are due now, under what is read."""
        self.now += INTERVAL_MS
        objectives = {} if bad is None else {"orders": Reading(burnt(bad), self.now)}
        read = {task: Reading(each, self.now) for task, each in (tasks or {}).items()}
        snapshot = Snapshot(
            self.now,
            gate_modes=modes or {},
            objectives=objectives,
            tasks=read,
            pins={(pin.queue, pin.criticality): pin for pin in self.pins},
            exempt={name: Exemption(name, MIDNIGHT, None, "") for name in self.exempt},
        )
        return [each for each in self.engine.tick(snapshot, self.now).decisions if each.nominal == self.now]


def burnt(bad: int) -> ObjectiveReading:
    return tuple(WindowCount(window_ms, bad, 100) for window_ms in WINDOWS_MS)


def held(decisions: list[Decision], reason: Reason) -> set[Criticality]:
    return {Criticality(each.job) for each in decisions if (each.verdict, each.reason) == (Verdict.DEFER, reason)}


def test_an_objective_that_burns_has_sheddable_work_make_room_and_gives_it_back_a_level_at_a_time() -> None:
    driven = Driven(POLICY)
    assert driven.ticked(GOOD)
    assert not driven.controllers.throttles
    said = driven.ticked(BURNING)
    assert driven.controllers.levels["orders"].level == 2
    assert Criticality.SHEDDABLE in held(said, Reason.OBJECTIVE_BURNING)
    shed = [held(driven.ticked(BURNING), Reason.OBJECTIVE_BURNING) for _ in range(10)]
    assert sum(Criticality.SHEDDABLE in each for each in shed) == 10
    assert sum(Criticality.SHEDDABLE_PLUS in each for each in shed) == 5
    assert not set().union(*shed) & {Criticality.CRITICAL, Criticality.CRITICAL_PLUS}
    levels = []
    while driven.controllers.levels:
        driven.ticked(GOOD)
        levels.append(driven.controllers.levels["orders"].level if driven.controllers.levels else 0)
    assert levels == sorted(levels, reverse=True)
    # As many intervals at each level as a dwell has.
    assert [levels.count(level) for level in (2, 1, 0)] == [DWELL_MS // INTERVAL_MS, DWELL_MS // INTERVAL_MS, 1]
    assert [each.verdict for each in driven.ticked(GOOD)] == [Verdict.FIRE] * 4


def test_a_task_that_fails_is_probed_and_goes_on_when_it_succeeds() -> None:
    driven = Driven(POLICY)
    task = Criticality.SHEDDABLE.value
    shed = [held(driven.ticked(tasks={task: FAILING}), Reason.TARGET_FAILING) for _ in range(20)]
    assert driven.controllers.targets[task].rate == ONE - TargetPolicy().most_shed
    # A fifth of its fires are the probes.
    assert shed.count({Criticality.SHEDDABLE}) == 16
    assert shed.count(set()) == 4
    intervals = 0
    while driven.controllers.targets:
        driven.ticked(tasks={task: WELL})
        intervals += 1
    assert intervals <= 4
    assert [each.verdict for each in driven.ticked()] == [Verdict.FIRE] * 4


ALL_FAIL: Final = {each.value: FAILING for each in Criticality}
HELD: Final = {"sheddable", "sheddable_plus"}


def test_a_task_has_a_rate_only_while_it_has_a_job_that_would_be_held() -> None:
    driven = Driven(POLICY)
    driven.ticked(tasks=ALL_FAIL)
    assert driven.controllers.targets.keys() == HELD
    # As one that another version has left, or of a job that has become critical since.
    left = {**driven.controllers.targets, "critical": TargetControl(850_000, MIDNIGHT)}
    driven.engine.put_controllers(driven.controllers._replace(targets=left))
    driven.ticked()
    assert driven.controllers.targets.keys() == HELD
    # Of both kinds: it has one for those that are held.
    shared = replace(driven.engine.job("sheddable"), name="another", task="critical")
    driven.engine.add(shared, None, driven.now)
    driven.ticked(tasks=ALL_FAIL)
    assert driven.controllers.targets.keys() == {*HELD, "critical"}
    driven.engine.remove("another")
    driven.engine.remove("sheddable")
    driven.ticked(tasks=ALL_FAIL)
    assert driven.controllers.targets.keys() == {"sheddable_plus"}


def a_pin(criticality: Criticality | None, *, until: int | None = None) -> Pin:
    return Pin("area", criticality, ONE, MIDNIGHT, until, "")


def test_a_task_whose_jobs_are_all_pinned_or_exempt_has_none_either() -> None:
    driven = Driven(POLICY)
    driven.pins = (a_pin(Criticality.SHEDDABLE),)
    driven.ticked(tasks=ALL_FAIL)
    assert driven.controllers.targets.keys() == {"sheddable_plus"}
    driven.pins = (a_pin(None),)
    driven.ticked(tasks=ALL_FAIL)
    assert not driven.controllers.targets
    # Suspended, or over.
    driven.ticked(tasks=ALL_FAIL, modes={"pin": GateMode.OBSERVE})
    assert driven.controllers.targets.keys() == HELD
    driven.pins, driven.exempt = (a_pin(None, until=driven.now),), ("sheddable", "of nobody")
    driven.ticked(tasks=ALL_FAIL)
    assert driven.controllers.targets.keys() == {"sheddable_plus"}
    another = replace(driven.engine.job("sheddable"), name="another")
    driven.engine.add(another, None, driven.now)
    driven.ticked(tasks=ALL_FAIL)
    assert driven.controllers.targets.keys() == HELD


@pytest.mark.parametrize("by_operator", [False, True])
def test_nothing_is_learnt_for_a_gate_that_is_off(by_operator: bool) -> None:  # noqa: FBT001  # a column
    modes = dict.fromkeys(("slo", "failing_target"), GateMode.OFF)
    policy = POLICY
    if not by_operator:
        slo = SloPolicy(mode=GateMode.OFF, objectives=(OBJECTIVE,))
        policy = ControlPolicy(slo=slo, target=TargetPolicy(mode=GateMode.OFF))
    driven = Driven(policy)
    for _ in range(5):
        driven.ticked(BURNING, {"sheddable": FAILING}, modes if by_operator else {})
        assert not driven.controllers.levels
        assert not driven.controllers.targets
    # An operator's word goes above the setting.
    driven.ticked(BURNING, {"sheddable": FAILING}, dict.fromkeys(modes, GateMode.OBSERVE))
    assert driven.controllers.levels
    assert driven.controllers.targets
