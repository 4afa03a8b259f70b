"""Jobs made by hand for the tests of the engine."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import DEFAULT_POLICIES, Policies
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.triggers.interval import IntervalTrigger

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

MINUTE = 60_000
# 2026-03-02 00:00 UTC, a Monday.
MIDNIGHT = 1_772_409_600_000


def a_job(
    name: str = "area.job",
    *,
    every: int = MINUTE,
    trigger: Trigger | None = None,
    policies: Policies = DEFAULT_POLICIES,
    criticality: Criticality = Criticality.CRITICAL,
) -> Job:
    """A job on the queue `area`, every minute unless told otherwise."""
    return Job(
        name=name,
        task=name,
        trigger=trigger or IntervalTrigger(every),
        queue="area",
        criticality=criticality,
        policies=policies,
    )


@dataclass(frozen=True)
class BrokenTrigger:
    """Raises as soon as it is asked."""

    message: str = "the trigger is broken"
    repeats_when_set_back: ClassVar[bool] = True

    def next_after(self, after: int) -> int | None:
        raise RuntimeError(f"{self.message} after {after}")

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        raise RuntimeError(f"{self.message} from {start} to {end}")

    def describe(self) -> str:
        return self.message
