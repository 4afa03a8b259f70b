"""What is let through of each kind of fire, as the gates say it."""

from typing import Any

import pytest

from packages.scheduling.control.controllers import Controllers, LevelControl, QueueControl, TargetControl
from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import Reason
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Pin, Snapshot
from packages.scheduling.throttles import FailingTask, Throttle, failing_tasks, throttles, throttles_of
from packages.scheduling.triggers.interval import IntervalTrigger

NOW = 1_000_000
SHEDDABLE, CRITICAL = Criticality.SHEDDABLE, Criticality.CRITICAL
KINDS = [("q", each) for each in Criticality] + [("r", SHEDDABLE)]


def found(**given: Any) -> dict[tuple[str, Criticality], Throttle]:  # noqa: ANN401  # fields of a snapshot
    return {(each.queue, each.criticality): each for each in throttles(Snapshot(taken_at=NOW, **given), KINDS, NOW)}


def backlog(**control: Any) -> Controllers:  # noqa: ANN401  # fields of a queue's control
    return Controllers(queues={"q": QueueControl(since=7, **control)})


def test_nothing_is_throttled_by_nothing() -> None:
    assert found() == found(controllers=backlog()) == {}


@pytest.mark.parametrize("rate", [0, 1, ONE // 2, ONE - 1])
def test_a_rate_is_told_as_it_is(rate: int) -> None:
    told = found(controllers=backlog(rates={SHEDDABLE: rate}))
    assert told == {("q", SHEDDABLE): Throttle("q", SHEDDABLE, rate, Reason.THROTTLED, 7)}


def test_a_queue_that_nobody_serves_stops_what_is_not_critical() -> None:
    told = found(controllers=backlog(unserved_since=8))
    assert {(each.criticality, each.rate, each.reason, each.since) for each in told.values()} == {
        (SHEDDABLE, 0, Reason.NO_CONSUMER, 8),
        (Criticality.SHEDDABLE_PLUS, 0, Reason.NO_CONSUMER, 8),
    }


def test_of_two_the_one_that_lets_least_through_is_told() -> None:
    levels = {"fast": LevelControl(1, 5), "good": LevelControl(2, 6, sheds=frozenset({"q"}))}
    told = found(controllers=backlog(rates={SHEDDABLE: 300_000})._replace(levels=levels))
    worst = told["q", SHEDDABLE]
    assert (worst.rate, worst.reason, worst.objective, worst.level, worst.since) == (
        0,
        Reason.OBJECTIVE_BURNING,
        "good",
        2,
        6,
    )
    assert (told["r", SHEDDABLE].rate, told["r", SHEDDABLE].objective) == (ONE // 2, "fast")


def test_a_pin_stands_above_all_also_where_it_lets_everything_through() -> None:
    pin = Pin("q", SHEDDABLE, ONE, 9, None, "a test")
    told = found(controllers=backlog(rates={SHEDDABLE: 0, CRITICAL: 400_000}), pins={("q", SHEDDABLE): pin})
    assert told["q", SHEDDABLE] == Throttle("q", SHEDDABLE, ONE, Reason.PINNED, 9, note="a test")
    assert told["q", CRITICAL].rate == 400_000
    ended = pin._replace(until=NOW)
    assert found(pins={("q", SHEDDABLE): ended}) == {}


def test_what_is_only_observed_is_told_to_be_so_and_what_is_off_is_not_told() -> None:
    controllers = backlog(rates={SHEDDABLE: 0})._replace(levels={"fast": LevelControl(1, 5)})
    told = found(controllers=controllers, gate_modes={"backlog": GateMode.OBSERVE})
    assert (told["q", SHEDDABLE].observed, told["q", SHEDDABLE].rate) == (False, ONE // 2)
    off = found(controllers=controllers, gate_modes={"backlog": GateMode.OBSERVE, "slo": GateMode.OFF})
    assert (off["q", SHEDDABLE].observed, off["q", SHEDDABLE].rate) == (True, 0)


@pytest.mark.parametrize(("mode", "observed"), [(GateMode.OBSERVE, True), (GateMode.OFF, None)])
def test_a_pin_that_is_not_enforced_leaves_the_rest_as_it_is(mode: GateMode, observed: bool | None) -> None:  # noqa: FBT001  # a column
    pins = {("q", None): Pin("q", None, 0, 9, None, "")}
    throttled = found(controllers=backlog(rates={SHEDDABLE: ONE // 2}), pins=pins, gate_modes={"pin": mode})
    assert (throttled["q", SHEDDABLE].reason, throttled["q", SHEDDABLE].observed) == (Reason.THROTTLED, False)
    alone = throttled.get(("q", CRITICAL))
    assert (None if alone is None else alone.observed) is observed
    assert ("q", Criticality.CRITICAL_PLUS) not in throttled


def test_of_real_jobs_their_own_period_and_lifetime_count() -> None:
    def job(name: str, criticality: Criticality, period_ms: int, expires_ms: int | None) -> Job:
        return Job(name, name, IntervalTrigger(period_ms), "q", criticality, expires_ms)

    jobs = [
        job("daily", CRITICAL, 86_400_000, 72_000_000),
        job("often", CRITICAL, 60_000, 120_000),
        job("for_ever", CRITICAL, 60_000, None),
        job("export", SHEDDABLE, 60_000, 120_000),
        job("orders", Criticality.CRITICAL_PLUS, 60_000, 120_000),
    ]
    told = throttles_of(Snapshot(taken_at=NOW, controllers=backlog(unserved_since=8)), jobs, NOW)
    assert told == [
        Throttle("q", SHEDDABLE, 0, Reason.NO_CONSUMER, 8),
        Throttle("q", CRITICAL, ONE // 2, Reason.NO_CONSUMER, 8),
    ]
    assert throttles_of(Snapshot(taken_at=NOW), jobs, NOW) == []


def test_of_real_jobs_all_other_throttles_are_those_of_their_kinds() -> None:
    jobs = [Job(str(each), "", IntervalTrigger(1_000), "q", each) for each in Criticality]
    snapshot = Snapshot(
        taken_at=NOW,
        controllers=backlog(rates={SHEDDABLE: 0, CRITICAL: 400_000})._replace(levels={"fast": LevelControl(2, 5)}),
        pins={("q", CRITICAL): Pin("q", CRITICAL, ONE, 9, None, "a test")},
    )
    by_kind = throttles(snapshot, [("q", each) for each in reversed(Criticality)], NOW)
    assert throttles_of(snapshot, jobs, NOW) == by_kind
    assert len(by_kind) == 3


@pytest.mark.parametrize(
    ("mode", "observed"), [(GateMode.ENFORCE, [False]), (GateMode.OBSERVE, [True]), (GateMode.OFF, [])]
)
def test_a_task_that_fails_is_told_by_the_mode_of_its_gate(mode: GateMode, observed: list[bool]) -> None:
    controllers = Controllers(targets={"theirs": TargetControl(200_000, 7)})
    snapshot = Snapshot(NOW, controllers=controllers, gate_modes={"failing_target": mode})
    assert failing_tasks(snapshot, [], NOW) == [FailingTask("theirs", 200_000, 7, each, None) for each in observed]
    jobs = [Job(each.value, "theirs", IntervalTrigger(1_000), "q", each) for each in Criticality]
    held = ("q", SHEDDABLE), ("q", Criticality.SHEDDABLE_PLUS)
    assert [each.kinds for each in failing_tasks(snapshot, jobs, NOW)] == [held for _ in observed]
