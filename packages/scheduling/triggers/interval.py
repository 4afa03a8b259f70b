"""Every so many milliseconds, on a grid that depends on no process's start: phase + n * period since the epoch."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Self

from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT, NEVER_ENDS, ONE_MS
from packages.scheduling.jitter import hash64
from packages.scheduling.triggers.base import CHUNK, TriggerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class IntervalTrigger:
    """The instants `phase_ms + n * period_ms` for whole n of any sign. `phase_ms` is kept below the period.

    Raises:
        TriggerError: the period is not above zero, or longer than the range of the engine.
    """

    period_ms: int
    phase_ms: int = 0
    repeats_when_set_back: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 1 <= self.period_ms <= NEVER_ENDS:
            raise TriggerError(f"an interval is 1 ms to {NEVER_ENDS} ms, about 230 years, not {self.period_ms} ms")
        object.__setattr__(self, "phase_ms", self.phase_ms % self.period_ms)

    @classmethod
    def every(cls, period: timedelta, *, phase: timedelta = timedelta(0)) -> Self:
        """From durations, which are whole milliseconds.

        Raises:
            TriggerError: see `IntervalTrigger`; or a duration has a fraction of a millisecond.
        """
        for name, duration in (("period", period), ("phase", phase)):
            if duration % ONE_MS:
                raise TriggerError(f"the {name} of an interval is in whole milliseconds, not {duration}")
        return cls(period // ONE_MS, phase // ONE_MS)

    def spread_by(self, name: str) -> Self:
        """The same interval at a phase that is a hash of `name`, so that a family of jobs does not fire at once."""
        return type(self)(self.period_ms, hash64(name, 0) * self.period_ms >> 64)

    def next_after(self, after: int) -> int | None:
        """See `Trigger`."""
        if after < FIRST_INSTANT - 1:
            return self.next_after(FIRST_INSTANT - 1)
        nominal = after + self.period_ms - (after - self.phase_ms) % self.period_ms
        return nominal if nominal <= LAST_INSTANT else None

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        import numpy as np

        end = min(end, LAST_INSTANT)
        first = self.next_after(start)
        while first is not None and first <= end:
            count = min(CHUNK, (end - first) // self.period_ms + 1)
            yield first + self.period_ms * np.arange(count, dtype=np.int64)
            first = self.next_after(first + (count - 1) * self.period_ms)

    def describe(self) -> str:
        """See `Trigger`."""
        every = f"every {self.period_ms * ONE_MS}"
        return f"{every} from {self.phase_ms * ONE_MS} past the epoch" if self.phase_ms else every
