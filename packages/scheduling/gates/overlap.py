"""What becomes of a fire while an earlier run of its job is not over, by the job's overlap policy."""

from typing import Final

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import Opinion, Reason, Verdict
from packages.scheduling.instants import NEVER_ENDS
from packages.scheduling.policies import OverlapMode, Policies
from packages.scheduling.snapshot import Run, Snapshot

NAME: Final = "overlap"
# A buffered fire asks again this often whether the run is over.
ASK_AGAIN_MS: Final = 1_000


def may_speak(policies: Policies, snapshot: Snapshot) -> bool:  # noqa: ARG001  # this tick may add runs of its own
    """Whether the job minds an earlier run."""
    return policies.overlap is not OverlapMode.ALLOW


def opinion(candidate: Candidate, snapshot: Snapshot) -> Opinion | None:
    """A skip, a defer or a fire that revokes, while something runs. Without a reading nothing is known to run."""
    policy = candidate.job.policies.overlap
    if policy is OverlapMode.ALLOW or candidate.forced:
        return None
    runs = running(candidate, snapshot)
    if not runs and not candidate.ahead:
        return None
    # One that this tick is about to publish is no part of the reading, so the opinion is good for this instant only.
    ends = min(run.counts_until for run in runs) if runs and not candidate.ahead else candidate.at + 1
    facts = (("runs", len(runs) + candidate.ahead), *((("task_id", runs[0].task_id),) if runs else ()))
    match policy:
        case OverlapMode.SKIP:
            return Opinion(NAME, Verdict.SKIP, Reason.STILL_RUNNING, holds_until=ends, facts=facts)
        case OverlapMode.BUFFER_ONE:
            until = candidate.at + ASK_AGAIN_MS
            return Opinion(
                NAME, Verdict.DEFER, Reason.STILL_RUNNING, until=until, holds_until=candidate.at + 1, facts=facts
            )
        case OverlapMode.CANCEL_OTHER:
            return Opinion(NAME, Verdict.FIRE, Reason.STILL_RUNNING, holds_until=min(ends, NEVER_ENDS), facts=facts)


def running(candidate: Candidate, snapshot: Snapshot) -> tuple[Run, ...]:
    """The runs of the candidate's job that count at its instant.

    None for a fire that failed to be published: it was found that nothing runs, and what the reading has since may be
    this very fire.
    """
    if snapshot.running is None or candidate.waited is Reason.PUBLISH_FAILED:
        return ()
    return tuple(run for run in snapshot.running.value.get(candidate.job.name, ()) if run.counts_until > candidate.at)
