"""The engine under control: an interval at a time, from readings to decisions, and back when it is told to forget."""

from dataclasses import replace

import pytest

from packages.scheduling.control.controllers import NEUTRAL, Controllers, LevelControl, QueueControl, TargetControl
from packages.scheduling.control.groups import Present
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.control.policy import BacklogPolicy, ControlPolicy, SloPolicy, TargetPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.control.step import step
from packages.scheduling.decision import THROTTLED_BY, Reason, Verdict
from packages.scheduling.engine import Engine
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode
from packages.scheduling.readings import QueueReading
from packages.scheduling.snapshot import Reading, Snapshot
from packages.scheduling.state import JobState
from tests.scheduling.control.readings import EMPTY, waiting
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job

INTERVAL_MS = ControlPolicy().interval_ms
FIRST_CUT = ONE - BacklogPolicy().most_decrease
SHEDDABLE, PLUS = Criticality.SHEDDABLE, Criticality.SHEDDABLE_PLUS
KINDS = [(queue, criticality) for queue in ("area", "other") for criticality in (SHEDDABLE, PLUS)]


def an_engine(policy: ControlPolicy | None) -> Engine:
    engine = Engine()
    for number in range(4):
        job = a_job(f"area.job_{number}", every=5 * SECOND_MS, criticality=SHEDDABLE)
        engine.add(job, JobState(MIDNIGHT, job.trigger.describe()), MIDNIGHT)
    engine.use_control(policy)
    return engine


def ticked(engine: Engine, now: int, reading: QueueReading | None) -> list[Reason]:
    queues = {} if reading is None else {"area": Reading(reading, now)}
    tick = engine.tick(Snapshot(now, queues=queues), now)
    return [decision.reason for decision in tick.decisions if decision.verdict is not Verdict.SKIP]


def overloaded(engine: Engine, intervals: int, start: int = MIDNIGHT) -> int:
    """The instant behind so many intervals with a wait that stands."""
    for number in range(1, intervals + 1):
        ticked(engine, start + number * INTERVAL_MS, waiting(60_000))
    return start + (intervals + 1) * INTERVAL_MS


def told(engine: Engine, now: int, mode: GateMode) -> dict[Criticality, int]:
    """The rates behind an instant with a wait that stands, while an operator has said the gate's mode."""
    queues = {"area": Reading(waiting(60_000), now)}
    engine.tick(Snapshot(now, queues=queues, gate_modes={"backlog": mode}), now)
    return dict(engine.controllers.queues["area"].rates)


def test_an_overload_throttles_and_its_end_lets_go() -> None:
    engine = an_engine(ControlPolicy())
    now = overloaded(engine, 60)
    assert dict(engine.controllers.queues["area"].rates) == {SHEDDABLE: 0}
    assert ticked(engine, now, waiting(60_000)) == [Reason.THROTTLED] * 4
    assert engine.debt == {("area", SHEDDABLE): 4}
    assert engine.controllers.coalesced[("area", SHEDDABLE)] > 50
    for number in range(120):
        said = ticked(engine, now + number * INTERVAL_MS, EMPTY)
    assert said == [Reason.ON_TIME] * 4
    assert not engine.debt
    assert not engine.controllers.throttles
    assert not engine.controllers.coalesced


def test_an_interval_is_stepped_once_however_often_it_is_ticked() -> None:
    engine = an_engine(ControlPolicy())
    ticked(engine, MIDNIGHT, waiting(60_000))
    first = engine.controllers
    for at in range(0, INTERVAL_MS, 500):
        ticked(engine, MIDNIGHT + at, waiting(60_000))
        assert engine.controllers is first
    ticked(engine, MIDNIGHT + INTERVAL_MS, waiting(60_000))
    assert engine.controllers is not first


