"""The adaptive control of one engine: its state, the jobs that it is about, and when an interval is over."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from packages.scheduling.control.controllers import NEUTRAL
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.control.step import (
    Step,
    TaskKind,
    as_held,
    is_due,
    modes_of,
    of_held_tasks,
    step,
    without_queue,
)
from packages.scheduling.decision import Decision, Reason
from packages.scheduling.gates import failing_target
from packages.scheduling.model import Criticality, Job
from packages.scheduling.snapshot import Snapshot


class HasJob(Protocol):
    """What a job is found in."""

    @property
    def job(self) -> Job:
        """The job."""
        ...


class Controlling:
    """Of one engine. Without a policy it does nothing."""

    def __init__(self) -> None:
        self.controllers = NEUTRAL
        self._policy: ControlPolicy | None = None
        self._step: Step = step
        self._jobs: Counter[tuple[str, Criticality]] = Counter()
        self._present: dict[str, list[Criticality]] | None = None
        # Of the jobs that a failing task may have held: no others, since there may be as many tasks as jobs.
        self._tasks: Counter[TaskKind] = Counter()
        # Since the last interval: the controllers stay one object in between, which is kept once.
        self._taken_up: Counter[tuple[str, Criticality]] = Counter()

    def use(self, policy: ControlPolicy | None, step: Step) -> None:
        """Go by these thresholds from now on; None: by nothing, and forget what was learnt."""
        self._policy, self._step = policy, step
        if policy is None:
            self.controllers = NEUTRAL

    def reset(self, queue: str | None) -> None:
        """Forget what was learnt of one queue, or of everything."""
        self.controllers = NEUTRAL if queue is None else without_queue(self.controllers, queue)
        for key in [key for key in self._taken_up if queue is None or key[0] == queue]:
            del self._taken_up[key]

    def add(self, job: Job) -> None:
        """There is such a job."""
        key = job.queue, job.criticality
        self._jobs[key] += 1
        if self._jobs[key] == 1:
            self._present = None
        if failing_target.may_hold(job.criticality):
            self._tasks[_task_kind(job)] += 1

    def remove(self, job: Job) -> None:
        """There is one less."""
        key = job.queue, job.criticality
        self._jobs[key] -= 1
        if not self._jobs[key]:
            del self._jobs[key]
            self._present = None
        if failing_target.may_hold(job.criticality):
            kind = _task_kind(job)
            self._tasks[kind] -= 1
            if not self._tasks[kind]:
                del self._tasks[kind]

    @property
    def kinds(self) -> Collection[tuple[str, Criticality]]:
        """Of which queues and criticalities there are jobs."""
        return self._jobs.keys()

    def controlled(self, snapshot: Snapshot, now: int, slots: Mapping[str, HasJob]) -> Snapshot:
        """The snapshot with what the gates are to go by, after an interval that may be over. `slots`: all jobs."""
        policy = self._policy
        if policy is None:
            return snapshot
        modes = {**modes_of(policy, snapshot.gate_modes), **snapshot.gate_modes}
        self.controllers = as_held(self.controllers, modes)
        if is_due(self.controllers, policy, now):
            coalesced = Counter(self.controllers.coalesced) + self._taken_up
            self._taken_up.clear()
            before = self.controllers._replace(coalesced=dict(coalesced)) if coalesced else self.controllers
            before, seen = of_held_tasks(before, snapshot, self._not_exempt(snapshot, slots, now), now)
            self.controllers = self._step(before, seen, policy, self._by_queue(), now)
        # Neutral, not merely without effect: the gates then have nothing to look at.
        controllers = self.controllers if self.controllers.throttles else NEUTRAL
        return snapshot._replace(gate_modes=modes, controllers=controllers)

    def decided(self, decisions: Sequence[Decision], slots: Mapping[str, HasJob]) -> None:
        """Count what was taken up by a later fire."""
        if self._policy is None or not self.controllers.throttles:
            return
        self._taken_up.update(
            (job.queue, job.criticality)
            for decision in decisions
            if decision.reason is Reason.COALESCED
            for job in (slots[decision.job].job,)
        )

    def _not_exempt(self, snapshot: Snapshot, slots: Mapping[str, HasJob], now: int) -> Iterable[TaskKind]:
        exempt = [slots[name].job for name, said in snapshot.exempt.items() if said.holds(now) and name in slots]
        return (self._tasks - Counter(map(_task_kind, exempt))).keys() if exempt else self._tasks.keys()

    def _by_queue(self) -> Mapping[str, Sequence[Criticality]]:
        if self._present is None:
            self._present = {}
            for queue, criticality in self._jobs:
                self._present.setdefault(queue, []).append(criticality)
        return self._present


def _task_kind(job: Job) -> TaskKind:
    return job.task, job.queue, job.criticality
