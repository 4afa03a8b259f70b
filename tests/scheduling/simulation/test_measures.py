"""What is measured of a run, on runs that are made by hand or small enough to be counted."""

import pytest

from packages.scheduling.control.controllers import NEUTRAL
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.control.step import Step
from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.model import Criticality
from packages.scheduling.readings import QueueReading
from packages.scheduling.simulate import simulate
from packages.scheduling.simulation.draws import fails, service_ms, uniform
from packages.scheduling.simulation.due_work import Stretch, distinct_due_work, longest_stretches
from packages.scheduling.simulation.message import Fate, Message
from packages.scheduling.simulation.proportional import proportional
from packages.scheduling.simulation.quantiles import Quantiles, quantiles_of
from packages.scheduling.simulation.report import report_of
from packages.scheduling.simulation.scenario import Backlog, ServiceTime, Slowed, Stopped
from packages.scheduling.simulation.series import series_of
from packages.scheduling.simulation.strategies import Strategy
from packages.scheduling.simulation.threshold import threshold
from packages.scheduling.snapshot import Reading, Snapshot
from tests.scheduling.jobs import MIDNIGHT, a_job
from tests.scheduling.simulation.platforms import MINUTE, SECOND, a_group, a_scenario


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([], None),
        ([7], Quantiles(1, 7, 7, 7, 7)),
        (range(1, 101), Quantiles(100, 50, 95, 99, 100)),
        ([3, 1, 2], Quantiles(3, 2, 3, 3, 3)),
    ],
)
def test_quantiles_are_numbers_that_were_there(numbers: list[int], expected: Quantiles | None) -> None:
    assert quantiles_of(numbers) == expected


def a_run(starts_at: int, fate: Fate = Fate.SUCCEEDED) -> Message:
    at = MIDNIGHT + starts_at
    return Message("area.job", "area.job", "area", Criticality.SHEDDABLE, at, at, at, None, fate=fate, started_at=at)


@pytest.mark.parametrize(
    ("starts", "counted"),
    [
        ([], 0),
        ([0], 1),
        # Every minute something is due: a run each minute counts, a second one within it does not.
        ([0, MINUTE, 2 * MINUTE], 3),
        ([0, 1, 2, MINUTE, MINUTE + 1], 2),
        # Five minutes late, five sweeps in a row: one of them had something to do.
        ([0, 5 * MINUTE, 5 * MINUTE + 1, 5 * MINUTE + 2, 5 * MINUTE + 3, 5 * MINUTE + 4], 2),
        ([5 * MINUTE, 0], 2),
    ],
)
def test_distinct_due_work_counts_runs_with_something_new_to_do(starts: list[int], counted: int) -> None:
    assert distinct_due_work([a_run(start) for start in starts], {"area.job": a_job()}) == counted


def test_runs_that_fail_are_no_due_work() -> None:
    runs = [a_run(0, Fate.FAILED), a_run(MINUTE), a_run(2 * MINUTE, Fate.EXPIRED), a_run(3 * MINUTE, Fate.RUNNING)]
    assert distinct_due_work(runs, {"area.job": a_job()}) == 1


@pytest.mark.parametrize(
    ("starts", "longest"),
    [
        ([], 10 * MINUTE),
        ([0, MINUTE, 9 * MINUTE], 8 * MINUTE),
        # Something was due after the last run, and never ran.
        ([0, 3 * MINUTE], 7 * MINUTE),
        ([4 * MINUTE, 9 * MINUTE], 5 * MINUTE),
    ],
)
def test_the_longest_stretch_is_from_run_to_run_and_to_the_end(starts: list[int], longest: int) -> None:
    found = longest_stretches(
        [a_run(start) for start in starts], {"area.job": a_job()}, begins=MIDNIGHT, ends=MIDNIGHT + 10 * MINUTE
    )
    assert found == {Criticality.CRITICAL: Stretch("area.job", longest)}


