"""The version of the policies in force: what it hangs on, and what it does not."""

import subprocess
import sys
from dataclasses import replace

import pytest

from packages.infra.ledger.policy_version import PolicyVersion
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import OverlapMode, Policies, Windows, WindowSpan
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.shared_settings.layers import ROOT

SPAN = WindowSpan(frozenset({0, 3, 6}), 60, 120)
JOB = Job(
    "a", "t", IntervalTrigger(60_000), "q", Criticality.CRITICAL, policies=Policies(windows=Windows(spans=(SPAN,)))
)
OTHER = Job("b", "t", IntervalTrigger(60_000), "q", Criticality.SHEDDABLE)


def version(*jobs: Job) -> str:
    made = PolicyVersion()
    for job in jobs:
        made.add(job)
    return made.text


def test_the_order_does_not_matter() -> None:
    assert version(JOB, OTHER) == version(OTHER, JOB)
    assert len(version(JOB)) == len(version()) == 16


def test_what_is_removed_leaves_no_trace() -> None:
    made = PolicyVersion()
    made.add(JOB)
    made.add(OTHER)
    made.remove(JOB)
    assert made.text == version(OTHER)
    made.remove(OTHER)
    assert made.text == version()


@pytest.mark.parametrize(
    "changed",
    [
        replace(JOB, name="c"),
        replace(JOB, queue="r"),
        replace(JOB, criticality=Criticality.SHEDDABLE),
        replace(JOB, expires_ms=1_000),
        replace(JOB, policies=Policies()),
        replace(JOB, policies=replace(JOB.policies, overlap=OverlapMode.SKIP)),
        replace(JOB, policies=Policies(windows=Windows(spans=(replace(SPAN, days=frozenset({0, 3})),)))),
    ],
)
def test_a_change_is_another_version(changed: Job) -> None:
    assert version(changed, OTHER) != version(JOB, OTHER)


def test_it_is_the_same_in_another_process() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "from tests.ledger.test_policy_version import *; print(version(JOB, OTHER))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert told.stdout.strip() == version(JOB, OTHER)
