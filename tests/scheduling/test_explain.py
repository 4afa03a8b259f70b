"""What is explained of a throttled job: by the credit that it has, and not further ahead than that says anything."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from packages.scheduling.control.controllers import Controllers, QueueControl
from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.explain import explain
from packages.scheduling.instants import DAY_MS
from packages.scheduling.model import Criticality
from packages.scheduling.snapshot import Exemption, Pin, Snapshot
from packages.scheduling.state import JobState
from packages.scheduling.triggers.cron_parse import parse_cron
from tests.scheduling.generated import comparable, stepped
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job

SHEDDABLE = Criticality.SHEDDABLE


def throttled(rate: int) -> Snapshot:
    rates = {SHEDDABLE: rate}
    return Snapshot(MIDNIGHT, controllers=Controllers(queues={"area": QueueControl(rates=rates)}))


@pytest.mark.parametrize(
    ("credit", "verdict", "reason"),
    [(750_000, Verdict.FIRE, Reason.ON_TIME), (749_999, Verdict.DEFER, Reason.THROTTLED)],
)
def test_whose_turn_it_is_hangs_on_the_credit_of_the_job(credit: int, verdict: Verdict, reason: Reason) -> None:
    job = a_job(criticality=SHEDDABLE)
    state = JobState(MIDNIGHT, trigger=job.trigger.describe(), credit=credit)
    decision = explain(job, throttled(250_000), MIDNIGHT, state=state).decision
    assert (decision.verdict, decision.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("every", "searched"),
    [(MINUTE, 5_000 * MINUTE + 1), (1_000, 5_000_001), (DAY_MS, 10 * DAY_MS), (400 * DAY_MS, 10 * DAY_MS)],
)
def test_a_stopped_job_is_not_searched_for_a_year(every: int, searched: int) -> None:
    explanation = explain(a_job(every=every, criticality=SHEDDABLE), throttled(0), MIDNIGHT)
    assert explanation.next_fire is None
    assert explanation.searched_until == MIDNIGHT + searched


def test_a_job_of_which_some_fires_go_out_is_told_the_next_one() -> None:
    job = a_job(every=DAY_MS, criticality=SHEDDABLE)
    state = JobState(MIDNIGHT, trigger=job.trigger.describe(), credit=0)
    explanation = explain(job, throttled(250_000), MIDNIGHT, state=state)
    assert explanation.next_fire is not None
    assert explanation.next_fire.nominal == MIDNIGHT + 4 * DAY_MS


UNTIL = MIDNIGHT + 60 * MINUTE
PINS: Mapping[str, Mapping[tuple[str, Criticality | None], Pin]] = {
    "whole": {("area", None): Pin("area", None, ONE, MIDNIGHT, UNTIL, "")},
    "named": {("area", SHEDDABLE): Pin("area", SHEDDABLE, ONE, MIDNIGHT, UNTIL, "")},
    # When the one ends the other one holds.
    "both": {
        ("area", SHEDDABLE): Pin("area", SHEDDABLE, ONE, MIDNIGHT, MIDNIGHT + 20 * MINUTE, ""),
        ("area", None): Pin("area", None, ONE, MIDNIGHT, UNTIL, ""),
    },
}
EXEMPT = {"area.job": Exemption("area.job", MIDNIGHT, UNTIL, "")}


@pytest.mark.parametrize("word", [*PINS, "exempt"])
def test_behind_the_end_of_an_operators_word_a_job_is_throttled_again(word: str) -> None:
    said = throttled(0)._replace(pins=PINS.get(word, {}), exempt={} if word in PINS else EXEMPT)
    job = a_job(every=5 * MINUTE, criticality=SHEDDABLE)
    explanation = explain(job, said, MIDNIGHT, fires=20)
    out = [each.nominal for each in explanation.upcoming if each.verdict is Verdict.FIRE]
    assert out == [MIDNIGHT + minutes * MINUTE for minutes in range(0, 60, 5)]
    assert {each.reason for each in explanation.upcoming[len(out) :]} == {Reason.COALESCED}


def test_what_is_stopped_behind_the_end_of_a_word_is_not_searched_for_a_year() -> None:
    said = throttled(0)._replace(exempt={"area.job": Exemption("area.job", MIDNIGHT, MIDNIGHT + MINUTE, "")})
    explanation = explain(a_job(every=10 * MINUTE, criticality=SHEDDABLE), said, MIDNIGHT + 1_000)
    assert explanation.decision.opinions == ()
    assert explanation.next_fire is None
    assert explanation.searched_until <= MIDNIGHT + 1_000 + 10 * DAY_MS


@pytest.mark.parametrize("credit", [None, 0, 400_000, 999_999])
def test_behind_the_end_of_a_word_the_job_begins_with_its_first_credit_again(credit: int | None) -> None:
    job = a_job(every=5 * MINUTE, criticality=SHEDDABLE)
    said = throttled(300_000)._replace(exempt=EXEMPT)
    states = {job.name: JobState(MIDNIGHT - 1, trigger=job.trigger.describe(), credit=credit)}
    live = stepped([job], said, states, start=MIDNIGHT, end=MIDNIGHT + 200 * MINUTE)
    upcoming = explain(job, said, MIDNIGHT, fires=len(live), state=states[job.name]).upcoming
    assert comparable(upcoming) == comparable(live)


@pytest.mark.parametrize("credit", [None, 0, 700_000])
def test_of_a_queue_that_nobody_serves_a_critical_fire_is_told_by_its_own_distance_to_the_next(
    credit: int | None,
) -> None:
    # Those by day come more often than a message expires, the last one does not.
    job = replace(a_job(trigger=parse_cron("0 9-16 * * *", zone="UTC")), expires_ms=300 * MINUTE)
    unserved = Snapshot(MIDNIGHT, controllers=Controllers(queues={"area": QueueControl(unserved_since=MIDNIGHT)}))
    start = MIDNIGHT + 15 * 60 * MINUTE + 1
    states = {job.name: JobState(start - 1, trigger=job.trigger.describe(), credit=credit)}
    live = stepped([job], unserved, states, start=start, end=start + 3 * DAY_MS)
    upcoming = explain(job, unserved, start, fires=len(live), state=states[job.name]).upcoming
    assert comparable(upcoming) == comparable(live)
