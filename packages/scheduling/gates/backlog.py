"""Throttles what goes to a queue that does not drain, by the rates of the control.

Nobody consumes the queue: sheddable work waits, one fire of each job. Critical work goes on, a message each time that
the one before is about to expire, so that one that is alive is there when a worker comes back, and not a heap of them.
"""

from functools import lru_cache
from typing import Final

from packages.scheduling.candidate import Candidate
from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import Fact, Opinion, Reason
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import Policies
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.throttle import is_left_alone, opinion_at

NAME: Final = "backlog"


def may_speak(policies: Policies, snapshot: Snapshot) -> bool:  # noqa: ARG001  # of any job
    """Whether any queue is known."""
    return bool(snapshot.controllers.queues)


def opinion(candidate: Candidate, snapshot: Snapshot) -> Opinion | None:
    """A fire in turn or a defer while the job's queue is throttled."""
    job, at = candidate.job, candidate.at
    control = snapshot.controllers.queues.get(job.queue)
    if control is None or not (control.rates or control.unserved):
        return None
    if is_left_alone(job, snapshot, at):
        return None
    if control.unserved:
        return opinion_at(
            _unserved_rate(candidate), NAME, candidate, Reason.NO_CONSUMER, _facts(job.queue, control.unserved_since)
        )
    rate = control.rates.get(job.criticality, ONE)
    messages = control.messages if control.by_length else None
    facts = _facts(job.queue, control.since, control.wait_ms, messages)
    return opinion_at(rate, NAME, candidate, Reason.THROTTLED, facts)


def hangs_on_nominal(job: Job, snapshot: Snapshot) -> bool:
    """Whether what is said of a fire of `job` hangs on when the one behind it comes, and holds for that fire alone."""
    control = snapshot.controllers.queues.get(job.queue)
    is_told_apart = job.criticality is Criticality.CRITICAL and job.expires_ms is not None
    return is_told_apart and control is not None and control.unserved


def _unserved_rate(candidate: Candidate) -> int:
    job = candidate.job
    if not job.criticality.is_critical:
        return 0
    # The period that the nominal begins; for a fire that is only asked about, between two nominals, the one after it.
    begins = job.trigger.next_after(candidate.nominal - 1)
    ends = None if begins is None else job.trigger.next_after(begins)
    if job.expires_ms is None or begins is None or ends is None:
        return ONE
    return min(ONE, (ends - begins) * ONE // job.expires_ms)


@lru_cache(maxsize=1_000)
def _facts(queue: str, since: int | None, wait_ms: int | None = None, messages: int | None = None) -> tuple[Fact, ...]:
    # The same for all fires to a queue in one control interval.
    facts: list[Fact] = [("queue", queue)]
    if since is not None:
        facts.append(("since", since))
    if wait_ms is not None:
        facts.append(("wait_ms", wait_ms))
    if messages is not None:
        facts.append(("messages", messages))
    return tuple(facts)
