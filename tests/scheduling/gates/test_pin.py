"""An operator's pin: it holds whatever the control thinks, and names what it is."""

from collections.abc import Mapping
from typing import Any

import pytest

from packages.scheduling.candidate import Candidate
from packages.scheduling.control.controllers import Controllers, LevelControl, QueueControl, TargetControl
from packages.scheduling.control.shares import ONE
from packages.scheduling.decide import GATES, decide
from packages.scheduling.decision import SCHEDULE, Decision, Reason, Verdict
from packages.scheduling.gates import backlog, failing_target, pause, pin, slo
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Exemption, Pin, Snapshot
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job

CRITICAL_PLUS, SHEDDABLE = Criticality.CRITICAL_PLUS, Criticality.SHEDDABLE
UNTIL = MIDNIGHT + 10 * MINUTE
STOPPED = Controllers(
    queues={"area": QueueControl(rates={SHEDDABLE: 0}, since=MIDNIGHT)},
    levels={"api": LevelControl(3, MIDNIGHT)},
    targets={"area.job": TargetControl(0, MIDNIGHT)},
)


def pinned(rate: int, criticality: Criticality | None = None, *, until: int | None = None, note: str = "") -> Snapshot:
    key = "area", criticality
    return Snapshot(MIDNIGHT, pins={key: Pin(*key, rate, since=MIDNIGHT - MINUTE, until=until, note=note)})


def decided(
    snapshot: Snapshot, criticality: Criticality = SHEDDABLE, modes: Mapping[str, GateMode] | None = None
) -> Decision:
    at = MIDNIGHT
    candidate = Candidate(a_job(criticality=criticality), at, at, SCHEDULE, at, credit=0)
    return decide(candidate, snapshot._replace(gate_modes=modes or {}))


def test_it_comes_right_behind_the_other_word_of_an_operator() -> None:
    assert GATES[:2] == (pause, pin)


@pytest.mark.parametrize("mode", GateMode)
def test_it_holds_whatever_the_other_gates_are_set_to(mode: GateMode) -> None:
    modes = dict.fromkeys((backlog.NAME, slo.NAME, failing_target.NAME), mode)
    held = decided(pinned(0)._replace(controllers=STOPPED), modes=modes)
    assert (held.verdict, held.reason) == (Verdict.DEFER, Reason.PINNED)
    assert [opinion.gate for opinion in held.opinions] == [pin.NAME]
    assert decided(pinned(ONE)._replace(controllers=STOPPED), modes=modes).opinions == ()


@pytest.mark.parametrize(
    ("mode", "verdict", "first"),
    [(GateMode.OFF, Verdict.DEFER, []), (GateMode.OBSERVE, Verdict.DEFER, [pin.NAME])],
)
def test_where_it_is_not_enforced_the_others_go_on(mode: GateMode, verdict: Verdict, first: list[str]) -> None:
    alone = decided(pinned(0), modes={pin.NAME: mode})
    assert (alone.verdict, [opinion.gate for opinion in alone.opinions]) == (Verdict.FIRE, first)
    throttled = decided(pinned(0)._replace(controllers=STOPPED), modes={pin.NAME: mode})
    assert throttled.verdict is verdict
    assert {opinion.gate for opinion in throttled.opinions} - {pin.NAME} == {"backlog", "slo", "failing_target"}


@pytest.mark.parametrize(
    ("snapshot", "facts"),
    [
        (pinned(0), {"queue": "area", "since": MIDNIGHT - MINUTE}),
        (
            pinned(250_000, SHEDDABLE, until=UNTIL, note="a release"),
            {
                "queue": "area",
                "criticality": "sheddable",
                "since": MIDNIGHT - MINUTE,
                "until": UNTIL,
                "note": "a release",
            },
        ),
    ],
)
def test_its_facts_say_what_is_pinned_since_when_and_until(snapshot: Snapshot, facts: dict[str, Any]) -> None:
    [opinion] = decided(snapshot).opinions
    told = dict(opinion.facts)
    assert {name: told[name] for name in told if name not in {"rate", "credit"}} == facts


def test_an_exempt_job_goes_before_it() -> None:
    exempt = {"area.job": Exemption("area.job", MIDNIGHT, until=None, note="")}
    for snapshot in (pinned(0), pinned(0, SHEDDABLE)):
        assert decided(snapshot._replace(exempt=exempt, controllers=STOPPED)).opinions == ()


def test_what_is_critical_plus_is_held_only_by_one_that_names_it() -> None:
    assert decided(pinned(0), CRITICAL_PLUS).opinions == ()
    held = decided(pinned(0, CRITICAL_PLUS), CRITICAL_PLUS)
    assert (held.verdict, held.reason) == (Verdict.DEFER, Reason.PINNED)
