"""What a probe is to know of objectives, as a port: who judges them decides how."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from packages.infra.queue.work_counts import WorkCount
from packages.scheduling.control.objective import Objective
from packages.scheduling.readings import ObjectiveReading
from packages.scheduling.snapshot import Reading

# What ended in the last so many milliseconds; None where that is not known.
CountsOf = Callable[[int], Sequence[WorkCount] | None]


class ObjectiveSource(Protocol):
    """Judges objectives, without waiting for anybody."""

    def __call__(
        self, objectives: Collection[Objective], counts_of: CountsOf, now: int
    ) -> Mapping[str, Reading[ObjectiveReading]]:
        """What is known at `now` of those of these objectives of which anything is, by name."""
        ...
