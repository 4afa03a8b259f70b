"""The adaptive control against fixed scheduling and two simpler controllers, on the scenarios of the laboratory.

Every bar is shown over five seeds and with service times of half, once and one and a half times the scenario's: how
often it holds, and the case in which it came out worst. Simulated: the same on any machine.
"""

import os
import time
from collections.abc import Iterable, Sequence

from benchmarks.adaptive.bars import Bar, bars_of
from benchmarks.adaptive.measured import Case, Measured, measure_all
from packages.scheduling.model import Criticality
from packages.scheduling.simulation.report import Report
from packages.scheduling.simulation.strategies import Strategy

SEEDS = (1, 2, 3, 4, 5)
SCALES = (0.5, 1.0, 1.5)
JUDGED = ("workers_halved", "step", "io_worker_dead", "slow_database", "normal_day")
OTHERS = ("market_open_rush", "poison_task", "recovery", "tenfold_jobs")
COMPARED = ("workers_halved", "slow_database", "normal_day", "step")


def main() -> None:
    """Run all, print the bars and the comparison."""
    begun_s = time.monotonic()
    processes = os.cpu_count() or 1
    cases = [Case(name, seed, scale) for name in JUDGED for seed in SEEDS for scale in SCALES]
    cases += [Case(name, 1, scale) for name in OTHERS for scale in SCALES]
    measured = measure_all(cases, processes=processes)
    failed = [
        name for name in (*JUDGED, *OTHERS) if not _print_bars(name, [m for m in measured if m.case.scenario == name])
    ]
    every = tuple(Strategy)
    compared = [Case(name, seed, 1.0, every) for name in COMPARED for seed in SEEDS[:3]]
    _print_comparison(measure_all(compared, processes=processes))
    print(f"\n{len(cases) + len(compared)} cases in {time.monotonic() - begun_s:.0f} s.")
    if failed:
        print(f"Not every bar holds: {', '.join(failed)}.")


def _print_bars(name: str, measured: Sequence[Measured]) -> bool:
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


def _print_comparison(measured: Sequence[Measured]) -> None:
    """The strategies beside each other: the mean over seeds."""
    print("\nStrategies, mean over seeds 1 to 3, service times as in the scenario")
    columns = ("peak", "mean", "expired", "shed", "work", "crit p99 s", "shed p99 s", "swing")
    print(f"{'':34}" + "".join(f"{column:>11}" for column in columns))
    for name in COMPARED:
        of_name = [each for each in measured if each.case.scenario == name]
        for strategy in Strategy:
            reports = [each.reports[strategy] for each in of_name]
            settling = [each.settling[strategy] for each in of_name]
            swings = [each.overall_swing for each in settling if each is not None]
            cells = [
                _mean(report.peak_backlog for report in reports),
                _mean(report.mean_backlog for report in reports),
                _mean(report.expired for report in reports),
                _mean(sum(report.shed.values()) for report in reports),
                _mean(report.due_work for report in reports),
                _mean(_p99(report, (Criticality.CRITICAL_PLUS, Criticality.CRITICAL)) for report in reports),
                _mean(_p99(report, (Criticality.SHEDDABLE_PLUS, Criticality.SHEDDABLE)) for report in reports),
            ]
            swing = f"{_mean(swings):11.2f}" if swings else f"{'-':>11}"
            print(f"{name:20}{strategy.value:14}" + "".join(f"{cell:11.1f}" for cell in cells) + swing)


def _p99(report: Report, criticalities: Iterable[Criticality]) -> float:
    """The longest of their p99 start delays, in seconds."""
    return max((report.start_delay[c].p99 for c in criticalities if c in report.start_delay), default=0) / 1_000


def _mean(numbers: Iterable[float]) -> float:
    found = list(numbers)
    return sum(found) / len(found)


if __name__ == "__main__":
    main()
