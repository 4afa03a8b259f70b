import pytest

from benchmarks.adaptive_real.agreement import Figure, Margin, figures
from benchmarks.adaptive_real.measures import Look, Seen, measures_of, seen_in
from benchmarks.adaptive_real.run import Start, next_beginning, scenario_in
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.model import Criticality
from packages.scheduling.simulate import simulate
from packages.scheduling.simulation.report import report_of
from packages.scheduling.simulation.strategies import Strategy
from packages.shared_settings.layers import ROOT

SCENARIO = ROOT / "scenarios" / "real_run.toml"


@pytest.mark.parametrize(
    ("real", "simulated", "agrees"),
    [
        (4, (6,), True),
        (3.9, (6,), False),
        (8, (6,), True),
        (8.1, (6,), False),
        (75, (100, 110), True),
        (74, (100, 110), False),
        (105, (100, 110), True),
        (137, (100, 110), True),
        (138, (100, 110), False),
        (None, (None, None), True),
        (None, (1, None), True),
        (1, (1, None), True),
        (None, (0,), False),
        (0, (None,), False),
    ],
)
def test_a_figure_agrees_between_the_simulated_ones_and_within_the_margin_beyond(
    real: float | None, simulated: tuple[float | None, ...], *, agrees: bool
) -> None:
    assert Figure("a figure", real, simulated, Margin(least=2, share=0.25)).agrees is agrees


def test_the_scenario_asks_for_what_it_is_to_show() -> None:
    scenario = scenario_in(SCENARIO)
    outcome = simulate(scenario, Strategy.ADAPTIVE)
    measures = measures_of(seen_in(outcome), scenario, outcome.jobs)
    report = report_of(outcome)
    assert measures.delays == report.start_delay
    assert measures.published[Criticality.CRITICAL_PLUS] == measures.published[Criticality.CRITICAL] == 1
    assert measures.published[Criticality.SHEDDABLE] < 0.9
    assert measures.peak_backlog <= report.peak_backlog
    assert measures.throttled_after_ms is not None
    # It is throttled, and whole again, within the scenario.
    assert measures.throttled_after_ms < (scenario.events[0].lasts_ms or 0)
    assert measures.whole_after_ms is not None
    assert all(figure.agrees for figure in figures(measures, [measures]))


def test_a_run_that_was_never_throttled_says_so() -> None:
    scenario = scenario_in(SCENARIO)
    seen = Seen(looks=[Look(scenario.begins + at * SECOND_MS, ready=at, throttled=False) for at in range(-1, 5)])
    measures = measures_of(seen, scenario, {})
    assert (measures.peak_backlog, measures.mean_backlog) == (4, 2)
    assert (measures.throttled_after_ms, measures.whole_after_ms) == (None, None)


def test_the_times_of_throttling_are_counted_from_the_ends_of_the_event() -> None:
    scenario = scenario_in(SCENARIO)
    throttled = {100, 101, 103, 150}
    seen = Seen(looks=[Look(scenario.begins + at * SECOND_MS, 0, at in throttled) for at in range(200)])
    measures = measures_of(seen, scenario, {})
    assert measures.throttled_after_ms == 70 * SECOND_MS
    assert measures.whole_after_ms == 31 * SECOND_MS


def test_the_jobs_are_on_the_same_grid_whenever_a_run_begins() -> None:
    scenario = scenario_in(SCENARIO)
    for after in (0, 1_700_000_000_123, scenario.begins):
        begins = next_beginning(scenario, after)
        assert 0 <= begins - after < 8 * SECOND_MS
        assert (begins - scenario.begins) % (8 * SECOND_MS) == 0


def test_what_nobody_brings_about_is_refused() -> None:
    with pytest.raises(SystemExit, match="Stopped is not run for real"):
        scenario_in(ROOT / "scenarios" / "io_worker_dead.toml")


def test_a_start_is_read_as_it_was_kept() -> None:
    headers = {
        "beat_job": "a.1",
        "scheduled_for": "2026-03-02T08:00:00.250Z",
        "beat_published_at": "2026-03-02T08:00:00.253Z",
    }
    start = Start.of(headers, began_at=1_772_438_401_000)
    assert start == Start("a.1", 1_772_438_400_250, 1_772_438_400_253, 1_772_438_401_000)
    assert Start.read(start.text().encode()) == start
