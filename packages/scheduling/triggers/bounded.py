"""A trigger for a time: between two instants, or for a number of fires."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT, NEVER_ENDS, to_datetime
from packages.scheduling.triggers.base import Trigger, TriggerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

MOST_FIRES: Final = 10_000_000
# So many fires are counted one by one; more are counted by whole arrays.
_FEW: Final = 256


@dataclass(frozen=True, slots=True)
class Within:
    """The instants of `trigger` from `active_from` (inclusive) to `active_until` (exclusive).

    Raises:
        TriggerError: it begins outside the range of the engine, or ends before it begins.
    """

    trigger: Trigger
    active_from: int = FIRST_INSTANT
    active_until: int = NEVER_ENDS

    def __post_init__(self) -> None:
        _check_start(self.active_from)
        if self.active_until <= self.active_from:
            raise TriggerError(f"a trigger that is active from {self.active_from} may not end at {self.active_until}")

    @property
    def repeats_when_set_back(self) -> bool:
        """See `Trigger`."""
        return self.trigger.repeats_when_set_back

    def next_after(self, after: int) -> int | None:
        """See `Trigger`."""
        nominal = self.trigger.next_after(max(after, self.active_from - 1))
        return nominal if nominal is not None and nominal < self.active_until else None

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        return self.trigger.between(max(start, self.active_from - 1), min(end, self.active_until - 1))

    def describe(self) -> str:
        """See `Trigger`."""
        since = f" from {_moment(self.active_from)}" if self.active_from > FIRST_INSTANT else ""
        until = f" until {_moment(self.active_until)}" if self.active_until <= LAST_INSTANT else ""
        return f"({self.trigger.describe()}){since}{until}"


@dataclass(frozen=True, slots=True)
class Limited:
    """The first `fires` instants of `trigger` that are not before `counted_from`; none before it.

    What is counted are nominals, whatever is decided on them: it depends on no history.

    Raises:
        TriggerError: `fires` is not 1 to `MOST_FIRES`, or `counted_from` is outside the range of the engine.
    """

    trigger: Trigger
    fires: int
    counted_from: int

    def __post_init__(self) -> None:
        _check_start(self.counted_from)
        if not 1 <= self.fires <= MOST_FIRES:
            raise TriggerError(f"a limited trigger fires 1 to {MOST_FIRES} times, not {self.fires}")

    @property
    def repeats_when_set_back(self) -> bool:
        """See `Trigger`."""
        return self.trigger.repeats_when_set_back

    def next_after(self, after: int) -> int | None:
        """See `Trigger`."""
        return _limited(self).next_after(after)

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        return _limited(self).between(start, end)

    def describe(self) -> str:
        """See `Trigger`."""
        return f"{self.fires} times ({self.trigger.describe()}) from {_moment(self.counted_from)}"


@lru_cache(maxsize=1024)
def _limited(limited: Limited) -> Within:
    """The same with its end counted out, which is done once."""
    trigger, fires, nominal = limited.trigger, limited.fires, limited.counted_from - 1
    for _ in range(min(fires, _FEW)):
        following = trigger.next_after(nominal)
        if following is None:
            return Within(trigger, limited.counted_from)
        nominal, fires = following, fires - 1
    if fires:
        for nominals in trigger.between(nominal, LAST_INSTANT):
            if len(nominals) >= fires:
                nominal = int(nominals[fires - 1])
                break
            fires -= len(nominals)
        else:
            return Within(trigger, limited.counted_from)
    return Within(trigger, limited.counted_from, nominal + 1)


def _check_start(start: int) -> None:
    if not FIRST_INSTANT <= start <= LAST_INSTANT:
        raise TriggerError(f"a trigger begins from 1970 to 2199: {FIRST_INSTANT} to {LAST_INSTANT} ms, not {start}")


def _moment(instant: int) -> str:
    return to_datetime(instant).isoformat()
