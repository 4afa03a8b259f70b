"""Turns by credit: evenly spaced, the same each time, and nobody left out for ever."""

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.candidate import Candidate
from packages.scheduling.control.controllers import Controllers, LevelControl, QueueControl, TargetControl
from packages.scheduling.control.shares import ONE
from packages.scheduling.decide import decide
from packages.scheduling.decision import SCHEDULE, THROTTLED_BY, TRIGGER, Decision, Reason, Verdict
from packages.scheduling.model import Criticality, Job
from packages.scheduling.plan import plan_tick
from packages.scheduling.policies import GateMode, OverlapMode, Policies
from packages.scheduling.snapshot import Exemption, Pin, Reading, Run, Snapshot
from packages.scheduling.state import JobState
from packages.scheduling.throttle import ASK_AGAIN_MS
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job

if TYPE_CHECKING:
    from collections.abc import Mapping

SHEDDABLE, PLUS = Criticality.SHEDDABLE, Criticality.SHEDDABLE_PLUS
rates = st.integers(0, ONE - 1)


def throttled(rate: int, criticality: Criticality = SHEDDABLE) -> Controllers:
    return Controllers(queues={"area": QueueControl(rates={criticality: rate}, since=MIDNIGHT)})


def fire(job: Job, number: int) -> Candidate:
    at = MIDNIGHT + number * MINUTE
    return Candidate(job=job, nominal=at, planned=at, origin=SCHEDULE, at=at)


def run(job: Job, snapshot: Snapshot, fires: int, state: JobState | None = None) -> tuple[list[Decision], JobState]:
    """The decisions on the job's next fires, one after the other; what waits is taken up by the next one."""
    state = state or JobState(MIDNIGHT)
    made: list[Decision] = []
    for number in range(fires):
        plan, states = plan_tick({job.name: state}, snapshot, [fire(job, number)])
        state = states[job.name]
        made += [decision for decision in plan.decisions if decision.nominal == MIDNIGHT + number * MINUTE]
    return made, state


