"""The laboratory against queueing theory, against a plain recursion, and against how Celery's workers behave."""

import heapq
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.model import Criticality
from packages.scheduling.policies import OverlapMode
from packages.scheduling.simulate import compare, simulate
from packages.scheduling.simulation.message import Fate
from packages.scheduling.simulation.record import Outcome
from packages.scheduling.simulation.report import differing, report_of
from packages.scheduling.simulation.scenario import (
    Backlog,
    Blind,
    Failing,
    InFlight,
    Resized,
    ServiceTime,
    Slowed,
    Stopped,
)
from packages.scheduling.simulation.strategies import Strategy
from tests.scheduling.simulation.platforms import HOUR, MINUTE, SECOND, a_group, a_scenario, a_worker, began, fixed


def in_seconds(outcome: Outcome, at: int | None) -> float:
    return ((at or 0) - outcome.scenario.begins) / SECOND


@pytest.mark.parametrize(("load", "tolerance"), [(0.5, 0.08), (0.8, 0.15)])
def test_the_mean_wait_is_that_of_an_m_d_1_queue(load: float, tolerance: float) -> None:
    """Many jobs with a jitter as wide as their period come nearly as a Poisson process does."""
    service = 100
    jobs = round(load * MINUTE / service)
    group = a_group(count=jobs, jitter_ms=MINUTE - 1, service=ServiceTime(service))
    outcome = fixed(a_scenario(group, length_ms=3 * HOUR))
    # The jitter is cut below the gap to the following nominal, and fires of the first minute fill up.
    messages = [m for m in began(outcome) if m.published_at > outcome.scenario.begins + MINUTE]
    mean = sum((m.started_at or 0) - m.published_at for m in messages) / len(messages)
    # Pollaczek and Khinchine, for a service time that does not vary: rho * s / (2 * (1 - rho)).
    assert mean == pytest.approx(load * service / (2 * (1 - load)), rel=tolerance)


@settings(deadline=None, max_examples=30)
@given(
    jobs=st.integers(1, 25),
    processes=st.integers(1, 4),
    median=st.integers(1, 8_000),
    sigma=st.sampled_from([0.0, 0.5, 1.5]),
    seed=st.integers(0, 2**32),
)
def test_one_queue_is_first_come_first_served_by_as_many_servers(
    jobs: int, processes: int, median: int, sigma: float, seed: int
) -> None:
    """Kiefer and Wolfowitz' recursion: each starts when it is there and the first server is free."""
    group = a_group(count=jobs, jitter_ms=50 * SECOND, service=ServiceTime(median, sigma))
    outcome = fixed(a_scenario(group, workers=(a_worker(processes=processes),), length_ms=10 * MINUTE), seed=seed)
    free = [0] * processes
    for message in outcome.record.messages:
        starts_at = max(message.published_at, heapq.heappop(free))
        if starts_at >= outcome.scenario.ends:
            assert message.fate is Fate.WAITING
            heapq.heappush(free, starts_at)
            continue
        assert message.started_at == starts_at
        # One that has not ended by the end holds its server for as long as one can see.
        heapq.heappush(free, outcome.scenario.ends if message.ended_at is None else message.ended_at)


def test_the_same_seed_gives_the_same_report_and_another_one_another() -> None:
    scenario = a_scenario(a_group(count=20, jitter_ms=20 * SECOND, service=ServiceTime(2 * SECOND, 0.8), failing=0.1))
    one, again, other = (report_of(simulate(scenario, Strategy.ADAPTIVE, seed=seed)) for seed in (1, 1, 2))
    assert one == again
    assert replace(one, seed=2) != other


def test_strategies_see_the_same_work() -> None:
    group = a_group(count=40, service=ServiceTime(3 * SECOND, 0.8), failing=0.2)
    outcomes = compare(a_scenario(group))
    assert outcomes[Strategy.ADAPTIVE].record.decisions != outcomes[Strategy.FIXED].record.decisions
    drawn: dict[tuple[str, int], set[tuple[int, Fate]]] = {}
    for outcome in outcomes.values():
        for message in outcome.record.messages:
            if message.ended_at is not None and message.started_at is not None:
                run = message.ended_at - message.started_at, message.fate
                drawn.setdefault((message.job, message.nominal), set()).add(run)
    assert all(len(runs) == 1 for runs in drawn.values())


def test_a_quiet_platform_is_decided_alike_by_all() -> None:
    outcomes = compare(a_scenario(a_group(count=10, service=ServiceTime(SECOND, 0.5))))
    assert [differing(outcomes[Strategy.FIXED], each) for each in outcomes.values()] == [0] * len(Strategy)


def test_a_worker_holds_no_more_than_it_runs() -> None:
    outcome = fixed(a_scenario(a_group(count=10), workers=(a_worker(processes=3),), length_ms=MINUTE))
    # The worker had waited for the first one, and takes the others one after the other, in no time.
    assert outcome.peak == 9
    starts = [in_seconds(outcome, message.started_at) for message in began(outcome)]
    assert starts == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_taking_a_message_keeps_the_main_process_busy() -> None:
    outcome = fixed(a_scenario(a_group(count=3), workers=(a_worker(processes=3),), message_ms=20))
    assert [in_seconds(outcome, message.started_at) for message in began(outcome)][:3] == [0.02, 0.04, 0.06]


