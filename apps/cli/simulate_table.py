"""A comparison of strategies for a person: one column for each strategy."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import typer

from apps.cli.moments import duration_in_words
from apps.cli.output import print_table
from packages.scheduling.instants import ONE_MS, SECOND_MS
from packages.scheduling.model import Criticality
from packages.scheduling.simulation.quantiles import Quantiles
from packages.scheduling.simulation.record import Outcome
from packages.scheduling.simulation.recovery import Recovery
from packages.scheduling.simulation.report import Report, differing, report_of
from packages.scheduling.simulation.strategies import Strategy

_NONE = "-"
_LEAST_EXACT_S = 100


def print_comparison(outcomes: Mapping[Strategy, Outcome]) -> None:
    """Print what the strategies come to; there is at least one."""
    reports = {strategy: report_of(outcome) for strategy, outcome in outcomes.items()}
    first = next(iter(outcomes.values()))
    scenario = first.scenario
    length = duration_in_words(scenario.length_ms * ONE_MS)
    scale = "" if first.service_scale == 1 else f", service times x {first.service_scale:g}"
    typer.echo(f"{scenario.name}: {scenario.title}")
    typer.echo(f"{length}, {len(first.jobs)} jobs, seed {first.seed}{scale}\n")
    columns = [strategy.value for strategy in reports]
    every = tuple(reports.values())
    print_table(["", *columns], [*_whole(every), *_difference(outcomes)])
    typer.echo("\nStart delay in seconds, from publish to start: p50, p95, p99, most")
    print_table(["criticality", *columns], _by_criticality(every, lambda report: report.start_delay))
    typer.echo("\nLateness in seconds, from the planned instant to the start: p50, p95, p99, most")
    print_table(["criticality", *columns], _by_criticality(every, lambda report: report.lateness))
    typer.echo("\nBy queue: peak backlog; p99 of the start delay of critical fires in seconds")
    print_table(["queue", "objective", *columns], _queues(every))
    typer.echo("\nDecisions; a fire that waits has several")
    print_table(["verdict", "reason", *columns], _decisions(every))
    if scenario.events:
        typer.echo("\nAfter each event: time until the backlog was gone; most stale runs of one job")
        print_table(["event", "ends", *columns], _recoveries(every))


def _whole(reports: Sequence[Report]) -> Iterator[list[object]]:
    rows: Mapping[str, Callable[[Report], object]] = {
        "peak backlog": lambda report: f"{report.peak_backlog:,}",
        "mean backlog": lambda report: f"{report.mean_backlog:,.1f}",
        "fires published": lambda report: f"{report.published:,}",
        "fires shed": lambda report: f"{sum(report.shed.values()):,}",
        "of them critical": lambda report: sum(count for each, count in report.shed.items() if each.is_critical),
        "messages expired": lambda report: f"{report.expired:,}",
        "of them critical ": lambda report: f"{report.expired_critical:,}",
        "runs": lambda report: f"{report.runs:,}",
        "of them failed": lambda report: f"{report.failed:,}",
        "distinct due work": lambda report: f"{report.due_work:,}",
        "critical success": lambda report: _share(report.critical_success),
        "most jobs that owe": lambda report: report.most_owed,
        "not begun at the end": lambda report: f"{report.unbegun:,}",
    }
    for name, value in rows.items():
        yield [name, *(value(report) for report in reports)]
    for criticality in Criticality:
        stretches = [report.longest_stretch.get(criticality) for report in reports]
        if any(stretches):
            texts = [_NONE if each is None else _words(each.length_ms) for each in stretches]
            yield [f"longest without a run, {criticality}", *texts]


def _difference(outcomes: Mapping[Strategy, Outcome]) -> Iterator[list[object]]:
    fixed = outcomes.get(Strategy.FIXED)
    if fixed is not None and len(outcomes) > 1:
        yield ["decided unlike fixed", *(f"{differing(fixed, outcome):,}" for outcome in outcomes.values())]


def _by_criticality(
    reports: Sequence[Report], of: Callable[[Report], Mapping[Criticality, Quantiles]]
) -> Iterator[list[object]]:
    for criticality in Criticality:
        cells = [of(report).get(criticality) for report in reports]
        if any(cells):
            yield [criticality.value, *(_quantiles(cell) for cell in cells)]


def _queues(reports: Sequence[Report]) -> Iterator[list[object]]:
    for queue, first in reports[0].queues.items():
        cells = []
        for report in reports:
            own = report.queues[queue]
            delays = [delay.p99 for each, delay in own.start_delay.items() if each.is_critical]
            cells.append(f"{own.peak:,}; {_seconds(max(delays)) if delays else _NONE}")
        yield [queue, _words(first.objective_ms), *cells]


def _decisions(reports: Sequence[Report]) -> Iterator[list[object]]:
    for kind in sorted({kind for report in reports for kind in report.decisions}):
        yield [kind[0].value, kind[1].value, *(f"{report.decisions.get(kind, 0):,}" for report in reports)]


def _recoveries(reports: Sequence[Report]) -> Iterator[list[object]]:
    for same in zip(*(report.recoveries for report in reports), strict=True):
        yield [same[0].what, _words(same[0].ended), *(_recovery(each) for each in same)]


def _recovery(recovery: Recovery) -> str:
    gone = "not gone" if recovery.backlog_ms is None else _words(recovery.backlog_ms)
    return f"{gone}; {recovery.most_stale_runs}"


def _quantiles(quantiles: Quantiles | None) -> str:
    if quantiles is None:
        return _NONE
    return " ".join(_seconds(each) for each in (quantiles.p50, quantiles.p95, quantiles.p99, quantiles.most))


def _seconds(length_ms: int) -> str:
    seconds = length_ms / SECOND_MS
    return f"{seconds:.1f}" if seconds < _LEAST_EXACT_S else f"{seconds:.0f}"


def _words(length_ms: int) -> str:
    return duration_in_words(length_ms * ONE_MS)


def _share(share: float | None) -> str:
    return _NONE if share is None else f"{share:.2%}"