def test_a_job_with_nothing_due_has_no_stretch() -> None:
    assert (
        longest_stretches([], {"area.job": a_job(every=60 * MINUTE)}, begins=MIDNIGHT + 1, ends=MIDNIGHT + MINUTE) == {}
    )


def test_draws_hang_on_all_that_they_are_of() -> None:
    one = uniform(1, "job", 5, "service")
    assert one == uniform(1, "job", 5, "service")
    others = [uniform(2, "job", 5, "service"), uniform(1, "other", 5, "service"), uniform(1, "job", 6, "service")]
    assert one not in [*others, uniform(1, "job", 5, "failure")]


def test_draws_have_the_distribution_that_they_say() -> None:
    service = ServiceTime(1_000, 0.5)
    drawn = sorted(service_ms(7, "job", nominal * MINUTE, service) for nominal in range(20_001))
    assert drawn[10_000] == pytest.approx(1_000, rel=0.02)
    assert sum(drawn) / len(drawn) == pytest.approx(service.mean_ms, rel=0.02)
    assert sum(fails(7, "job", nominal, 0.3) for nominal in range(20_000)) == pytest.approx(6_000, rel=0.05)
    assert not any(fails(7, "job", nominal, 0.0) for nominal in range(1_000))
    assert all(fails(7, "job", nominal, 1.0) for nominal in range(1_000))


def test_a_report_counts_what_there_was() -> None:
    group = a_group(count=2, service=ServiceTime(40 * SECOND), expires_ms=30 * SECOND, criticality=Criticality.CRITICAL)
    report = report_of(simulate(a_scenario(group, length_ms=2 * MINUTE), Strategy.FIXED))
    # Two each minute, and the second one of each finds the worker busy for longer than it is worth.
    assert (report.jobs, report.published, report.expired, report.expired_critical) == (2, 4, 2, 2)
    assert (report.runs, report.failed, report.unbegun) == (2, 0, 0)
    assert report.decisions == {(Verdict.FIRE, Reason.ON_TIME): 4}
    assert report.critical_success == 0.5
    assert report.peak_backlog == 1
    assert report.mean_backlog == pytest.approx(80 / 120)
    assert report.start_delay == {Criticality.CRITICAL: Quantiles(2, 0, 0, 0, 0)}
    assert not report.has_shed


def test_recovery_is_from_the_end_of_the_event_until_the_backlog_is_gone_for_good() -> None:
    group = a_group(count=6, service=ServiceTime(9 * SECOND))
    scenario = a_scenario(group, events=(Stopped(10 * MINUTE, "worker", 3 * MINUTE),))
    outcome = simulate(scenario, Strategy.FIXED)
    (recovery,) = report_of(outcome).recoveries
    # Five wait at most while one runs. Three minutes of 54 s of work are made up for by 6 s in each minute.
    assert (recovery.began, recovery.ended, recovery.before) == (10 * MINUTE, 13 * MINUTE, 5)
    assert recovery.backlog_ms is not None
    assert recovery.backlog_ms == pytest.approx(27 * MINUTE, rel=0.1)
    assert recovery.most_stale_runs == 3
    assert recovery.critical_start is None


@pytest.mark.parametrize(
    ("every_ms", "stale"),
    [
        # One message went out before anybody knew, and the next fire takes up what waited.
        (3 * MINUTE, 1),
        # There is no next fire for a while, so what waited goes out, too.
        (10 * MINUTE, 2),
    ],
)
def test_what_was_due_before_the_return_counts_as_stale_whenever_it_was_published(every_ms: int, stale: int) -> None:
    group = a_group(count=20, every_ms=every_ms)
    scenario = a_scenario(group, events=(Stopped(30 * MINUTE - SECOND, "worker", 14 * MINUTE),))
    (recovery,) = report_of(simulate(scenario, Strategy.ADAPTIVE)).recoveries
    assert recovery.most_stale_runs == stale


