"""The adaptive control against fixed scheduling and two simpler controllers, on the scenarios of the laboratory.

Every bar is shown over five seeds and with service times of half, once and one and a half times the scenario's: how
often it holds, and the case in which it came out worst. Simulated: the same on any machine. Ends with exit code 1 if a
bar does not hold.
"""

import os
import time
from collections.abc import Sequence

from benchmarks.adaptive.bars import Bar, bars_of
from benchmarks.adaptive.comparison import print_comparison
from benchmarks.adaptive.measured import Case, Measured, measure_all
from packages.scheduling.simulation.strategies import Strategy

SEEDS = (1, 2, 3, 4, 5)
SCALES = (0.5, 1.0, 1.5)
# Those that have bars of their own first.
SCENARIOS = (
    "workers_halved",
    "step",
    "io_worker_dead",
    "slow_database",
    "normal_day",
    "market_open_rush",
    "poison_task",
    "recovery",
    "tenfold_jobs",
)


def main() -> int:
    """Run all, print the bars and the comparison; the exit code."""
    begun_s = time.monotonic()
    measured = measure_all(cases(), processes=os.cpu_count() or 1)
    failed = [name for name in SCENARIOS if not print_bars(name, [m for m in measured if m.case.scenario == name])]
    print_comparison([m for m in measured if set(m.reports) == set(Strategy)])
    print(f"\n{len(measured)} cases in {time.monotonic() - begun_s:.0f} s.")
    if failed:
        print(f"Not every bar holds: {', '.join(failed)}.")
    return 1 if failed else 0


def cases() -> list[Case]:
    """All that is run: with the service times of the scenario under every strategy."""
    return [
        Case(name, seed, scale, tuple(Strategy)) if scale == 1 else Case(name, seed, scale)
        for name in SCENARIOS
        for seed in SEEDS
        for scale in SCALES
    ]


def print_bars(name: str, measured: Sequence[Measured]) -> bool:
    """One line for each bar of a scenario; whether all hold."""
    print(f"\n{name}: {len(measured)} cases")
    by_bar: dict[str, list[tuple[Measured, Bar]]] = {}
    for each in measured:
        for bar in bars_of(each):
            by_bar.setdefault(bar.name, []).append((each, bar))
    all_hold = True
    for bar_name, found in by_bar.items():
        said = [(each, bar) for each, bar in found if bar.holds is not None]
        broken = sum(not bar.holds for _, bar in said)
        all_hold &= not broken
        case, worst = max(said or found, key=lambda one: one[1].used or 0)
        where = f"seed {case.case.seed}, x{case.case.scale:g}"
        word = "fails; worst" if broken else "worst"
        print(f"  {len(said) - broken:2} of {len(said):2}  {bar_name}: {word} {worst.found} ({where})")
    return all_hold


if __name__ == "__main__":
    raise SystemExit(main())
