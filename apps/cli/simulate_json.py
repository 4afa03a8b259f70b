"""A comparison of strategies as JSON: every number of the reports, and the runs over time."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.simulation.record import Outcome
from packages.scheduling.simulation.report import differing, report_of
from packages.scheduling.simulation.series import Series, series_of
from packages.scheduling.simulation.strategies import Strategy


def comparison_as_json(outcomes: Mapping[Strategy, Outcome]) -> dict[str, Any]:
    """All of it; durations are in ms, rates and shares 0 to 1."""
    first = next(iter(outcomes.values()))
    scenario = first.scenario
    fixed = outcomes.get(Strategy.FIXED)
    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "length_ms": scenario.length_ms,
        "seed": first.seed,
        "service_scale": first.service_scale,
        "strategies": {
            strategy.value: {
                **_report(outcome),
                "decided_unlike_fixed": None if fixed is None else differing(fixed, outcome),
                "over_time": _series(series_of(outcome)),
            }
            for strategy, outcome in outcomes.items()
        },
    }


def _report(outcome: Outcome) -> dict[str, Any]:
    report = asdict(report_of(outcome))
    for said_above in ("scenario", "strategy", "seed", "service_scale"):
        del report[said_above]
    report["decisions"] = _by_kind(report["decisions"])
    return report


def _series(series: Series) -> dict[str, Any]:
    rates: dict[str, dict[str, Any]] = {}
    for (queue, criticality), values in series.rates.items():
        rates.setdefault(queue, {})[criticality.value] = values
    return {
        "bin_ms": series.bin_ms,
        "backlog": series.backlog,
        "rates": rates,
        "decisions": _by_kind(series.decisions),
    }


def _by_kind(values: Mapping[tuple[Verdict, Reason], Any]) -> dict[str, dict[str, Any]]:
    by_verdict: dict[str, dict[str, Any]] = {}
    for (verdict, reason), value in values.items():
        by_verdict.setdefault(verdict.value, {})[reason.value] = value
    return by_verdict
