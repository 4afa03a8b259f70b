"""One scenario with one seed and one scale of the service times: what every strategy came to."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from benchmarks.adaptive.settling import Settling, settling_of
from packages.scheduling.simulate import simulate
from packages.scheduling.simulation.message import Fate
from packages.scheduling.simulation.record import Outcome
from packages.scheduling.simulation.report import Report, differing, report_of
from packages.scheduling.simulation.scenario import Scenario
from packages.scheduling.simulation.scenario_text import scenario_of
from packages.scheduling.simulation.strategies import Strategy
from packages.shared_settings.layers import ROOT


class Case(NamedTuple):
    """What is run."""

    scenario: str
    seed: int
    scale: float
    strategies: tuple[Strategy, ...] = (Strategy.FIXED, Strategy.ADAPTIVE)


class Measured(NamedTuple):
    """What came out: a report of each strategy, on how many fires it decided unlike `fixed`, how its rate settled.

    `never_ran`: of how many jobs something was due, and no run succeeded.
    """

    case: Case
    reports: dict[Strategy, Report]
    unlike_fixed: dict[Strategy, int]
    settling: dict[Strategy, Settling | None]
    never_ran: dict[Strategy, int]


def scenario(name: str) -> Scenario:
    """A scenario of the repository."""
    path = ROOT / "scenarios" / f"{name}.toml"
    return scenario_of(path.read_text(encoding="utf-8"), name=name, source=path.name)


def measure(case: Case) -> Measured:
    """Run a case."""
    chosen = scenario(case.scenario)
    outcomes = {each: simulate(chosen, each, seed=case.seed, service_scale=case.scale) for each in case.strategies}
    fixed = outcomes[Strategy.FIXED]
    settling: dict[Strategy, Settling | None] = {}
    for strategy, outcome in outcomes.items():
        event = chosen.events[0] if chosen.events else None
        lasts_ms = (event.lasts_ms or 0) if event is not None else 0
        begins = chosen.begins + (event.at if event is not None else 0)
        settling[strategy] = settling_of(outcome, begins=begins, ends=begins + lasts_ms) if lasts_ms else None
    return Measured(
        case,
        {strategy: report_of(outcome) for strategy, outcome in outcomes.items()},
        {strategy: differing(fixed, outcome) for strategy, outcome in outcomes.items()},
        settling,
        {strategy: _never_ran(outcome) for strategy, outcome in outcomes.items()},
    )


def _never_ran(outcome: Outcome) -> int:
    ran = {message.job for message in outcome.record.messages if message.fate is Fate.SUCCEEDED}
    begins, ends = outcome.scenario.begins, outcome.scenario.ends
    firsts = (job.trigger.next_after(begins - 1) for name, job in outcome.jobs.items() if name not in ran)
    return sum(first is not None and first < ends for first in firsts)


def measure_all(cases: Sequence[Case], *, processes: int) -> list[Measured]:
    """Run cases, several at a time; the result is the same whatever the order."""
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(measure, cases))
