"""One instant, once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT, to_datetime
from packages.scheduling.triggers.base import TriggerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class OneOff:
    """The instant `at` and no other.

    Raises:
        TriggerError: it is not from 1970 to 2199.
    """

    at: int
    repeats_when_set_back: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not FIRST_INSTANT <= self.at <= LAST_INSTANT:
            raise TriggerError(f"a one-off is from 1970 to 2199: {FIRST_INSTANT} to {LAST_INSTANT} ms, not {self.at}")

    def next_after(self, after: int) -> int | None:
        """See `Trigger`."""
        return self.at if after < self.at else None

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        import numpy as np

        if start < self.at <= end:
            yield np.array([self.at], dtype=np.int64)

    def describe(self) -> str:
        """See `Trigger`."""
        return f"once at {to_datetime(self.at).isoformat()}"
