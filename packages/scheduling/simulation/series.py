"""A run over time: backlog, rates and decisions in even bins, for a plot or another program."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.model import Criticality
from packages.scheduling.simulation.record import Outcome

_MOST_BINS: Final = 240
_STEP_MS: Final = 10 * SECOND_MS


@dataclass(frozen=True, slots=True)
class Series:
    """Each sequence has a value for each bin of `bin_ms`, from the beginning of the scenario on.

    `backlog`: the most messages that waited in the bin, by queue. `together`: how many waited in each queue when most
    did in all of them. `rates`: the share that is let through at the end of
    the bin, 0 to 1, by queue and criticality; those that were never below 1 are left out. `decisions`: how many.
    """

    bin_ms: int
    backlog: Mapping[str, Sequence[int]]
    together: Mapping[str, Sequence[int]]
    rates: Mapping[tuple[str, Criticality], Sequence[float]]
    decisions: Mapping[tuple[Verdict, Reason], Sequence[int]]

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return len(next(iter(self.backlog.values())))


def series_of(outcome: Outcome) -> Series:
    """In at most 240 bins, each a multiple of ten seconds."""
    length_ms = outcome.scenario.length_ms
    bin_ms = -(-length_ms // (_MOST_BINS * _STEP_MS)) * _STEP_MS
    bins = -(-length_ms // bin_ms)
    return Series(
        bin_ms,
        _backlog(outcome, bin_ms, bins),
        _together(outcome, bin_ms, bins),
        _rates(outcome, bin_ms, bins),
        _decisions(outcome, bin_ms, bins),
    )


def _backlog(outcome: Outcome, bin_ms: int, bins: int) -> dict[str, list[int]]:
    backlog = {queue: [0] * bins for queue in outcome.scenario.queues}
    for sample in outcome.record.samples:
        position = (sample.at - outcome.scenario.begins) // bin_ms
        for ready, counts in zip(sample.ready, backlog.values(), strict=True):
            counts[position] = max(counts[position], ready)
    return backlog


def _together(outcome: Outcome, bin_ms: int, bins: int) -> dict[str, list[int]]:
    queues = outcome.scenario.queues
    fullest: list[Sequence[int]] = [[0] * len(queues)] * bins
    for sample in outcome.record.samples:
        position = (sample.at - outcome.scenario.begins) // bin_ms
        fullest[position] = max(fullest[position], sample.ready, key=sum)
    return {queue: [ready[at] for ready in fullest] for at, queue in enumerate(queues)}


def _rates(outcome: Outcome, bin_ms: int, bins: int) -> dict[tuple[str, Criticality], list[float]]:
    changes = outcome.record.rates
    throttled = {key for change in changes for key in change.rates}
    rates = {key: [1.0] * bins for key in sorted(throttled)}
    upcoming = 0
    for position in range(bins):
        end = outcome.scenario.begins + (position + 1) * bin_ms
        while upcoming < len(changes) and changes[upcoming].at < end:
            upcoming += 1
        if upcoming:
            for key, rate in changes[upcoming - 1].rates.items():
                rates[key][position] = rate / ONE
    return rates


def _decisions(outcome: Outcome, bin_ms: int, bins: int) -> dict[tuple[Verdict, Reason], list[int]]:
    decisions: dict[tuple[Verdict, Reason], list[int]] = {}
    for decision in outcome.record.decisions:
        counts = decisions.setdefault((decision.verdict, decision.reason), [0] * bins)
        counts[(decision.at - outcome.scenario.begins) // bin_ms] += decision.count
    return dict(sorted(decisions.items()))
