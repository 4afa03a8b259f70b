"""What a trigger is: it names the nominal instants of a job, and nothing else."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

# An array of `between` holds at most this many instants.
CHUNK: int = 65_536


class TriggerError(ValueError):
    """A trigger cannot be built from what was given; the text names what is wrong and what is allowed."""


class Trigger(Protocol):
    """A frozen, hashable value that names instants: strictly increasing, within the instants of the engine.

    The same value names the same instants in any process. Both methods are bounded in time: a trigger that fires no
    more says so.
    """

    @property
    def repeats_when_set_back(self) -> bool:
        """Whether what it has named runs once more when the wall clock is set back and those instants come round again.

        So does what follows the clock: it would be silent for as long. What has an hour of its own runs once.
        """
        ...

    def next_after(self, after: int) -> int | None:
        """The first nominal later than `after`, which may be any integer; None if there is none."""
        ...

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """The nominals in (start, end], lazily, in non-empty arrays of at most `CHUNK`; none if `end <= start`."""
        ...

    def describe(self) -> str:
        """The whole trigger in one line for people. Two triggers that name different instants differ here."""
        ...


def stepped(trigger: Trigger, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
    """`Trigger.between` of a trigger that can only say what comes next."""
    import numpy as np

    nominal = trigger.next_after(start)
    while nominal is not None and nominal <= end:
        chunk: list[int] = []
        while nominal is not None and nominal <= end and len(chunk) < CHUNK:
            chunk.append(nominal)
            nominal = trigger.next_after(nominal)
        yield np.array(chunk, dtype=np.int64)
