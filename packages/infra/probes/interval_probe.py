"""A probe that asks once an interval, whoever it asks: what is wanted, what was told last, what becomes of a failure.

An interval is over, and the probe asks. What it is told is known from then on; without an answer, or without one in
time, what was told last stays and gets older, and for a while nobody is asked.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeVar

from packages.infra.probes.objective_source import CountsOf, ObjectiveSource
from packages.infra.probes.probe import ProbeReadings
from packages.infra.probes.work import Work
from packages.infra.queue.outages import Errand
from packages.scheduling.control.objective import Objective
from packages.scheduling.instants import FIRST_INSTANT
from packages.scheduling.readings import ObjectiveReading, TaskReading
from packages.scheduling.snapshot import Reading

log = logging.getLogger(__name__)

T = TypeVar("T")

# Of more queues, or more tasks, than anybody serves nothing is asked.
MOST: Final = 1_000


class IntervalProbe(ABC):
    """See `Probe`. `judge` says what is known of the objectives."""

    def __init__(
        self, *, interval_ms: int, judge: ObjectiveSource | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.interval_ms = interval_ms
        self._judge = judge
        self._monotonic = monotonic
        self._queues: tuple[str, ...] = ()
        self._tasks: frozenset[str] = frozenset()
        self._objectives: tuple[Objective, ...] = ()
        self._told = ProbeReadings()
        self._asked_at = FIRST_INSTANT
        # Whatever goes wrong: without readings beat publishes, without beat nobody does.
        self._errand = Errand("probe", (Exception,), monotonic)
        self._judging = Errand("judge objectives", (Exception,), monotonic)

    def want(self, queues: Collection[str], tasks: Collection[str], objectives: Collection[Objective]) -> None:
        """See `Probe`."""
        for what, names in {"queues": queues, "tasks": tasks}.items():
            if len(names) > MOST:
                log.warning("too_much_to_probe", extra={"what": what, "there_are": len(names), "asked_about": MOST})
        self._queues = tuple(sorted(queues)[:MOST])
        self._tasks, self._objectives = frozenset(sorted(tasks)[:MOST]), tuple(objectives)
        known = self._told
        self._told = ProbeReadings(
            queues=_only(known.queues, self._queues),
            tasks=_only(known.tasks, self._tasks),
            objectives=_only(known.objectives, [objective.name for objective in objectives]),
        )

    def read(self, now_ms: int) -> ProbeReadings:
        """See `Probe`."""
        if (self._queues or self._objectives) and not 0 <= now_ms - self._asked_at < self.interval_ms:
            self._asked_at = now_ms
            self._errand.run(lambda: self._ask(now_ms))
        return self._told

    @abstractmethod
    def close(self) -> None:
        """See `Probe`."""

    @abstractmethod
    def _ask(self, now: int) -> None:
        """Put what is told now into `_told`. May raise anything."""

    def _ended(self, work: Work, now: int) -> Mapping[str, Reading[TaskReading]]:
        """The tasks as they end now; of those that nobody tells of, what was told last."""
        return {**self._told.tasks, **{task: Reading(each, now) for task, each in work.tasks(self._tasks, now).items()}}

    def _judged(self, counts_of: CountsOf, now: int) -> Mapping[str, Reading[ObjectiveReading]]:
        """The objectives as they are judged now; of those that nobody can judge, what was told last."""
        judge = self._judge
        judged = dict(self._told.objectives)
        if judge is not None and self._objectives:
            self._judging.run(lambda: judged.update(judge(self._objectives, counts_of, now)))
        return judged


def _only(known: Mapping[str, T], wanted: Collection[str]) -> Mapping[str, T]:
    return {name: known[name] for name in wanted if name in known}
