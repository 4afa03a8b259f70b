"""A Celery schedule of any class as a trigger: its own `remaining_estimate` is asked at made-up instants.

For schedules whose answer depends on nothing but the last run and the clock. The user's object is never changed: a copy
is asked, whose clock says the instant in question.
"""

import copy
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Final, Self

from celery import Celery
from celery.schedules import BaseSchedule

from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT, ONE_MS, to_datetime
from packages.scheduling.triggers.base import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

# An answer that does not lie behind the question is asked again from a later instant: 1, 2, 4 ... seconds on, up to a
# fortnight in all.
_MOST_QUESTIONS: Final = 21
_FIRST_STEP_MS: Final = 1_000


class _Clock:
    """Says the instant at which a schedule is being asked."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self.at = FIRST_INSTANT

    def __call__(self) -> datetime:
        return to_datetime(self.at).astimezone(self._zone)


@dataclass(frozen=True, eq=False)
class EstimatedTrigger:
    """The instants at which `copied` would run, one after another. Equal to itself only.

    `settles_ms`: an answer that is no later than this after the question names the same event once more.
    """

    copied: BaseSchedule
    clock: _Clock
    text: str
    settles_ms: int = 0

    @classmethod
    def of(cls, schedule: BaseSchedule, app: Celery, *, settles_ms: int = 0) -> Self:
        """A trigger that names what `schedule` would, as part of `app`."""
        copied: Any = copy.copy(schedule)
        copied.app = app
        if (zone := vars(schedule).get("tz")) is not None:
            # A zone that was put onto the schedule; its own way to copy itself may lose it.
            copied.tz = zone
        clock = _Clock(copied.tz)
        copied.nowfun = clock
        return cls(copied, clock, f"{description_of(schedule)} in {copied.tz}", settles_ms)

    def next_after(self, after: int) -> int | None:
        """See `Trigger`; None, too, when the schedule names nothing later in a bounded number of questions."""
        asked = max(after, FIRST_INSTANT - 1)
        step_ms = max(_FIRST_STEP_MS, self.settles_ms)
        for _ in range(_MOST_QUESTIONS):
            if asked >= LAST_INSTANT:
                return None
            self.clock.at = asked
            remaining = self.copied.remaining_estimate(self.clock())
            # Rounded up: an instant that is cut off would be found once more behind itself.
            nominal = asked - (-remaining // ONE_MS)
            if nominal > after + self.settles_ms or (nominal > after and asked > after):
                return nominal if nominal <= LAST_INSTANT else None
            asked += step_ms
            step_ms *= 2
        return None

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        import numpy as np

        nominal = self.next_after(start)
        while nominal is not None and nominal <= end:
            chunk: list[int] = []
            while nominal is not None and nominal <= end and len(chunk) < CHUNK:
                chunk.append(nominal)
                nominal = self.next_after(nominal)
            yield np.array(chunk, dtype=np.int64)

    def describe(self) -> str:
        """See `Trigger`."""
        return self.text


def description_of(schedule: object) -> str:
    """A schedule in one line that is the same in every process.

    A representation with an address in it says nothing of the kind; the class and its plain attributes stand for it.
    """
    kind = type(schedule)
    said = repr(schedule)
    # The representation of an interval is rounded, and does not say that it is relative.
    if " at 0x" in said or hasattr(schedule, "run_every"):
        plain = {
            name: value
            for name, value in sorted(getattr(schedule, "__dict__", {}).items())
            if not name.startswith("_") and isinstance(value, str | int | float | timedelta)
        }
        said = ", ".join(f"{name}={value}" for name, value in plain.items())
    return f"{kind.__module__}.{kind.__qualname__} {said}".rstrip()
