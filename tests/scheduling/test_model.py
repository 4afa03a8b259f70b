"""A job checks what it is made of, and is a value."""

import pickle

import pytest

from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import DEFAULT_POLICIES
from packages.scheduling.triggers.interval import IntervalTrigger


def test_a_message_has_to_live() -> None:
    with pytest.raises(ValueError, match=r"area.job.*above zero"):
        Job(
            name="area.job",
            task="area.job",
            trigger=IntervalTrigger(1000),
            queue="maintenance",
            criticality=Criticality.CRITICAL,
            expires_ms=0,
        )


def test_a_job_is_a_value() -> None:
    job = Job("area.job", "area.job", IntervalTrigger(1000), "maintenance", Criticality.CRITICAL)
    assert (job.expires_ms, job.policies) == (None, DEFAULT_POLICIES)
    assert pickle.loads(pickle.dumps(job)) == job  # noqa: S301  # our own bytes
    assert len({job, pickle.loads(pickle.dumps(job))}) == 1  # noqa: S301  # our own bytes


@pytest.mark.parametrize(("criticality", "critical"), list(zip(Criticality, [True, True, False, False], strict=True)))
def test_the_upper_two_are_critical(criticality: Criticality, *, critical: bool) -> None:
    assert criticality.is_critical is critical
