"""How opinions become one decision: which one wins, that none makes it more permissive, and that every wait ends."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.candidate import Candidate
from packages.scheduling.control.controllers import Controllers, LevelControl, QueueControl, TargetControl
from packages.scheduling.decide import GATES, Panel, combine, decide
from packages.scheduling.decision import SCHEDULE, TRIGGER, Opinion, Reason, Verdict
from packages.scheduling.gates import pin
from packages.scheduling.instants import DAY_MS, NEVER_ENDS
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode, OverlapMode, Policies, TradingHours
from packages.scheduling.snapshot import Pause, PauseScope, Pin, Reading, Run, Snapshot
from packages.scheduling.windows import parse_windows
from tests.scheduling.generated import policies, snapshots
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job
from tests.scheduling.markets import a_table

STRICTNESS = {Verdict.FIRE: 0, Verdict.DEFER: 1, Verdict.SKIP: 2}
GATE_REASONS = st.sampled_from([Reason.PAUSED, Reason.MARKET_CLOSED, Reason.OUTSIDE_WINDOW, Reason.STILL_RUNNING])


def a_candidate(
    *, waited_ms: int = 0, criticality: Criticality = Criticality.CRITICAL, waited: Reason | None = None
) -> Candidate:
    job = a_job(criticality=criticality, policies=Policies(max_staleness_ms=10 * MINUTE))
    return Candidate(
        job=job, nominal=MIDNIGHT, planned=MIDNIGHT, origin=SCHEDULE, at=MIDNIGHT + waited_ms, waited=waited
    )


def candidates() -> st.SearchStrategy[Candidate]:
    return st.builds(
        lambda waited_ms, criticality, waited: a_candidate(waited_ms=waited_ms, criticality=criticality, waited=waited),
        st.integers(0, 20 * MINUTE),
        st.sampled_from(Criticality),
        st.sampled_from([None, Reason.OUTSIDE_WINDOW, Reason.PUBLISH_FAILED]),
    )


@st.composite
def opinions(draw: st.DrawFn) -> Opinion:
    verdict = draw(st.sampled_from(Verdict))
    return Opinion(
        draw(st.sampled_from(["a", "b", "c"])),
        verdict,
        draw(GATE_REASONS),
        until=MIDNIGHT + draw(st.integers(1, DAY_MS)) if verdict is Verdict.DEFER else None,
        holds_until=draw(st.integers(MIDNIGHT, MIDNIGHT + DAY_MS) | st.just(NEVER_ENDS)),
        mode=draw(st.sampled_from([GateMode.ENFORCE, GateMode.OBSERVE])),
    )


def said(verdict: Verdict, reason: Reason, *, until: int | None = None, mode: GateMode = GateMode.ENFORCE) -> Opinion:
    return Opinion("a gate", verdict, reason, until=None if until is None else MIDNIGHT + until, mode=mode)


SKIPS = said(Verdict.SKIP, Reason.PAUSED)
DEFERS = said(Verdict.DEFER, Reason.OUTSIDE_WINDOW, until=2 * MINUTE)
DEFERS_LONGER = said(Verdict.DEFER, Reason.STILL_RUNNING, until=5 * MINUTE)
FIRES = said(Verdict.FIRE, Reason.MARKET_OPEN)


@pytest.mark.parametrize(
    ("given_opinions", "verdict", "reason", "until"),
    [
        ((), Verdict.FIRE, Reason.ON_TIME, None),
        ((FIRES,), Verdict.FIRE, Reason.ON_TIME, None),
        ((DEFERS,), Verdict.DEFER, Reason.OUTSIDE_WINDOW, 2 * MINUTE),
        ((DEFERS, DEFERS_LONGER), Verdict.DEFER, Reason.STILL_RUNNING, 5 * MINUTE),
        ((FIRES, DEFERS, SKIPS), Verdict.SKIP, Reason.PAUSED, None),
        ((SKIPS, said(Verdict.SKIP, Reason.MARKET_CLOSED)), Verdict.SKIP, Reason.PAUSED, None),
        ((said(Verdict.SKIP, Reason.PAUSED, mode=GateMode.OBSERVE),), Verdict.FIRE, Reason.ON_TIME, None),
        # A wait is asked about again at the deadline at the latest.
        (
            (said(Verdict.DEFER, Reason.OUTSIDE_WINDOW, until=DAY_MS),),
            Verdict.DEFER,
            Reason.OUTSIDE_WINDOW,
            10 * MINUTE,
        ),
    ],
)
def test_the_strictest_wins_and_the_first_of_those_says_why(
    given_opinions: tuple[Opinion, ...], verdict: Verdict, reason: Reason, until: int | None
) -> None:
    decision = combine(a_candidate(), given_opinions)
    assert (decision.verdict, decision.reason) == (verdict, reason)
    assert decision.until == (None if until is None else MIDNIGHT + until)
    assert decision.opinions == given_opinions


@pytest.mark.parametrize(
    ("criticality", "verdict"),
    [
        (Criticality.CRITICAL_PLUS, Verdict.FIRE),
        (Criticality.CRITICAL, Verdict.FIRE),
        (Criticality.SHEDDABLE_PLUS, Verdict.SKIP),
        (Criticality.SHEDDABLE, Verdict.SKIP),
    ],
)
def test_a_wait_ends_at_its_deadline(criticality: Criticality, verdict: Verdict) -> None:
    late = a_candidate(waited_ms=10 * MINUTE, criticality=criticality, waited=Reason.OUTSIDE_WINDOW)
    decision = combine(late, (said(Verdict.DEFER, Reason.OUTSIDE_WINDOW, until=DAY_MS),))
    assert (decision.verdict, decision.reason) == (verdict, Reason.STALE)


@given(candidate=candidates(), before=st.lists(opinions(), max_size=3), added=opinions(), place=st.integers(0, 3))
def test_one_more_objection_never_makes_it_more_permissive(
    candidate: Candidate, before: list[Opinion], added: Opinion, place: int
) -> None:
    without = combine(candidate, tuple(before))
    with_it = combine(candidate, (*before[:place], added, *before[place:]))
    if added.verdict is Verdict.FIRE or added.mode is GateMode.OBSERVE:
        assert with_it.verdict is without.verdict
    else:
        assert STRICTNESS[with_it.verdict] >= STRICTNESS[without.verdict]
        if without.verdict is with_it.verdict is Verdict.DEFER:
            assert (with_it.until or 0) >= (without.until or 0)
    assert with_it.holds_until == min(without.holds_until, added.holds_until)


@given(candidate=candidates(), given_opinions=st.lists(opinions(), max_size=4))
def test_what_is_deferred_is_deferred_to_its_deadline_at_most(
    candidate: Candidate, given_opinions: list[Opinion]
) -> None:
    decision = combine(candidate, tuple(given_opinions))
    assert (decision.verdict is Verdict.DEFER) == (decision.until is not None)
    if decision.until is not None:
        assert candidate.at < candidate.deadline
        assert decision.until <= candidate.deadline
    if candidate.at >= candidate.deadline:
        assert decision.is_final


def closed_and_running() -> tuple[Candidate, Snapshot]:
    policies = Policies(
        overlap=OverlapMode.CANCEL_OTHER,
        trading_hours=TradingHours(("TEST",)),
        windows=parse_windows("22:00-06:00"),
    )
    job = a_job(policies=policies)
    at = MIDNIGHT + 7 * 60 * MINUTE
    candidate = Candidate(job=job, nominal=at, planned=at, origin=SCHEDULE, at=at)
    snapshot = Snapshot(
        taken_at=at,
        markets={
            "TEST": a_table([("2026-03-02 14:30", "2026-03-02 21:00")], known=("2026-03-01 00:00", "2026-03-05 00:00"))
        },
        pauses=Reading((Pause(PauseScope.ALL, "", MIDNIGHT, None, "by hand"),), at),
        running=Reading({job.name: (Run("a-task", MIDNIGHT, at + MINUTE),)}, at),
    )
    return candidate, snapshot


def everything_objects() -> tuple[Candidate, Snapshot]:
    candidate, snapshot = closed_and_running()
    job = replace(candidate.job, criticality=Criticality.SHEDDABLE)
    controllers = Controllers(
        queues={job.queue: QueueControl(rates={Criticality.SHEDDABLE: 0})},
        levels={"api": LevelControl(level=2, since=MIDNIGHT)},
        targets={job.task: TargetControl(rate=200_000, since=MIDNIGHT)},
    )
    # A pin that is enforced keeps the others quiet.
    return candidate._replace(job=job), snapshot._replace(
        controllers=controllers,
        pins={(job.queue, None): Pin(job.queue, None, 0, MIDNIGHT, None, "")},
        gate_modes={pin.NAME: GateMode.OBSERVE},
    )


def test_all_gates_are_asked_and_all_that_they_say_is_kept() -> None:
    decision = decide(*everything_objects())
    assert [opinion.gate for opinion in decision.opinions] == [gate.NAME for gate in GATES]
    assert (decision.verdict, decision.reason, decision.cancels) == (Verdict.SKIP, Reason.PAUSED, ())


@pytest.mark.parametrize(
    ("modes", "verdict", "reason"),
    [
        ({}, Verdict.SKIP, Reason.PAUSED),
        ({"pause": GateMode.OBSERVE}, Verdict.SKIP, Reason.MARKET_CLOSED),
        ({"pause": GateMode.OFF, "trading_hours": GateMode.OFF}, Verdict.DEFER, Reason.OUTSIDE_WINDOW),
        (dict.fromkeys(("pause", "trading_hours", "windows"), GateMode.OBSERVE), Verdict.FIRE, Reason.ON_TIME),
    ],
)
def test_an_operators_word_on_a_gate_is_above_the_jobs_own(
    modes: dict[str, GateMode], verdict: Verdict, reason: Reason
) -> None:
    candidate, snapshot = closed_and_running()
    told = Snapshot(
        taken_at=snapshot.taken_at,
        markets=snapshot.markets,
        pauses=snapshot.pauses,
        running=snapshot.running,
        gate_modes=modes,
    )
    decision = decide(candidate, told)
    assert (decision.verdict, decision.reason) == (verdict, reason)
    assert {o.gate for o in decision.opinions} == {"pause", "trading_hours", "windows", "overlap"} - {
        gate for gate, mode in modes.items() if mode is GateMode.OFF
    }
    assert decision.cancels == (("a-task",) if verdict is Verdict.FIRE else ())


def test_a_request_of_an_operator_is_held_by_no_gate_but_a_run() -> None:
    candidate, snapshot = closed_and_running()
    asked = Candidate(
        job=candidate.job, nominal=candidate.at, planned=candidate.at, origin=f"{TRIGGER}1", at=candidate.at
    )
    decision = decide(asked, snapshot)
    assert (decision.verdict, decision.reason, decision.cancels) == (Verdict.FIRE, Reason.REQUESTED, ("a-task",))
    assert {o.gate: o.mode for o in decision.opinions}["pause"] is GateMode.OBSERVE


@settings(max_examples=200, deadline=None)
@given(own=policies(), data=st.data(), minute=st.integers(0, 6_000), ahead=st.integers(0, 1))
def test_a_gate_that_may_not_speak_has_no_opinion(own: Policies, data: st.DataObject, minute: int, ahead: int) -> None:
    at = MIDNIGHT + minute * MINUTE
    snapshot = data.draw(snapshots(at))
    candidate = Candidate(a_job("area.job_0", policies=own), at, at, SCHEDULE, at=at, ahead=ahead)
    silent = [gate for gate in GATES if not gate.may_speak(own, snapshot)]
    assert all(gate.opinion(candidate, snapshot) is None for gate in silent)


def test_where_there_is_nothing_to_say_no_gate_is_asked() -> None:
    nothing = Snapshot(taken_at=MIDNIGHT, pauses=Reading((), MIDNIGHT), running=Reading({}, MIDNIGHT))
    assert not any(gate.may_speak(Policies(), nothing) for gate in GATES)
    candidate, snapshot = everything_objects()
    assert all(gate.may_speak(candidate.job.policies, snapshot) for gate in GATES)


def test_one_panel_tells_jobs_with_other_policies_apart() -> None:
    candidate, snapshot = closed_and_running()
    panel = Panel(snapshot)
    plain = candidate._replace(job=a_job("b.plain"))
    for asked in (candidate, plain, candidate):
        assert panel.decide(asked) == decide(asked, snapshot)
    assert [opinion.gate for opinion in panel.decide(plain).opinions] == ["pause"]