def test_a_backlog_that_stays_is_not_gone() -> None:
    group = a_group(count=6, service=ServiceTime(9 * SECOND))
    events = (Slowed(10 * MINUTE, 3.0), Backlog(20 * MINUTE, "sweep", 50))
    slowed, filled = report_of(simulate(a_scenario(group, events=events), Strategy.FIXED)).recoveries
    assert slowed.backlog_ms is None
    assert filled.what == "backlog group=sweep messages=50"


def test_critical_starts_after_an_event_are_counted_from_its_end() -> None:
    group = a_group(count=2, service=ServiceTime(SECOND), criticality=Criticality.CRITICAL_PLUS)
    scenario = a_scenario(group, events=(Stopped(10 * MINUTE + 30 * SECOND, "worker", MINUTE),))
    (recovery,) = report_of(simulate(scenario, Strategy.FIXED)).recoveries
    assert recovery.critical_start == Quantiles(2, 0, 1_000, 1_000, 1_000)


def test_series_have_a_value_for_each_bin() -> None:
    outcome = simulate(a_scenario(a_group(count=80)), Strategy.ADAPTIVE)
    series = series_of(outcome)
    assert (series.bin_ms, series.bins) == (20 * SECOND, 180)
    assert max(series.backlog["area"]) == outcome.peak
    assert sum(map(sum, series.decisions.values())) == len(outcome.record.decisions)
    (rates,) = series.rates.values()
    assert len(rates) == 180
    assert rates[0] == 1.0
    assert min(rates) < 1.0


def test_what_waits_together_is_of_one_moment() -> None:
    outcome = simulate(a_scenario(a_group(count=80)), Strategy.FIXED)
    series = series_of(outcome)
    waited = [0] * series.bins
    for sample in outcome.record.samples:
        at = (sample.at - outcome.scenario.begins) // series.bin_ms
        waited[at] = max(waited[at], sum(sample.ready))
    assert [sum(column) for column in zip(*series.together.values(), strict=True)] == waited


PRESENT = {"area": [Criticality.CRITICAL, Criticality.SHEDDABLE_PLUS, Criticality.SHEDDABLE]}


@pytest.mark.parametrize(
    ("step", "readings", "expected"),
    [
        # Stops above 50, goes on below 10.
        (threshold, [QueueReading(ready=n) for n in (50, 51, 30, 10, 9, 30)], [None, 0, 0, 0, None, None]),
        (threshold, [QueueReading(ready=60), QueueReading()], [0, 0]),
        # The target is 5 s: at it all, one target above it three quarters, at five nothing.
        (
            proportional,
            [QueueReading(ready=1, oldest_ms=ms) for ms in (5_000, 5_001, 10_000, 24_000, 90_000)],
            [None, 999_950, 750_000, 50_000, 0],
        ),
        (proportional, [QueueReading(ready=1, oldest_ms=90_000), QueueReading(), QueueReading(ready=0)], [0, 0, None]),
    ],
)
def test_the_simpler_controllers(step: Step, readings: list[QueueReading], expected: list[int | None]) -> None:
    controllers, policy = NEUTRAL, ControlPolicy()
    for at, (reading, rate) in enumerate(zip(readings, expected, strict=True)):
        snapshot = Snapshot(taken_at=at, queues={"area": Reading(reading, at)})
        controllers = step(controllers, snapshot, policy, PRESENT, at)
        rates = controllers.queues["area"].rates
        assert rates.get(Criticality.SHEDDABLE) == rate
        assert Criticality.CRITICAL not in rates


@pytest.mark.parametrize("step", [threshold, proportional])
def test_a_simpler_controller_leaves_what_it_cannot_see_as_it_was(step: Step) -> None:
    policy = ControlPolicy()
    bad = Snapshot(taken_at=0, queues={"area": Reading(QueueReading(ready=500, oldest_ms=90_000), 0)})
    controllers = step(NEUTRAL, bad, policy, PRESENT, 0)
    later = policy.stale_ms + 1
    stale = Snapshot(taken_at=later, queues={"area": Reading(QueueReading(ready=0), 0)})
    assert step(controllers, stale, policy, PRESENT, later).queues == controllers.queues
    assert controllers.throttles
