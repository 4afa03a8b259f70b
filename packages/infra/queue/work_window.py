"""The sums of one window over buckets of counts, kept for the next time: only what comes and goes is added up."""

from collections.abc import Callable, Iterable, Mapping
from operator import add, sub

from packages.infra.queue.work_buckets import Bucket, WorkKey

# The counts of one key, each at its place. There are many: the collector of garbage does not look at tuples of numbers.
Values = tuple[int, ...]


class WindowSums:
    """Of one window, which moves on."""

    def __init__(self) -> None:
        self._of: dict[Bucket, Mapping[WorkKey, Values]] = {}
        self._sums: dict[WorkKey, Values] = {}

    def of(
        self, settled: Mapping[Bucket, Mapping[WorkKey, Values]], others: Iterable[Mapping[WorkKey, Values]]
    ) -> Mapping[WorkKey, Values]:
        """The sums over all of them. A settled bucket is remembered, and known by its mapping."""
        gone = [bucket for bucket, counts in self._of.items() if settled.get(bucket) is not counts]
        for bucket in gone:
            _add(self._of.pop(bucket), self._sums, sub)
        for bucket, counts in settled.items():
            if bucket not in self._of:
                self._of[bucket] = counts
                _add(counts, self._sums, add)
        sums = {key: values for key, values in self._sums.items() if any(values)}
        self._sums = dict(sums)
        for counts in others:
            _add(counts, sums, add)
        return sums


def _add(counts: Mapping[WorkKey, Values], sums: dict[WorkKey, Values], operation: Callable[[int, int], int]) -> None:
    for key, values in counts.items():
        known = sums.get(key)
        sums[key] = values if known is None else tuple(map(operation, known, values))
