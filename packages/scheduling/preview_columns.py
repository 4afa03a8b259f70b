"""A preview as columns, and how its rows are collected: one decision at a time, or many that say the same.

Nothing is decided here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packages.scheduling.decision import Decision
from packages.scheduling.model import Job

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# What a signed number of 64 bits has room for.
_SORTED_BITS: Final = 63


@dataclass(frozen=True, slots=True)
class Preview:
    """Every decision in [start, end), in the order of `at`, as columns of one length.

    job: index into `jobs`. nominal, planned, at: instants; `at` is when it is decided, for a fire when it is published.
    kind: index into `kinds`, a decision that says what this one says (verdict, reason, opinions) of another instant.
    A fire that still waits at the end has one row, a defer. `failures`: what jobs raised, by name; they have no rows
    from there on.
    """

    jobs: tuple[Job, ...]
    start: int
    end: int
    job: "npt.NDArray[np.int32]"
    nominal: "npt.NDArray[np.int64]"
    planned: "npt.NDArray[np.int64]"
    at: "npt.NDArray[np.int64]"
    kind: "npt.NDArray[np.int32]"
    kinds: tuple[Decision, ...]
    failures: Mapping[str, Exception]

    def __len__(self) -> int:
        return len(self.at)

    def decisions(self) -> Iterator[Decision]:
        """The rows as decisions, lazily."""
        columns = (self.job, self.nominal, self.planned, self.at, self.kind)
        for job, nominal, planned, at, kind in zip(*(column.tolist() for column in columns), strict=True):
            yield self.kinds[kind]._replace(job=self.jobs[job].name, nominal=nominal, planned=planned, at=at)


class Rows:
    """Collects decisions as columns, in the order in which they are made of one job after the other."""

    def __init__(self, start: int) -> None:
        self._start = start
        # Decisions that stand alone: job, kind, nominal, planned, at; and their places among all rows.
        self._singles: list[tuple[int, int, int, int, int]] = []
        self._places: list[int] = []
        # Decisions that say the same, each at its planned instant: job, kind, nominals, planned.
        self._blocks: list[tuple[int, int, npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
        self._length = 0
        self._kinds: list[Decision] = []

    def add(self, job: int, decision: Decision) -> None:
        """One decision; what is decided before the start is none of the preview's."""
        if decision.at >= self._start:
            self._singles.append((job, len(self._kinds), decision.nominal, decision.planned, decision.at))
            self._places.append(self._length)
            self._length += 1
            self._kinds.append(decision)

    def add_all(
        self, job: int, decision: Decision, nominals: "npt.NDArray[np.int64]", planned: "npt.NDArray[np.int64]"
    ) -> None:
        """Decisions that say what `decision` says, each at its planned instant; sorted."""
        if planned[0] < self._start:
            first = int(planned.searchsorted(self._start, side="left"))
            nominals, planned = nominals[first:], planned[first:]
        if len(planned):
            self._blocks.append((job, len(self._kinds), nominals, planned))
            self._length += len(planned)
            self._kinds.append(decision)

    def sorted(self, jobs: tuple[Job, ...], end: int, failures: Mapping[str, Exception]) -> Preview:
        """All of them in the order of `at`; those of one instant by job, and then as they were made."""
        import numpy as np

        singles = np.array(self._singles, dtype=np.int64).reshape(-1, 5)
        alone = np.array(self._places, dtype=np.int64)
        in_block = np.ones(self._length, dtype=bool)
        in_block[alone] = False
        lengths = [len(block[3]) for block in self._blocks]

        def column(of_singles: int, of_blocks: "npt.NDArray[np.int64]") -> "npt.NDArray[np.int64]":
            values = np.empty(self._length, dtype=np.int64)
            values[alone], values[in_block] = singles[:, of_singles], of_blocks
            return values

        def number(of_block: int) -> "npt.NDArray[np.int32]":
            repeated = np.repeat(np.array([block[of_block] for block in self._blocks], dtype=np.int64), lengths)
            return column(of_block, repeated)[order].astype(np.int32)

        def instants(of_block: int) -> "npt.NDArray[np.int64]":
            return np.concatenate([np.zeros(0, dtype=np.int64), *(block[of_block] for block in self._blocks)])

        at = column(4, instants(3))
        order = _order_of(at, self._start, end)
        return Preview(
            jobs=jobs,
            start=self._start,
            end=end,
            job=number(0),
            nominal=column(2, instants(2))[order],
            planned=column(3, instants(3))[order],
            at=at[order],
            kind=number(1),
            kinds=tuple(self._kinds),
            failures=failures,
        )


def _order_of(at: "npt.NDArray[np.int64]", start: int, end: int) -> "npt.NDArray[np.int64]":
    """The order that sorts `at`, whose values are in [start, end), and keeps what is equal as it stands."""
    import numpy as np

    bits = len(at).bit_length()
    if (end - start).bit_length() + bits > _SORTED_BITS:
        return np.argsort(at, kind="stable")
    # Values are sorted several times as fast as they are put in order; so each one carries its place.
    keys = (at - start << bits) + np.arange(len(at), dtype=np.int64)
    keys.sort()
    return keys & ((1 << bits) - 1)
