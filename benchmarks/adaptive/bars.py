"""What the adaptive control must show on the scenarios, each as one line: what, how it came out, whether it holds."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from benchmarks.adaptive.measured import Measured, scenario
from packages.scheduling.model import Criticality
from packages.scheduling.simulation.report import Report
from packages.scheduling.simulation.strategies import Strategy

PEAK_SHARE = 0.2
RECOVERY_SHARE = 0.1
RECOVERY_START_S = 5.0
EXPIRED_SHARE = 0.1
SUCCESS = 0.999
WORK_SHARE = 0.95
SETTLED_IN = 20
SWING = 0.2
# So many messages are what a moment brings.
_NO_BACKLOG = 20
_CRITICAL = (Criticality.CRITICAL_PLUS, Criticality.CRITICAL)


class Bar(NamedTuple):
    """`used`: the part of what the bar allows, above 1 where it fails; None: the bar says nothing here."""

    name: str
    found: str
    used: float | None

    @property
    def holds(self) -> bool | None:
        """Whether it came out within the bar; None where that says nothing."""
        return None if self.used is None else self.used <= 1


def bars_of(measured: Measured) -> list[Bar]:
    """The bars of the case's scenario, of the adaptive strategy against the fixed one."""
    fixed, adaptive = measured.reports[Strategy.FIXED], measured.reports[Strategy.ADAPTIVE]
    own = _OF_SCENARIO.get(measured.case.scenario)
    return [
        *(own(measured, fixed, adaptive) if own is not None else ()),
        _work(fixed, adaptive),
        _none("critical_plus fires shed", adaptive.shed[Criticality.CRITICAL_PLUS]),
    ]


def _halved(measured: Measured, fixed: Report, adaptive: Report) -> list[Bar]:
    share = adaptive.peak_backlog / max(1, fixed.peak_backlog)
    # With service times that are half as long half of the processes are enough.
    is_overload = fixed.peak_backlog > _NO_BACKLOG or bool(measured.unlike_fixed[Strategy.ADAPTIVE])
    shed = sum(adaptive.shed[criticality] for criticality in _CRITICAL)
    return [
        Bar(
            "peak backlog, of fixed",
            f"{adaptive.peak_backlog} / {fixed.peak_backlog} = {share:.2f}",
            share / PEAK_SHARE if is_overload else None,
        ),
        _within_objectives(fixed, adaptive),
        _none("critical fires shed", shed),
    ]


def _step(measured: Measured, fixed: Report, adaptive: Report) -> list[Bar]:  # noqa: ARG001  # one form for all
    settling = measured.settling[Strategy.ADAPTIVE]
    if settling is None:
        return [Bar("the rate settles", "it was never cut", None)]
    words = (
        f"{settling.rate} at {settling.settled_at:.2f} after {settling.intervals} intervals of the first cut, "
        f"{settling.uncut + settling.intervals} of the step, swing {settling.swing:.2f}"
    )
    return [Bar("the rate settles", words, max(settling.intervals / SETTLED_IN, settling.swing / SWING))]


def _dead(measured: Measured, fixed: Report, adaptive: Report) -> list[Bar]:
    ours, theirs = adaptive.recoveries[0], fixed.recoveries[0]
    start_s = None if ours.critical_start is None else ours.critical_start.most / 1_000
    # Where fixed scheduling never came out of it, it took at least to the end.
    rest_ms = scenario(measured.case.scenario).length_ms - ours.ended
    gone_fixed = rest_ms if theirs.backlog_ms is None else theirs.backlog_ms
    gone = rest_ms if ours.backlog_ms is None else ours.backlog_ms
    more = "more than " if theirs.backlog_ms is None else ""
    return [
        Bar(
            "critical work starts on return",
            f"within {start_s} s",
            math.inf if start_s is None else start_s / RECOVERY_START_S,
        ),
        Bar(
            "backlog gone, of fixed",
            f"{gone / 1_000:.0f} s / {more}{gone_fixed / 1_000:.0f} s = {gone / gone_fixed:.2f}",
            gone / (RECOVERY_SHARE * gone_fixed),
        ),
        Bar(
            "stale sweeps of one job", f"{ours.most_stale_runs} (fixed {theirs.most_stale_runs})", ours.most_stale_runs
        ),
    ]


def _slow(measured: Measured, fixed: Report, adaptive: Report) -> list[Bar]:  # noqa: ARG001  # one form for all
    success = adaptive.critical_success
    return [
        Bar(
            "expired messages, of fixed",
            f"{adaptive.expired} / {fixed.expired}",
            adaptive.expired / (EXPIRED_SHARE * fixed.expired) if fixed.expired else None,
        ),
        Bar("success of critical work", f"{success}", math.inf if success is None else (1 - success) / (1 - SUCCESS)),
    ]


def _normal(measured: Measured, fixed: Report, adaptive: Report) -> list[Bar]:  # noqa: ARG001  # one form for all
    unlike, shed = measured.unlike_fixed[Strategy.ADAPTIVE], sum(adaptive.shed.values())
    return [_none("fires shed", shed), _none("decisions unlike fixed", unlike)]


def _within_objectives(fixed: Report, adaptive: Report) -> Bar:
    """Of each queue the p99 of critical and critical_plus start delays, that of fixed beside it, and the objective."""
    texts: list[str] = []
    used = 0.0
    for name, queue in adaptive.queues.items():
        for criticality, delay in queue.start_delay.items():
            if criticality in _CRITICAL:
                beside = fixed.queues[name].start_delay[criticality].p99
                texts.append(
                    f"{name} {delay.p99 / 1_000:.1f} (fixed {beside / 1_000:.1f}) of {queue.objective_ms / 1_000:.0f} s"
                )
                used = max(used, delay.p99 / queue.objective_ms)
    return Bar("p99 of critical start delays", ", ".join(texts), used)


def _work(fixed: Report, adaptive: Report) -> Bar:
    share = adaptive.due_work / max(1, fixed.due_work)
    text = f"{adaptive.due_work} / {fixed.due_work} = {share:.2f}"
    return Bar("distinct due work, of fixed", text, WORK_SHARE / share if share else math.inf)


def _none(name: str, count: int) -> Bar:
    """A bar that allows none at all."""
    return Bar(name, str(count), math.inf if count else 0)


_OF_SCENARIO: Mapping[str, Callable[[Measured, Report, Report], list[Bar]]] = {
    "workers_halved": _halved,
    "step": _step,
    "io_worker_dead": _dead,
    "slow_database": _slow,
    "normal_day": _normal,
}
