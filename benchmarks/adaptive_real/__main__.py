"""A scenario for real, beside its simulations (`python -m benchmarks.adaptive_real [SCENARIO.toml]`).

Takes as long as the scenario: four minutes. An embedded server, one beat, and the workers of the scenario are started
for it, and are gone at the end, whatever happens. Ends with exit code 1 if a figure does not agree within its margin.
"""

import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Never

from benchmarks.adaptive_real.agreement import Figure, figures
from benchmarks.adaptive_real.measures import Seen, measures_of, seen_in
from benchmarks.adaptive_real.run import SEED
from benchmarks.adaptive_real.watch import platform, run_through
from packages.scheduling.simulate import simulate
from packages.scheduling.simulation.job_groups import jobs_of
from packages.scheduling.simulation.record import Outcome
from packages.scheduling.simulation.scenario import Scenario
from packages.scheduling.simulation.strategies import Strategy
from packages.shared_settings.layers import ROOT

DEFAULT: Final = ROOT / "scenarios" / "real_run.toml"
# What a worker needs to take a message, on one machine or another.
MESSAGE_MS: Final = (1, 2, 3, 4, 5)


def main(arguments: list[str]) -> int:
    """Run it; the exit code."""
    file = Path(arguments[0]) if arguments else DEFAULT
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    with platform(file) as real:
        _say(f"look at it with: REDIS_URL={real.server.url()} minsy status")
        real.start_workers()
        begins = real.start_beat("beat")
        seen = run_through(real, begins, _say)
    scenario = replace(real.scenario, begins=begins)
    jobs = {job.name: job for job in jobs_of(scenario)}
    simulated = [measures_of(seen_in(each), scenario, jobs) for each in _simulations(scenario, seen)]
    found = list(figures(measures_of(seen, scenario, jobs), simulated))
    for figure in found:
        _tell(figure)
    disagree = [figure.name for figure in found if not figure.agrees]
    _print(agreement=scenario.name, figures=len(found), disagree=disagree)
    return 1 if disagree else 0


def _simulations(scenario: Scenario, seen: Seen) -> Iterator[Outcome]:
    """The scenario with its events as they really were."""
    for message_ms in MESSAGE_MS:
        simulated = replace(scenario, events=tuple(seen.happened), message_ms=message_ms)
        yield simulate(simulated, Strategy.ADAPTIVE, seed=SEED)


def _tell(figure: Figure) -> None:
    _print(
        figure=figure.name,
        real=_rounded(figure.real),
        simulated=[_rounded(each) for each in figure.simulated],
        margin=figure.margin._asdict(),
        agrees=figure.agrees,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _print(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _end(number: int, _: object) -> Never:
    # Once: cleaning up takes a few seconds, and is not to be broken off.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
