"""Quantiles of whole numbers: the nearest rank, which is always one of the numbers (no value in between is made up)."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of `count` numbers: the median, the 95th and 99th percentile, the largest."""

    count: int
    p50: int
    p95: int
    p99: int
    most: int


def quantiles_of(numbers: Iterable[int]) -> Quantiles | None:
    """The quantiles; None of no numbers."""
    ordered = sorted(numbers)
    if not ordered:
        return None
    p50, p95, p99 = (ordered[ceil(len(ordered) * percent / 100) - 1] for percent in (50, 95, 99))
    return Quantiles(len(ordered), p50, p95, p99, ordered[-1])
