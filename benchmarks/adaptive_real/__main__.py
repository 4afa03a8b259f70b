"""A scenario for real, beside its simulation (`python -m benchmarks.adaptive_real [SCENARIO.toml]`).

Takes as long as the scenario: four minutes. An embedded server, one beat, and the workers of the scenario are started
for it, and are gone at the end, whatever happens. Ends with exit code 1 if a figure does not agree within its margin.
"""

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final, Never

from benchmarks.adaptive_real.agreement import Figure, figures
from benchmarks.adaptive_real.measures import measures_of, seen_in
from benchmarks.adaptive_real.run import SEED
from benchmarks.adaptive_real.watch import platform, run_through
from packages.scheduling.simulate import simulate
from packages.scheduling.simulation.strategies import Strategy
from packages.shared_settings.layers import ROOT

DEFAULT: Final = ROOT / "scenarios" / "real_run.toml"


def main(arguments: list[str]) -> int:
    """Run it; the exit code."""
    file = Path(arguments[0]) if arguments else DEFAULT
    signal.signal(signal.SIGTERM, _end)
    with platform(file) as real:
        _say(f"look at it with: REDIS_URL={real.server.url()} minsy status")
        real.start_workers()
        begins = real.start_beat("beat")
        seen = run_through(real, begins, _say)
        scenario = replace(real.scenario, begins=begins)
    outcome = simulate(scenario, Strategy.ADAPTIVE, seed=SEED)
    found = list(
        figures(measures_of(seen, scenario, outcome.jobs), measures_of(seen_in(outcome), scenario, outcome.jobs))
    )
    for figure in found:
        _tell(figure)
    disagree = [figure.name for figure in found if not figure.agrees]
    _print(agreement=scenario.name, figures=len(found), disagree=disagree)
    return 1 if disagree else 0


def _tell(figure: Figure) -> None:
    _print(
        figure=figure.name,
        real=_rounded(figure.real),
        simulated=_rounded(figure.simulated),
        margin=figure.margin._asdict(),
        agrees=figure.agrees,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _print(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _end(*_: object) -> Never:
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
