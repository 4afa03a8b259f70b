"""Thresholds that contradict each other are refused, by name."""

from typing import Any

import pytest

from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.control.policy import BacklogPolicy, ControlPolicy, SloPolicy, TargetPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.control.step import modes_of
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode, PolicyError

LEAST = {Criticality.SHEDDABLE: 0, Criticality.SHEDDABLE_PLUS: 0, Criticality.CRITICAL: ONE}


@pytest.mark.parametrize(
    ("kind", "given", "named"),
    [
        (BacklogPolicy, {"target_ms": 60_000}, "target of every queue, 60000 ms"),
        (BacklogPolicy, {"target_ms": 0}, "target of every queue"),
        (BacklogPolicy, {"targets_ms": {"area": 90_000}}, "target of area, 90000 ms"),
        (BacklogPolicy, {"again_ms": 61_000}, "within the interval"),
        (BacklogPolicy, {"drained_ms": 0}, "more than 0 ms"),
        (BacklogPolicy, {"decrease": 0}, "between 0 and 1"),
        (BacklogPolicy, {"decrease": ONE}, "between 0 and 1"),
        (BacklogPolicy, {"increase": 0}, "between 0 and 1"),
        (BacklogPolicy, {"most_decrease": 20_000}, "`decrease` the least"),
        (BacklogPolicy, {"most_decrease": ONE}, "between 0 and 1"),
        (BacklogPolicy, {"calm": ONE + 1}, "calm is a share"),
        (BacklogPolicy, {"grave": 0}, "at least one target"),
        (BacklogPolicy, {"most_doubled": 11}, "0 to 10 times"),
        (BacklogPolicy, {"least_rates": {**LEAST, Criticality.CRITICAL: 0}}, "critical work must be above 0"),
        (BacklogPolicy, {"least_rates": {**LEAST, Criticality.SHEDDABLE: -1}}, "shares from 0 to 1"),
        (BacklogPolicy, {"least_rates": {**LEAST, Criticality.CRITICAL_PLUS: ONE}}, "shares from 0 to 1"),
        (BacklogPolicy, {"least_rates": {Criticality.CRITICAL: ONE}}, "sheddable, sheddable_plus and critical"),
        (SloPolicy, {"dwell_ms": 0}, "dwell"),
        (SloPolicy, {"least_events": 0}, "events"),
        (SloPolicy, {"burns": (0, ONE, ONE)}, "above zero"),
        (SloPolicy, {"burns": (ONE, 3 * ONE, 2 * ONE)}, "below that of the level before"),
        (TargetPolicy, {"succeeding": 0}, "between 0 and 1"),
        (TargetPolicy, {"most_shed": ONE}, "between 0 and 1"),
        (TargetPolicy, {"least_runs": 0}, "runs"),
        (ControlPolicy, {"interval_ms": 61_000}, "control interval, 61000 ms"),
        (ControlPolicy, {"stale_ms": 1_000}, "stale"),
        (Objective, {"name": "o", "measure": Measure.SUCCESS, "goal": ONE, "task": "a.b"}, "objective o: the goal"),
        (Objective, {"name": "o", "measure": Measure.SUCCESS, "goal": 990_000}, "one task or one queue"),
        (Objective, {"name": "o", "measure": Measure.RUN_TIME, "goal": 990_000, "task": "a.b"}, "within"),
        (Objective, {"name": "o", "measure": Measure.EXTERNAL, "goal": 990_000}, "both queries"),
    ],
)
def test_what_contradicts_itself_is_refused(kind: type[Any], given: dict[str, Any], named: str) -> None:
    with pytest.raises(PolicyError, match=named):
        kind(**given)


def test_the_defaults_agree_with_each_other() -> None:
    assert modes_of(ControlPolicy(), {}) == dict.fromkeys(("backlog", "slo", "failing_target"), "enforce")


def test_the_modes_of_the_control_are_those_of_its_gates_under_the_word_of_an_operator() -> None:
    policy = ControlPolicy(slo=SloPolicy(mode=GateMode.OBSERVE), target=TargetPolicy(mode=GateMode.OFF))
    said = {"slo": GateMode.ENFORCE, "windows": GateMode.OFF}
    assert modes_of(policy, said) == {"backlog": "enforce", "slo": "enforce", "failing_target": "off"}
