"""An interval whose period is no whole number of milliseconds, such as a third of a second."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Final

from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT
from packages.scheduling.triggers.base import TriggerError, stepped

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

_US_PER_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class MicrosecondInterval:
    """The instants `anchor + n * period` for whole n of any sign, cut off to milliseconds; each is named once.

    `anchor` is an instant, in milliseconds.
    """

    period_us: int
    anchor: int = 0
    repeats_when_set_back: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.period_us <= 0:
            raise TriggerError(f"an interval must be at least one microsecond, not {self.period_us}")

    def next_after(self, after: int) -> int | None:
        """See `Trigger`."""
        start_us = (max(after, FIRST_INSTANT - 1) + 1 - self.anchor) * _US_PER_MS
        nominal = self.anchor + -(-start_us // self.period_us) * self.period_us // _US_PER_MS
        return nominal if nominal <= LAST_INSTANT else None

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        return stepped(self, start, end)

    def describe(self) -> str:
        """See `Trigger`."""
        return f"every {timedelta(microseconds=self.period_us)} from instant {self.anchor}"
