"""Whether a real run and its simulations agree: each figure beside the others, and the margin that is allowed.

A message that is taken a few milliseconds earlier can make a queue dip below its target just once, and what it is cut
by comes a few control intervals later. So the run is simulated several times, with a message taking a millisecond more
or less, and a real figure agrees if it lies between the simulated ones, or beyond them by the margin at most.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from benchmarks.adaptive_real.measures import Measures
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.model import Criticality
from packages.scheduling.simulation.quantiles import Quantiles


class Margin(NamedTuple):
    """How far a figure may be from another: by `least` in any case, by a `share` of the other one if that is more."""

    least: float
    share: float = 0.0

    def around(self, value: float) -> float:
        """How far it may be from this value."""
        return max(self.least, self.share * value)


PEAK: Final = Margin(least=4, share=0.15)
MEAN: Final = Margin(least=0.75, share=0.15)
MEDIAN_DELAY_S: Final = Margin(least=0.15, share=0.15)
TAIL_DELAY_S: Final = Margin(least=0.5, share=0.15)
PUBLISHED_POINTS: Final = Margin(least=5)
# A few control intervals of a second each; to rise from nothing to all takes about forty.
THROTTLED_S: Final = Margin(least=3)
WHOLE_S: Final = Margin(least=10)


class Figure(NamedTuple):
    """One figure of the real run and of each simulation; None is a thing that did not happen."""

    name: str
    real: float | None
    simulated: Sequence[float | None]
    margin: Margin

    @property
    def agrees(self) -> bool:
        """Whether it does."""
        known = [each for each in self.simulated if each is not None]
        if self.real is None:
            return len(known) < len(self.simulated)
        if not known:
            return False
        least, most = min(known), max(known)
        return least - self.margin.around(least) <= self.real <= most + self.margin.around(most)


def figures(real: Measures, simulated: Sequence[Measures]) -> Iterator[Figure]:
    """All figures that are compared."""

    def figure(name: str, margin: Margin, of: Callable[[Measures], float | None]) -> Figure:
        return Figure(name, of(real), [of(each) for each in simulated], margin)

    yield figure("peak backlog", PEAK, lambda run: run.peak_backlog)
    yield figure("mean backlog", MEAN, lambda run: run.mean_backlog)
    for each in Criticality:
        yield figure(
            f"start delay p50, s: {each}", MEDIAN_DELAY_S, partial(_delay, each=each, of=lambda found: found.p50)
        )
        yield figure(
            f"start delay p95, s: {each}", TAIL_DELAY_S, partial(_delay, each=each, of=lambda found: found.p95)
        )
        yield figure(f"fires published, %: {each}", PUBLISHED_POINTS, partial(_published, each=each))
    yield figure("throttled after, s", THROTTLED_S, lambda run: _seconds(run.throttled_after_ms))
    yield figure("whole again after, s", WHOLE_S, lambda run: _seconds(run.whole_after_ms))


def _delay(run: Measures, *, each: Criticality, of: Callable[[Quantiles], int]) -> float | None:
    found = run.delays.get(each)
    return None if found is None else _seconds(of(found))


def _published(run: Measures, *, each: Criticality) -> float | None:
    share = run.published.get(each)
    return None if share is None else 100 * share


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / SECOND_MS
