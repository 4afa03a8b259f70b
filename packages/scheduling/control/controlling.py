"""The adaptive control of one engine: its state, the jobs that it is about, and when an interval is over."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from packages.scheduling.control.controllers import NEUTRAL
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.control.step import Step, as_held, is_due, modes_of, step, without_queue
from packages.scheduling.decision import Decision, Reason
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

    def remove(self, job: Job) -> None:
        """There is one less."""
        key = job.queue, job.criticality
        self._jobs[key] -= 1
        if not self._jobs[key]:
            del self._jobs[key]
            self._present = None

    @property
    def kinds(self) -> Collection[tuple[str, Criticality]]:
        """Of which queues and criticalities there are jobs."""
        return self._jobs.keys()

    def controlled(self, snapshot: Snapshot, now: int) -> Snapshot:
        """The snapshot with what the gates are to go by, after an interval that may be over."""
        policy = self._policy
        if policy is None:
            return snapshot
        modes = {**modes_of(policy, snapshot.gate_modes), **snapshot.gate_modes}
        self.controllers = as_held(self.controllers, modes)
        if is_due(self.controllers, policy, now):
            coalesced = Counter(self.controllers.coalesced) + self._taken_up
            self._taken_up.clear()
            before = self.controllers._replace(coalesced=dict(coalesced)) if coalesced else self.controllers
            self.controllers = self._step(before, snapshot, policy, self._by_queue(), now)
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

    def _by_queue(self) -> Mapping[str, Sequence[Criticality]]:
        if self._present is None:
            self._present = {}
            for queue, criticality in self._jobs:
                self._present.setdefault(queue, []).append(criticality)
        return self._present
