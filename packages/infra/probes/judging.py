"""Who judges which objective: the workers' counters those of tasks and queues, somebody else the external ones."""

from collections.abc import Callable, Collection, Mapping, Sequence

from packages.infra.probes.external_objectives import ExternalObjectives
from packages.infra.probes.objectives import objective_readings
from packages.infra.queue.work_counts import WorkCount
from packages.scheduling.control.objective import Objective
from packages.scheduling.readings import ObjectiveReading
from packages.scheduling.snapshot import Reading


class Judges:
    """An objective source of the probes. Without `external` nothing is ever known of external objectives."""

    def __init__(self, external: ExternalObjectives | None) -> None:
        self._external = external

    def __call__(
        self, objectives: Collection[Objective], counts_of: Callable[[int], Sequence[WorkCount] | None], now: int
    ) -> Mapping[str, Reading[ObjectiveReading]]:
        """What is known of these objectives, by name: counted at `now`, or as old as the last answer of the others."""
        counted = objective_readings(objectives, counts_of)
        told = {} if self._external is None else self._external.read(objectives)
        return {**{name: Reading(reading, now) for name, reading in counted.items()}, **told}
