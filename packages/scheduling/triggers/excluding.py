"""A trigger but for the instants that another one names."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packages.scheduling.instants import LAST_INSTANT
from packages.scheduling.triggers.base import Trigger

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

# After this many nominals in a row that are all excluded the search ends: four years of minutes, 24 days of seconds.
LONGEST_RUN: Final = 1 << 21
# So many nominals are looked at one by one before whole arrays are.
_FEW: Final = 64
# With more excluded instants than this for each nominal, one question for each nominal is the cheaper way.
_DENSE: Final = 64


@dataclass(frozen=True, slots=True)
class Excluding:
    """The instants of `trigger` that `exclusion` does not name.

    The search is bounded: after `LONGEST_RUN` nominals in a row that are all excluded there are no more.
    """

    trigger: Trigger
    exclusion: Trigger

    @property
    def repeats_when_set_back(self) -> bool:
        """See `Trigger`."""
        return self.trigger.repeats_when_set_back

    def next_after(self, after: int) -> int | None:
        """See `Trigger`."""
        nominal = self.trigger.next_after(after)
        for _ in range(_FEW):
            if nominal is None or self.exclusion.next_after(nominal - 1) != nominal:
                return nominal
            nominal = self.trigger.next_after(nominal)
        if nominal is None:
            return None
        first = next(self.between(nominal - 1, LAST_INSTANT), None)
        return None if first is None else int(first[0])

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        run = 0
        for nominals in self.trigger.between(start, end):
            kept = nominals[~self._excluded(nominals)]
            if len(kept):
                run = 0
                yield kept
            else:
                run += len(nominals)
                if run >= LONGEST_RUN:
                    return

    def describe(self) -> str:
        """See `Trigger`."""
        return f"({self.trigger.describe()}) but not ({self.exclusion.describe()})"

    def _excluded(self, nominals: "npt.NDArray[np.int64]") -> "npt.NDArray[np.bool_]":
        """Which of the nominals the exclusion names."""
        import numpy as np

        excluded = np.zeros(len(nominals), dtype=np.bool_)
        done = listed = 0
        for instants in self.exclusion.between(int(nominals[0]) - 1, int(nominals[-1])):
            upto = int(np.searchsorted(nominals, instants[-1], side="right"))
            excluded[done:upto] = np.isin(nominals[done:upto], instants, assume_unique=True)
            done, listed = upto, listed + len(instants)
            if listed > _DENSE * len(nominals):
                break
        else:
            return excluded
        for index in range(done, len(nominals)):
            nominal = int(nominals[index])
            excluded[index] = self.exclusion.next_after(nominal - 1) == nominal
        return excluded
