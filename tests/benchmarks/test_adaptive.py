"""The bars of the control, on one short case: each of them can be told, and one that does not hold is."""

import pytest

from benchmarks.adaptive.bars import bars_of
from benchmarks.adaptive.comparison import print_comparison
from benchmarks.adaptive.measured import Case, Measured, measure
from benchmarks.adaptive.run import SCENARIOS, cases, print_bars
from packages.scheduling.simulation.strategies import Strategy

DEAD = "io_worker_dead"


@pytest.fixture(scope="module")
def measured() -> Measured:
    return measure(Case(DEAD, seed=1, scale=0.5, strategies=tuple(Strategy)))


def test_the_bars_of_a_short_case_hold(measured: Measured, capsys: pytest.CaptureFixture[str]) -> None:
    assert {bar.name: bar.holds for bar in bars_of(measured)} == {
        "critical work starts on return": True,
        "backlog gone, of fixed": True,
        "stale sweeps of one job": True,
        "distinct due work, of fixed": True,
        "critical_plus fires shed": True,
    }
    assert print_bars(DEAD, [measured])
    assert capsys.readouterr().out.count("1 of  1") == 5


def test_a_bar_that_does_not_hold_is_told(measured: Measured, capsys: pytest.CaptureFixture[str]) -> None:
    fixed = measured.reports[Strategy.FIXED]
    as_fixed = measured._replace(reports=dict.fromkeys(Strategy, fixed))
    assert not print_bars(DEAD, [measured, as_fixed])
    assert " 1 of  2  stale sweeps of one job: fails; worst 11 (fixed 11)" in capsys.readouterr().out


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_has_bars(scenario: str, measured: Measured) -> None:
    bars = bars_of(measured._replace(case=measured.case._replace(scenario=scenario)))
    assert len({bar.name for bar in bars}) == len(bars) >= 2
    assert all(bar.found for bar in bars)


def test_a_rate_settles_where_there_is_one(measured: Measured) -> None:
    assert measured.settling[Strategy.FIXED] is None
    settling = measured.settling[Strategy.ADAPTIVE]
    # Nobody serves the queue: nothing is let through for as long as that lasts.
    assert settling is not None
    assert (settling.settled_at, settling.swing) == (0, 0)


def test_the_strategies_are_told_beside_each_other(measured: Measured, capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison([measured, measured])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[-len(Strategy) :]] == [[DEAD, strategy.value] for strategy in Strategy]


def test_every_scenario_is_run_with_every_seed_and_compared() -> None:
    every = cases()
    assert len(every) == len(set(every)) == len(SCENARIOS) * 15
    assert {case.scenario for case in every if set(case.strategies) == set(Strategy)} == set(SCENARIOS)
