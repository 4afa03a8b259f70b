"""The words of the engine as frozen values: a job, its trigger, how much it matters.

Pure: nothing here reads a clock, a file or a setting.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Criticality(StrEnum):
    """Who is held back last, highest first."""

    CRITICAL_PLUS = "critical_plus"
    CRITICAL = "critical"
    SHEDDABLE_PLUS = "sheddable_plus"
    SHEDDABLE = "sheddable"


@dataclass(frozen=True)
class IntervalTrigger:
    """Fires every `period`, which is a whole number of milliseconds above zero."""

    period: timedelta

    def __post_init__(self) -> None:
        if self.period <= timedelta(0) or self.period % timedelta(milliseconds=1):
            raise ValueError(f"an interval must be a whole number of milliseconds above zero, not {self.period}")


@dataclass(frozen=True)
class DailyTrigger:
    """Fires once a day at `hour`:`minute` in UTC."""

    hour: int
    minute: int

    def __post_init__(self) -> None:
        if not (0 <= self.hour <= 23 and 0 <= self.minute <= 59):  # noqa: PLR2004  # the clock's own numbers
            raise ValueError(f"{self.hour}:{self.minute} is no time of day; an hour is 0 to 23, a minute 0 to 59")


Trigger = IntervalTrigger | DailyTrigger


@dataclass(frozen=True)
class Job:
    """One declared piece of periodic work. Its identity is `name`.

    `expires_after` is how long an unstarted message stays worth running; a later one is dropped by the worker.
    """

    name: str
    task: str
    trigger: Trigger
    queue: str
    criticality: Criticality
    expires_after: timedelta

    def __post_init__(self) -> None:
        if self.expires_after <= timedelta(0):
            raise ValueError(f"job {self.name}: expires_after must be above zero, not {self.expires_after}")
