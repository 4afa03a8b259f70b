"""A Celery schedule of any class as a trigger: its own `remaining_estimate` is asked at made-up instants.

For schedules whose answer depends on nothing but the last run and the clock. The user's object is never changed: a copy
is asked, whose clock says the instant in question.
"""

import copy
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Final, Self

from celery import Celery
from celery.schedules import BaseSchedule, crontab, schedule

from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT, MINUTE_MS, ONE_MS, SECOND_MS, to_datetime
from packages.scheduling.triggers.base import stepped

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

# An answer that does not lie behind the question is asked again from a later instant: 1, 2, 4 ... seconds on, up to a
# fortnight in all.
_MOST_QUESTIONS: Final = 21
_FIRST_STEP_MS: Final = 1_000
_SHARED_EVERY_MS: Final = 10 * MINUTE_MS
_HOURS: Final = 24


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

    `settles_ms`: by so much, less than a minute, may two answers differ that name the same event; 0 for not at all.
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

    @property
    def repeats_when_set_back(self) -> bool:
        """See `Trigger`: as an interval does, and a crontab of every hour. Of what is neither nobody knows."""
        if isinstance(self.copied, crontab):
            return len(vars(self.copied)["hour"]) == _HOURS
        return isinstance(self.copied, schedule)

    def next_after(self, after: int) -> int | None:
        """See `Trigger`; None, too, when the schedule names nothing later in a bounded number of questions."""
        # From before an event that was rounded up to behind `after`, and that is too near to be found from `after`.
        back_ms = 2 * self.settles_ms + SECOND_MS if self.settles_ms else 0
        asked = max(after - back_ms, FIRST_INSTANT - 1)
        step_ms = max(_FIRST_STEP_MS, self.settles_ms)
        for _ in range(_MOST_QUESTIONS):
            if asked >= LAST_INSTANT:
                return None
            nominal = self._settled(self._ask(asked))
            if nominal > after:
                return nominal if nominal <= LAST_INSTANT else None
            asked = max(asked, min(nominal, after)) + step_ms
            step_ms *= 2
        return None

    def _ask(self, asked: int) -> int:
        self.clock.at = asked
        # Rounded up: an instant that is cut off would be found once more behind itself.
        return asked - (-self.copied.remaining_estimate(self.clock()) // ONE_MS)

    def _settled(self, nominal: int) -> int:
        """The event near `nominal`, as it is named whatever the question was.

        Such an answer differs by a few milliseconds with the instant of the question, so the question is put once more
        from an instant that all of them share, and the answer is rounded up to whole seconds.
        """
        if not self.settles_ms:
            return nominal
        shared = (nominal // _SHARED_EVERY_MS - 1) * _SHARED_EVERY_MS
        return -(-self._ask(shared) // SECOND_MS) * SECOND_MS

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        return stepped(self, start, end)

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