@given(rates, st.integers(1, 400), st.integers(0, 100), st.text(min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_of_any_n_fires_in_a_row_the_share_goes_out_give_or_take_one(rate: int, n: int, skip: int, name: str) -> None:
    made, _ = run(a_job(name, criticality=SHEDDABLE), Snapshot(MIDNIGHT, controllers=throttled(rate)), skip + n)
    out = sum(decision.verdict is Verdict.FIRE for decision in made[skip:])
    assert abs(out - rate * n // ONE) <= 1


@given(rates, st.integers(1, 60))
def test_the_same_again_is_decided_the_same(rate: int, n: int) -> None:
    job, snapshot = a_job(criticality=SHEDDABLE), Snapshot(MIDNIGHT, controllers=throttled(rate))
    assert run(job, snapshot, n) == run(job, snapshot, n)


def test_two_jobs_that_take_turns_share_what_goes_out() -> None:
    """With one credit for both one of them would find it whole each time, and the other one never."""
    jobs = [a_job("area.one", criticality=SHEDDABLE), a_job("area.two", criticality=SHEDDABLE)]
    snapshot = Snapshot(MIDNIGHT, controllers=throttled(ONE // 2))
    states: Mapping[str, JobState] = {job.name: JobState(MIDNIGHT) for job in jobs}
    out = dict.fromkeys(states, 0)
    for number in range(100):
        plan, states = plan_tick(states, snapshot, [fire(jobs[number % 2], number)])
        for each in plan.fires:
            out[each.job.name] += 1
    assert out == {"area.one": 25, "area.two": 25}


def test_jobs_do_not_all_wait_for_the_same_fire() -> None:
    snapshot = Snapshot(MIDNIGHT, controllers=throttled(ONE // 2))
    first = [decide(fire(a_job(f"area.job_{n}", criticality=SHEDDABLE), 0), snapshot).verdict for n in range(1_000)]
    assert 400 < first.count(Verdict.FIRE) < 600


def test_jobs_of_a_spread_interval_that_fire_together_do_not_take_their_turns_together() -> None:
    """The credit that a job begins with is not its phase: a tenth of the period would bring all that goes out."""
    snapshot = Snapshot(MIDNIGHT, controllers=throttled(ONE // 2))
    out = [0] * 10
    for number in range(1_000):
        interval = IntervalTrigger(MINUTE).spread_by(f"area.job_{number}")
        job = a_job(f"area.job_{number}", trigger=interval, criticality=SHEDDABLE)
        out[interval.phase_ms * 10 // MINUTE] += decide(fire(job, 0), snapshot).verdict is Verdict.FIRE
    assert all(20 < each < 80 for each in out)


@pytest.mark.parametrize(
    ("controllers", "reason", "gate"),
    [
        (throttled(0), Reason.THROTTLED, "backlog"),
        (Controllers(queues={"area": QueueControl(unserved_since=MIDNIGHT)}), Reason.NO_CONSUMER, "backlog"),
        (Controllers(levels={"api": LevelControl(2, MIDNIGHT)}), Reason.OBJECTIVE_BURNING, "slo"),
        (
            Controllers(levels={"api": LevelControl(2, MIDNIGHT, None, frozenset({"area"}))}),
            Reason.OBJECTIVE_BURNING,
            "slo",
        ),
        (Controllers(targets={"area.job": TargetControl(0, MIDNIGHT)}), Reason.TARGET_FAILING, "failing_target"),
    ],
)
def test_what_is_out_of_turn_waits_and_says_why(controllers: Controllers, reason: Reason, gate: str) -> None:
    decision = decide(fire(a_job(criticality=SHEDDABLE), 0), Snapshot(MIDNIGHT, controllers=controllers))
    assert (decision.verdict, decision.reason) == (Verdict.DEFER, reason)
    assert decision.reason in THROTTLED_BY
    assert [(o.gate, o.reason) for o in decision.opinions] == [(gate, reason)]
    assert decision.until is not None
    assert MIDNIGHT + ASK_AGAIN_MS <= decision.until < MIDNIGHT + 2 * ASK_AGAIN_MS


@pytest.mark.parametrize(
    ("level", "stopped", "halved"),
    [(0, set(), set()), (1, set(), {SHEDDABLE}), (2, {SHEDDABLE}, {PLUS}), (3, {SHEDDABLE, PLUS}, set())],
)
def test_the_levels_make_room_by_criticality(level: int, stopped: set[Criticality], halved: set[Criticality]) -> None:
    snapshot = Snapshot(MIDNIGHT, controllers=Controllers(levels={"api": LevelControl(level, MIDNIGHT)}))
    out = {
        criticality: sum(d.verdict is Verdict.FIRE for d in run(a_job(criticality=criticality), snapshot, 40)[0])
        for criticality in Criticality
    }
    assert {c for c, fires in out.items() if fires == 0} == stopped
    assert {c for c, fires in out.items() if fires == 20} == halved
    assert {c for c, fires in out.items() if fires == 40} == set(Criticality) - stopped - halved


def test_an_objective_of_other_queues_concerns_nobody_here() -> None:
    levels = {"api": LevelControl(3, MIDNIGHT, None, frozenset({"elsewhere"}))}
    snapshot = Snapshot(MIDNIGHT, controllers=Controllers(levels=levels))
    assert decide(fire(a_job(criticality=SHEDDABLE), 0), snapshot).opinions == ()


everything = st.builds(
    Controllers,
    queues=st.fixed_dictionaries(
        {
            "area": st.builds(
                QueueControl,
                rates=st.dictionaries(st.sampled_from(Criticality), rates),
                since=st.just(MIDNIGHT),
                unserved_since=st.sampled_from([None, MIDNIGHT]),
            )
        }
    ),
    levels=st.dictionaries(st.sampled_from(["a", "b"]), st.builds(LevelControl, st.integers(0, 3), st.just(MIDNIGHT))),
    targets=st.dictionaries(st.just("area.job"), st.builds(TargetControl, rates, st.just(MIDNIGHT))),
)


@given(everything, st.integers(1, 30))
def test_no_controller_ever_holds_critical_plus_back(controllers: Controllers, fires: int) -> None:
    made, _ = run(a_job(criticality=Criticality.CRITICAL_PLUS), Snapshot(MIDNIGHT, controllers=controllers), fires)
    assert all(decision.verdict is Verdict.FIRE for decision in made)


@given(everything, st.sampled_from([SHEDDABLE, PLUS]), st.integers(1, 30))
def test_an_exempt_job_is_left_alone(controllers: Controllers, criticality: Criticality, fires: int) -> None:
    job = a_job(criticality=criticality)
    exempt = {job.name: Exemption(job.name, MIDNIGHT, MIDNIGHT + 10 * MINUTE, "the auditors are here")}
    made, _ = run(job, Snapshot(MIDNIGHT, controllers=controllers, exempt=exempt), min(fires, 10))
    assert all(decision.verdict is Verdict.FIRE for decision in made)
    ended = decide(fire(job, 10), Snapshot(MIDNIGHT, controllers=controllers, exempt=exempt))
    assert ended == decide(fire(job, 10), Snapshot(MIDNIGHT, controllers=controllers))


@given(everything, st.sampled_from(Criticality))
def test_a_pin_is_above_every_controller_and_that_of_a_criticality_above_that_of_the_queue(
    controllers: Controllers, criticality: Criticality
) -> None:
    job = a_job(criticality=criticality)
    whole = Pin("area", None, 0, MIDNIGHT, None, "")
    pins = {("area", None): whole, ("area", criticality): whole._replace(criticality=criticality, rate=ONE // 4)}
    made, _ = run(job, Snapshot(MIDNIGHT, controllers=controllers, pins=pins), 40)
    assert sum(decision.verdict is Verdict.FIRE for decision in made) == 10
    assert {d.reason for d in made if d.verdict is Verdict.DEFER} == {Reason.PINNED}
    stopped = run(job, Snapshot(MIDNIGHT, controllers=controllers, pins={("area", None): whole}), 40)[0]
    # What is most critical is held only by a pin that names it.
    fires = 40 if criticality is Criticality.CRITICAL_PLUS else 0
    assert sum(decision.verdict is Verdict.FIRE for decision in stopped) == fires


def test_the_strictest_of_several_throttles_counts_and_not_their_product() -> None:
    controllers = throttled(ONE // 2)._replace(
        levels={"api": LevelControl(1, MIDNIGHT)}, targets={"area.job": TargetControl(ONE // 4, MIDNIGHT)}
    )
    made, _ = run(a_job(criticality=SHEDDABLE), Snapshot(MIDNIGHT, controllers=controllers), 40)
    assert sum(decision.verdict is Verdict.FIRE for decision in made) == 10


def test_a_gate_that_observes_records_what_it_would_have_done_at_its_rate() -> None:
    snapshot = Snapshot(MIDNIGHT, controllers=throttled(ONE // 4), gate_modes={"backlog": GateMode.OBSERVE})
    made, _ = run(a_job(criticality=SHEDDABLE), snapshot, 40)
    assert all(decision.verdict is Verdict.FIRE for decision in made)
    would = [opinion.verdict for decision in made for opinion in decision.opinions]
    assert (would.count(Verdict.FIRE), would.count(Verdict.DEFER)) == (10, 30)


def test_what_another_gate_skips_takes_no_turn() -> None:
    job = a_job(criticality=SHEDDABLE, policies=Policies(overlap=OverlapMode.SKIP))
    busy: Reading[Mapping[str, tuple[Run, ...]]] = Reading(
        {job.name: (Run("run", MIDNIGHT, MIDNIGHT + 50 * MINUTE),)}, MIDNIGHT
    )
    snapshot = Snapshot(MIDNIGHT, controllers=throttled(ONE // 2), running=busy)
    state = JobState(MIDNIGHT, credit=ONE // 2)
    made, after = run(job, snapshot, 40, state)
    assert after.credit == state.credit
    assert {decision.reason for decision in made} == {Reason.STILL_RUNNING}


def test_the_credit_is_forgotten_once_nothing_throttles() -> None:
    job = a_job(criticality=SHEDDABLE)
    _, state = run(job, Snapshot(MIDNIGHT, controllers=throttled(300_000)), 4)
    assert state.credit is not None
    assert run(job, Snapshot(MIDNIGHT), 1, state)[1].credit is None


def test_what_an_operator_asks_for_goes_out_and_takes_no_turn() -> None:
    job = a_job(criticality=SHEDDABLE)
    asked = fire(job, 0)._replace(origin=f"{TRIGGER}x", waited=Reason.REQUESTED)
    plan, states = plan_tick(
        {job.name: JobState(MIDNIGHT, credit=5)}, Snapshot(MIDNIGHT, controllers=throttled(0)), [asked]
    )
    assert [each.decision.reason for each in plan.fires] == [Reason.REQUESTED]
    assert states[job.name].credit == 5
