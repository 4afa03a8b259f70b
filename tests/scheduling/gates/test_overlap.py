"""While an earlier run is not over: for how long the gate says the same."""

import pytest

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import SCHEDULE
from packages.scheduling.gates import overlap
from packages.scheduling.policies import OverlapMode, Policies
from packages.scheduling.snapshot import Reading, Run, Snapshot
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job

ENDS = (3 * MINUTE, MINUTE, 2 * MINUTE)
RUNS = tuple(Run(f"run-{n}", MIDNIGHT - MINUTE, MIDNIGHT + end) for n, end in enumerate(ENDS))


@pytest.mark.parametrize("policy", OverlapMode)
@pytest.mark.parametrize("ahead", [0, 1])
def test_it_says_the_same_of_each_later_fire_until_it_says_otherwise(policy: OverlapMode, ahead: int) -> None:
    job = a_job(policies=Policies(overlap=policy))
    snapshot = Snapshot(taken_at=MIDNIGHT, running=Reading({job.name: RUNS}, MIDNIGHT))

    def said(at: int) -> tuple[object, ...]:
        opinion = overlap.opinion(Candidate(job, at, at, SCHEDULE, at=at, ahead=ahead), snapshot)
        return () if opinion is None else (opinion.verdict, opinion.reason, opinion.facts)

    instants = range(MIDNIGHT, MIDNIGHT + 4 * MINUTE, 1_000)
    for at in instants:
        opinion = overlap.opinion(Candidate(job, at, at, SCHEDULE, at=at, ahead=ahead), snapshot)
        if opinion is not None:
            assert opinion.holds_until > at
            assert {said(later) for later in instants if at <= later < opinion.holds_until} == {said(at)}


def test_what_it_would_revoke_is_what_runs_then() -> None:
    job = a_job(policies=Policies(overlap=OverlapMode.CANCEL_OTHER))
    snapshot = Snapshot(taken_at=MIDNIGHT, running=Reading({job.name: RUNS}, MIDNIGHT))
    for minute, running in enumerate((["run-0", "run-1", "run-2"], ["run-0", "run-2"], ["run-0"], [])):
        at = MIDNIGHT + minute * MINUTE
        found = overlap.running(Candidate(job, at, at, SCHEDULE, at=at), snapshot)
        assert [run.task_id for run in found] == running
