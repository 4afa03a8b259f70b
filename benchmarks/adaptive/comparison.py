"""The strategies beside each other, on every scenario: the mean over the seeds, service times as in the scenario."""

from collections.abc import Iterable, Sequence

from benchmarks.adaptive.measured import Measured
from packages.scheduling.model import Criticality
from packages.scheduling.simulation.strategies import Strategy

_COLUMNS = (
    "peak",
    "mean",
    "expired",
    "shed",
    "work",
    "never ran",
    "crit+ p99",
    "crit p99",
    "shed+ p99",
    "shed p95",
    "shed p99",
    "swing",
)
_WIDTH = 10


def print_comparison(measured: Sequence[Measured]) -> None:
    """One line for each scenario and strategy, in the order in which they come; start delays are in seconds.

    A delay is that of the fires that began: who begins nothing has none.
    """
    print("\nStrategies, mean over the seeds, service times as in the scenario")
    print(f"{'':30}" + "".join(f"{column:>{_WIDTH}}" for column in _COLUMNS))
    for name in dict.fromkeys(each.case.scenario for each in measured):
        of_name = [each for each in measured if each.case.scenario == name]
        for strategy in Strategy:
            cells = "".join(f"{cell:>{_WIDTH}}" for cell in _cells(of_name, strategy))
            print(f"{name:17}{strategy.value:13}{cells}")


def _cells(measured: Sequence[Measured], strategy: Strategy) -> list[str]:
    reports = [each.reports[strategy] for each in measured]
    settling = [each.settling[strategy] for each in measured]

    def delay(criticality: Criticality, which: str) -> str:
        found = [report.start_delay[criticality] for report in reports if criticality in report.start_delay]
        return _mean(getattr(each, which) / 1_000 for each in found)

    return [
        _mean(report.peak_backlog for report in reports),
        _mean(report.mean_backlog for report in reports),
        _mean(report.expired for report in reports),
        _mean(sum(report.shed.values()) for report in reports),
        _mean(report.due_work for report in reports),
        _mean(each.never_ran[strategy] for each in measured),
        delay(Criticality.CRITICAL_PLUS, "p99"),
        delay(Criticality.CRITICAL, "p99"),
        delay(Criticality.SHEDDABLE_PLUS, "p99"),
        delay(Criticality.SHEDDABLE, "p95"),
        delay(Criticality.SHEDDABLE, "p99"),
        _mean((each.overall_swing for each in settling if each is not None), digits=2),
    ]


def _mean(numbers: Iterable[float], digits: int = 1) -> str:
    found = list(numbers)
    return f"{sum(found) / len(found):.{digits}f}" if found else "-"
