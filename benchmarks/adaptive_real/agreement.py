"""Whether a real run and its simulation agree: each figure beside the other, and the margin within which it must be.

The margins say what a simulation is good for. One process more or less, a message that was taken half a second earlier,
and a cut comes one control interval sooner or later: what follows differs by that.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from benchmarks.adaptive_real.measures import Measures
from packages.scheduling.instants import SECOND_MS


class Margin(NamedTuple):
    """How far apart two figures may be: by `least` in any case, by a `share` of the larger one if that is more."""

    least: float
    share: float = 0.0

    def holds(self, one: float, other: float) -> bool:
        """Whether these are close enough."""
        return abs(one - other) <= max(self.least, self.share * max(abs(one), abs(other)))


PEAK: Final = Margin(least=5, share=0.25)
MEAN: Final = Margin(least=1, share=0.25)
MEDIAN_DELAY_S: Final = Margin(least=0.25, share=0.25)
TAIL_DELAY_S: Final = Margin(least=1.0, share=0.25)
PUBLISHED_POINTS: Final = Margin(least=10)
# A few control intervals of a second each; to rise from nothing to all takes fifty.
THROTTLED_S: Final = Margin(least=4)
WHOLE_S: Final = Margin(least=10)


class Figure(NamedTuple):
    """One figure of both runs; None is a thing that did not happen."""

    name: str
    real: float | None
    simulated: float | None
    margin: Margin

    @property
    def agrees(self) -> bool:
        """Whether it does."""
        if self.real is None or self.simulated is None:
            return self.real is self.simulated
        return self.margin.holds(self.real, self.simulated)


def figures(real: Measures, simulated: Measures) -> Iterator[Figure]:
    """All figures that are compared."""
    yield Figure("peak backlog", real.peak_backlog, simulated.peak_backlog, PEAK)
    yield Figure("mean backlog", real.mean_backlog, simulated.mean_backlog, MEAN)
    for each, quantiles in simulated.delays.items():
        found = real.delays.get(each)
        p50, p95 = (None, None) if found is None else (found.p50, found.p95)
        yield Figure(f"start delay p50, s: {each}", _seconds(p50), _seconds(quantiles.p50), MEDIAN_DELAY_S)
        yield Figure(f"start delay p95, s: {each}", _seconds(p95), _seconds(quantiles.p95), TAIL_DELAY_S)
    for each, share in simulated.published.items():
        yield Figure(f"fires published, %: {each}", 100 * real.published.get(each, 0.0), 100 * share, PUBLISHED_POINTS)
    yield Figure(
        "throttled after, s", _seconds(real.throttled_after_ms), _seconds(simulated.throttled_after_ms), THROTTLED_S
    )
    yield Figure("whole again after, s", _seconds(real.whole_after_ms), _seconds(simulated.whole_after_ms), WHOLE_S)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / SECOND_MS
