"""Probes a task that fails nearly always instead of hammering it. Critical work is worth its try."""

from typing import Final

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import Opinion, Reason
from packages.scheduling.model import Criticality
from packages.scheduling.policies import Policies
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.throttle import is_left_alone, opinion_at

NAME: Final = "failing_target"


def may_speak(policies: Policies, snapshot: Snapshot) -> bool:  # noqa: ARG001  # of any job
    """Whether any task fails."""
    return bool(snapshot.controllers.targets)


def may_hold(criticality: Criticality) -> bool:
    """Whether fires of this criticality are held back at all."""
    return not criticality.is_critical


def opinion(candidate: Candidate, snapshot: Snapshot) -> Opinion | None:
    """A fire in turn or a defer while the job's task is throttled."""
    job, at = candidate.job, candidate.at
    target = snapshot.controllers.targets.get(job.task)
    if target is None or not may_hold(job.criticality):
        return None
    if is_left_alone(job, snapshot, at):
        return None
    facts = (("task", job.task), ("since", target.since))
    return opinion_at(target.rate, NAME, candidate, Reason.TARGET_FAILING, facts)
