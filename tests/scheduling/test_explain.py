"""What is explained of a throttled job: by the credit that it has, and not further ahead than that says anything."""

import pytest

from packages.scheduling.control.controllers import Controllers, QueueControl
from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.explain import explain
from packages.scheduling.instants import DAY_MS
from packages.scheduling.model import Criticality
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.state import JobState
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job


def throttled(rate: int) -> Snapshot:
    rates = {Criticality.SHEDDABLE: rate}
    return Snapshot(MIDNIGHT, controllers=Controllers(queues={"area": QueueControl(rates=rates)}))


@pytest.mark.parametrize(
    ("credit", "verdict", "reason"),
    [(750_000, Verdict.FIRE, Reason.ON_TIME), (749_999, Verdict.DEFER, Reason.THROTTLED)],
)
def test_whose_turn_it_is_hangs_on_the_credit_of_the_job(credit: int, verdict: Verdict, reason: Reason) -> None:
    job = a_job(criticality=Criticality.SHEDDABLE)
    state = JobState(MIDNIGHT, trigger=job.trigger.describe(), credit=credit)
    decision = explain(job, throttled(250_000), MIDNIGHT, state=state).decision
    assert (decision.verdict, decision.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("every", "searched"),
    [(MINUTE, 5_000 * MINUTE + 1), (1_000, 5_000_001), (DAY_MS, 10 * DAY_MS), (400 * DAY_MS, 10 * DAY_MS)],
)
def test_a_stopped_job_is_not_searched_for_a_year(every: int, searched: int) -> None:
    explanation = explain(a_job(every=every, criticality=Criticality.SHEDDABLE), throttled(0), MIDNIGHT)
    assert explanation.next_fire is None
    assert explanation.searched_until == MIDNIGHT + searched


def test_a_job_of_which_some_fires_go_out_is_told_the_next_one() -> None:
    job = a_job(every=DAY_MS, criticality=Criticality.SHEDDABLE)
    state = JobState(MIDNIGHT, trigger=job.trigger.describe(), credit=0)
    explanation = explain(job, throttled(250_000), MIDNIGHT, state=state)
    assert explanation.next_fire is not None
    assert explanation.next_fire.nominal == MIDNIGHT + 4 * DAY_MS