def test_what_has_expired_is_dropped_when_it_is_taken_and_holds_no_process() -> None:
    outcome = fixed(a_scenario(a_group(count=4, expires_ms=1_500), length_ms=MINUTE, message_ms=5))
    fates = [message.fate for message in outcome.record.messages]
    assert fates == [Fate.SUCCEEDED, Fate.SUCCEEDED, Fate.EXPIRED, Fate.EXPIRED]
    assert [in_seconds(outcome, message.ended_at) for message in outcome.record.messages] == [1.005, 2.01, 2.015, 2.02]
    assert report_of(outcome).expired == 2


@pytest.mark.parametrize(
    ("in_flight", "started", "fate"),
    [
        # Killed at 30 s; back at 50 s, before all others; or 100 s after the kill.
        (InFlight.RETURNED, 50, Fate.SUCCEEDED),
        (InFlight.VISIBILITY, 130, Fate.SUCCEEDED),
        (InFlight.LOST, 0, Fate.LOST),
    ],
)
def test_what_a_killed_worker_held(in_flight: InFlight, started: int, fate: Fate) -> None:
    scenario = a_scenario(
        a_group(count=2, service=ServiceTime(40 * SECOND), every_ms=HOUR),
        workers=(a_worker(in_flight=in_flight),),
        events=(Stopped(30 * SECOND, "worker", 20 * SECOND),),
        visibility_ms=100 * SECOND,
    )
    outcome = fixed(scenario)
    first, second = outcome.record.messages
    assert (in_seconds(outcome, first.started_at), first.fate) == (started, fate)
    assert second.fate is Fate.SUCCEEDED
    assert in_seconds(outcome, second.started_at) == (90 if in_flight is InFlight.RETURNED else 50)


def test_a_worker_that_shrinks_ends_what_it_runs() -> None:
    group = a_group(count=4, service=ServiceTime(10 * SECOND), every_ms=HOUR)
    scenario = a_scenario(group, workers=(a_worker(processes=2),), events=(Resized(5 * SECOND, "worker", 1),))
    outcome = fixed(scenario)
    assert [in_seconds(outcome, message.started_at) for message in began(outcome)] == [0, 0, 10, 20]


def test_a_worker_that_grows_takes_more_at_once() -> None:
    group = a_group(count=4, service=ServiceTime(10 * SECOND), every_ms=HOUR)
    scenario = a_scenario(group, events=(Resized(5 * SECOND, "worker", 3, 10 * SECOND),))
    outcome = fixed(scenario)
    assert [in_seconds(outcome, message.started_at) for message in began(outcome)] == [0, 5, 5, 10]


def test_what_is_slow_counts_for_runs_that_begin_while_it_lasts() -> None:
    events = (Slowed(30 * SECOND, 5.0, lasts_ms=MINUTE), Slowed(30 * SECOND, 2.0, task="area.no_such", lasts_ms=MINUTE))
    outcome = fixed(a_scenario(events=events, length_ms=3 * MINUTE), service_scale=2.0)
    runs = [(message.ended_at or 0) - (message.started_at or 0) for message in outcome.record.messages]
    assert runs == [2_000, 10_000, 2_000]


def test_a_share_of_runs_fails_while_an_event_says_so() -> None:
    group = a_group(count=30, service=ServiceTime(10))
    scenario = a_scenario(group, events=(Failing(10 * MINUTE, "area.sweep", 0.5, 40 * MINUTE),))
    outcome = fixed(scenario)
    failed = [message for message in outcome.record.messages if message.fate is Fate.FAILED]
    assert {in_seconds(outcome, message.started_at) // 60 for message in failed} <= set(range(10, 50))
    assert len(failed) == pytest.approx(30 * 40 / 2, rel=0.1)


def test_a_backlog_is_as_old_as_it_says_and_is_of_the_jobs_of_its_group() -> None:
    group = a_group(count=2, expires_ms=20 * SECOND, every_ms=HOUR)
    scenario = a_scenario(group, events=(Backlog(0, "sweep", 6, MINUTE),), length_ms=2 * MINUTE)
    outcome = fixed(scenario)
    injected = [message for message in outcome.record.messages if message.injected]
    assert [in_seconds(outcome, message.published_at) for message in injected] == [-60, -50, -40, -30, -20, -10]
    assert [message.job for message in injected] == ["sweep.1", "sweep.2"] * 3
    assert [message.fate for message in injected] == [*[Fate.EXPIRED] * 5, Fate.SUCCEEDED]
    # Published by nobody, they are in no delay.
    assert report_of(outcome).published == 2
    assert report_of(outcome).start_delay[Criticality.SHEDDABLE].count == 2


def test_jobs_that_may_not_overlap_do_not() -> None:
    group = a_group(overlap=OverlapMode.SKIP, service=ServiceTime(90 * SECOND))
    outcome = fixed(a_scenario(group, length_ms=6 * MINUTE))
    assert [in_seconds(outcome, message.started_at) for message in outcome.record.messages] == [0, 120, 240]


def test_who_sees_nothing_throttles_nothing() -> None:
    group = a_group(count=80, service=ServiceTime(SECOND))
    seeing = a_scenario(group)
    blind = replace(seeing, events=(Blind(0),))
    assert report_of(simulate(seeing, Strategy.ADAPTIVE)).has_shed
    assert not report_of(simulate(blind, Strategy.ADAPTIVE)).has_shed


def test_a_group_is_active_from_and_until() -> None:
    outcome = fixed(a_scenario(a_group(begins_at=10 * MINUTE, ends_at=12 * MINUTE)))
    assert [in_seconds(outcome, message.nominal) for message in outcome.record.messages] == [600, 660]


def test_a_scale_above_zero_is_needed() -> None:
    with pytest.raises(ValueError, match="above zero"):
        fixed(a_scenario(), service_scale=0)