@pytest.mark.parametrize("wakes_every_ms", [7, 501, 6_000, INTERVAL_MS, 2 * INTERVAL_MS + 1])
def test_there_is_one_step_in_each_interval_of_the_clock_however_late_beat_wakes(wakes_every_ms: int) -> None:
    engine = an_engine(ControlPolicy())
    wakes = range(MIDNIGHT + 3, MIDNIGHT + 30 * INTERVAL_MS, wakes_every_ms)
    stepped_at: list[int | None] = []
    for now in wakes:
        ticked(engine, now, EMPTY)
        if engine.controllers.stepped_at not in stepped_at:
            stepped_at.append(engine.controllers.stepped_at)
    assert stepped_at == list({now // INTERVAL_MS: now for now in reversed(wakes)}.values())[::-1]


def test_a_clock_that_was_set_back_does_not_hold_the_control_up() -> None:
    engine = an_engine(ControlPolicy())
    ticked(engine, MIDNIGHT + 60 * MINUTE, EMPTY)
    ticked(engine, MIDNIGHT, EMPTY)
    assert engine.controllers.stepped_at == MIDNIGHT
    # Within the interval it is for the next one to go on.
    ticked(engine, MIDNIGHT + 3, EMPTY)
    ticked(engine, MIDNIGHT + INTERVAL_MS - 1, EMPTY)
    ticked(engine, MIDNIGHT + 1, EMPTY)
    assert engine.controllers.stepped_at == MIDNIGHT
    ticked(engine, MIDNIGHT + INTERVAL_MS, EMPTY)
    assert engine.controllers.stepped_at == MIDNIGHT + INTERVAL_MS


def test_without_a_policy_nothing_is_learnt_and_what_was_learnt_is_forgotten() -> None:
    engine = an_engine(None)
    assert ticked(engine, overloaded(engine, 60), waiting(60_000)) == [Reason.ON_TIME] * 4
    assert engine.controllers is NEUTRAL
    engine = an_engine(ControlPolicy())
    now = overloaded(engine, 60)
    engine.use_control(None)
    assert Reason.ON_TIME in ticked(engine, now, waiting(60_000))
    assert engine.controllers is NEUTRAL


def test_a_gate_that_is_off_or_observes_by_its_setting_holds_nothing_back() -> None:
    for mode in (GateMode.OFF, GateMode.OBSERVE):
        engine = an_engine(ControlPolicy(backlog=BacklogPolicy(mode=mode), target=TargetPolicy(mode=mode)))
        now = overloaded(engine, 60)
        tick = engine.tick(Snapshot(now, queues={"area": Reading(waiting(60_000), now)}), now)
        assert not any(decision.reason in THROTTLED_BY for decision in tick.decisions)
        assert len(tick.fires) == 4
        kept = [opinion.reason for fire in tick.fires for opinion in fire.decision.opinions]
        assert len(kept) == (0 if mode is GateMode.OFF else 4)
        assert set(kept) <= {Reason.THROTTLED, Reason.IN_TURN}
        # What the first cut would be is known; nothing answers to it, so what would have been cut next is not.
        rates = {} if mode is GateMode.OFF else {SHEDDABLE: FIRST_CUT}
        assert dict(engine.controllers.queues["area"].rates) == rates
        assert engine.controllers.queues["area"].wait_ms == 60_000


def test_a_gate_that_is_to_hold_after_it_observed_begins_with_what_it_then_measures() -> None:
    engine = an_engine(ControlPolicy())
    now = MIDNIGHT
    seen: list[int] = []
    for _ in range(100):
        now += INTERVAL_MS
        seen.append(told(engine, now, GateMode.OBSERVE).get(SHEDDABLE, ONE))
    assert set(seen) == {ONE, FIRST_CUT}
    # In the middle of an interval, before the control looks again.
    assert told(engine, now + 1, GateMode.ENFORCE) == {}
    held = []
    for _ in range(100):
        now += INTERVAL_MS
        held.append(told(engine, now, GateMode.ENFORCE).get(SHEDDABLE, ONE))
    assert held[0] == ONE
    assert FIRST_CUT in held
    assert held[-1] == 0
    # What somebody answered to stands, as it was, when it is only observed again.
    assert told(engine, now + 1, GateMode.OBSERVE) == {SHEDDABLE: 0}


def test_a_rate_of_a_gate_that_observed_does_not_hold_in_another_beat_either() -> None:
    policy = ControlPolicy(backlog=BacklogPolicy(mode=GateMode.OBSERVE))
    before, after = an_engine(policy), an_engine(ControlPolicy())
    now = overloaded(before, 60)
    assert before.controllers.queues["area"].rates
    after.put_controllers(before.controllers)
    assert ticked(after, now, waiting(60_000)) == [Reason.ON_TIME] * 4


def test_that_nobody_serves_a_queue_is_known_also_of_a_gate_that_observed() -> None:
    engine = an_engine(ControlPolicy(backlog=BacklogPolicy(mode=GateMode.OBSERVE)))
    ticked(engine, MIDNIGHT + INTERVAL_MS, waiting(60_000, consumers=0))
    engine.use_control(ControlPolicy())
    said = ticked(engine, MIDNIGHT + 2 * INTERVAL_MS, waiting(60_000 + INTERVAL_MS, consumers=0))
    assert set(said) == {Reason.NO_CONSUMER}
    assert engine.controllers.queues["area"].since == MIDNIGHT + INTERVAL_MS


def test_what_was_learnt_is_forgotten_by_command_of_one_queue_or_of_all() -> None:
    engine = an_engine(ControlPolicy())
    now = overloaded(engine, 60)
    engine.reset_control("elsewhere")
    assert dict(engine.controllers.queues["area"].rates) == {SHEDDABLE: 0}
    engine.reset_control("area")
    assert "area" not in engine.controllers.queues
    assert Reason.ON_TIME in ticked(engine, now, waiting(60_000))
    engine.reset_control()
    assert engine.controllers is NEUTRAL


@pytest.mark.parametrize(
    ("kept", "kinds"),
    [
        (Controllers(queues={"area": QueueControl(rates={SHEDDABLE: 0})}), {("area", SHEDDABLE)}),
        (Controllers(queues={"other": QueueControl(rates={PLUS: 0})}), {("other", PLUS)}),
        (Controllers(levels={"api": LevelControl(1, MIDNIGHT)}), {("area", SHEDDABLE), ("other", SHEDDABLE)}),
        (
            Controllers(levels={"api": LevelControl(3, MIDNIGHT, sheds=frozenset({"other"}))}),
            {("other", SHEDDABLE), ("other", PLUS)},
        ),
        # Nobody knows to which queues the runs of a task went.
        (Controllers(targets={"area.job": TargetControl(ONE // 2, MIDNIGHT)}), set(KINDS)),
    ],
)
def test_what_was_taken_up_counts_while_its_own_kind_is_throttled(
    kept: Controllers, kinds: set[tuple[str, Criticality]]
) -> None:
    objectives = (Objective("api", Measure.SUCCESS, 990_000, task="area.job"),)
    sheds = kept.levels["api"].sheds if kept.levels else None
    policy = ControlPolicy(slo=SloPolicy(objectives=(replace(objectives[0], sheds=sheds),)))
    before = kept._replace(coalesced=dict.fromkeys(KINDS, 7))
    after = step(before, Snapshot(MIDNIGHT), policy, {"area": [SHEDDABLE, PLUS], "other": [SHEDDABLE, PLUS]}, MIDNIGHT)
    assert after.coalesced == dict.fromkeys(kinds, 7)


@pytest.mark.parametrize(("queue", "left"), [(None, 0), ("area", 0), ("elsewhere", 4)])
def test_what_was_taken_up_since_the_last_interval_is_forgotten_too(queue: str | None, left: int) -> None:
    engine = an_engine(ControlPolicy())
    now = overloaded(engine, 40)
    engine.reset_control(queue)
    still = {"area": QueueControl(rates={SHEDDABLE: 0}, since=MIDNIGHT)}
    engine.put_controllers(Controllers(stepped_at=now - INTERVAL_MS, queues=still))
    ticked(engine, now, waiting(60_000))
    assert sum(engine.controllers.coalesced.values()) == left


def test_another_engine_goes_on_where_one_was() -> None:
    before, after = an_engine(ControlPolicy()), an_engine(ControlPolicy())
    now = overloaded(before, 20)
    for name in before.names:
        after.put_state(name, before.state(name), now)
    after.put_controllers(before.controllers)
    for number in range(40):
        at = now + number * INTERVAL_MS
        reading = waiting(60_000) if number < 10 else EMPTY
        assert ticked(after, at, reading) == ticked(before, at, reading)
    assert after.controllers.queues == before.controllers.queues


def test_queues_are_those_that_jobs_go_to() -> None:
    seen: list[dict[str, set[Criticality]]] = []

    def noting(
        controllers: Controllers, snapshot: Snapshot, policy: ControlPolicy, present: Present, now: int
    ) -> Controllers:
        del snapshot, policy
        seen.append({queue: set(criticalities) for queue, criticalities in present.items()})
        return controllers._replace(stepped_at=now)

    engine = an_engine(None)
    engine.use_control(ControlPolicy(), step=noting)
    ticked(engine, MIDNIGHT, None)
    engine.add(a_job("area.tick", criticality=Criticality.CRITICAL), None, MIDNIGHT)
    engine.add(a_job("area.job_0", criticality=Criticality.CRITICAL_PLUS), None, MIDNIGHT)
    ticked(engine, MIDNIGHT + INTERVAL_MS, None)
    for name in list(engine.names):
        engine.remove(name)
    ticked(engine, MIDNIGHT + 2 * INTERVAL_MS, None)
    assert seen == [
        {"area": {SHEDDABLE}},
        {"area": {SHEDDABLE, Criticality.CRITICAL, Criticality.CRITICAL_PLUS}},
        {},
    ]
