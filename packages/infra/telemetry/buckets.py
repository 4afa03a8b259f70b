"""Counts of measured values by size, for a histogram: written by one thread, read by others at any time."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence


class Buckets:
    """How many values were at most each of the `bounds` (rising), how many above all of them, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def add(self, values: Iterable[float]) -> None:
        """Count these, in the unit of the bounds."""
        counts, bounds, total = self._counts, self._bounds, 0.0
        # Many values are the same: fires of one instant, published together.
        for value, count in Counter(values).items():
            counts[bisect_left(bounds, value)] += count
            total += value * count
        self._sum += total

    def add_one(self, value: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def cumulative(self, *, per_unit: float = 1.0) -> tuple[list[tuple[str, float]], float]:
        """(upper bound, how many values up to it) as Prometheus wants them, and the sum; divided by `per_unit`.

        One step of the interpreter copies the counts, so that no lock is needed.
        """
        counts, total = list(self._counts), self._sum
        names = [repr(bound / per_unit) for bound in self._bounds] + ["+Inf"]
        shown, so_far = [], 0
        for name, count in zip(names, counts, strict=True):
            so_far += count
            shown.append((name, float(so_far)))
        return shown, total / per_unit
