"""What waits for a worker goes out soon after one has come back, one after the other, and nothing else does."""

import pytest

from packages.scheduling.control.controllers import NEUTRAL, Controllers, QueueControl
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.decision import SCHEDULE, Reason
from packages.scheduling.engine import Engine
from packages.scheduling.instants import HOUR_MS, SECOND_MS
from packages.scheduling.model import Criticality
from packages.scheduling.policies import DEFAULT_POLICIES, CatchUp, CatchUpMode, Policies
from packages.scheduling.readings import QueueReading
from packages.scheduling.served_again import asked_anew, newly_served
from packages.scheduling.slot import Slot
from packages.scheduling.snapshot import Reading, Snapshot
from packages.scheduling.state import JobState, OpenFire
from packages.scheduling.throttle import ASK_AGAIN_MS
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job

GONE = QueueReading(ready=1, consumers=0)
BACK = QueueReading(ready=1, oldest_ms=0, completed=1, over_ms=30_000, consumers=1)
UNSERVED = Controllers(queues={"area": QueueControl(unserved_since=MIDNIGHT)})


def published(
    every: int, *, jobs: int = 10, back_after: int = 20 * MINUTE, reading: QueueReading | None = BACK
) -> list[int]:
    """How long after workers came back the fires went out that had waited for them, in order."""
    engine = Engine()
    for number in range(jobs):
        trigger = IntervalTrigger(every, phase_ms=MINUTE + number * SECOND_MS)
        engine.add(a_job(f"area.job_{number}", trigger=trigger, criticality=Criticality.SHEDDABLE), None, MIDNIGHT)
    engine.use_control(ControlPolicy())
    out: list[int] = []
    for now in range(MIDNIGHT, MIDNIGHT + back_after + 10 * MINUTE, SECOND_MS):
        is_back = now >= MIDNIGHT + back_after
        told = reading if is_back else GONE
        tick = engine.tick(Snapshot(now, queues={} if told is None else {"area": Reading(told, now)}), now)
        waited = [fire for fire in tick.fires if fire.decision.reason is Reason.WAITED]
        out += [now - MIDNIGHT - back_after for _ in waited]
    return out


def test_what_waits_goes_out_within_a_second_for_each() -> None:
    out = published(HOUR_MS)
    assert len(out) == 10
    assert 0 <= out[0] <= out[-1] <= 10 * SECOND_MS + SECOND_MS
    # Not all of it at once.
    assert len(set(out)) > 3


def test_a_single_job_goes_out_at_once() -> None:
    assert published(HOUR_MS, jobs=1) in ([0], [SECOND_MS])


def test_many_wait_no_longer_than_they_would_have() -> None:
    out = published(HOUR_MS, jobs=600)
    assert len(out) == 600
    assert out[-1] <= 2 * ASK_AGAIN_MS


def test_a_job_that_fires_in_a_few_minutes_is_left_to_its_next_fire() -> None:
    # One message of each went out before anybody knew, and is run: what waited as well would be a second one.
    assert published(3 * MINUTE) == []


ASKED_AT = MIDNIGHT + 2 * MINUTE
ALL = Policies(catch_up=CatchUp(CatchUpMode.ALL))
STALE_AFTER_3_MINUTES = Policies(max_staleness_ms=3 * MINUTE)


def waiting(
    reason: Reason = Reason.NO_CONSUMER,
    next_in_ms: int = HOUR_MS,
    *,
    criticality: Criticality = Criticality.SHEDDABLE,
    policies: Policies = DEFAULT_POLICIES,
    origin: str = SCHEDULE,
) -> Slot:
    fire = OpenFire(MIDNIGHT, MIDNIGHT, origin, ASKED_AT, reason, MIDNIGHT)
    job = a_job(criticality=criticality, policies=policies)
    return Slot(job, JobState(MIDNIGHT, open=(fire,)), planned=MIDNIGHT + next_in_ms)


def test_who_waits_for_something_else_or_elsewhere_is_left_alone() -> None:
    assert asked_anew([waiting()], {"area"}, MIDNIGHT).keys() == {"area.job"}
    assert asked_anew([waiting()], {"elsewhere"}, MIDNIGHT) == {}
    assert asked_anew([waiting(Reason.THROTTLED)], {"area"}, MIDNIGHT) == {}


@pytest.mark.parametrize(
    ("slot", "asked_at"),
    [
        (waiting(next_in_ms=2 * ASK_AGAIN_MS), MIDNIGHT + 2 * ASK_AGAIN_MS),
        # The next one is there before it.
        (waiting(next_in_ms=MINUTE), ASKED_AT),
        # It may not wait for so long.
        (waiting(next_in_ms=2 * ASK_AGAIN_MS, policies=STALE_AFTER_3_MINUTES), MIDNIGHT + 3 * MINUTE),
        # The next one does not take it up.
        (waiting(next_in_ms=2 * ASK_AGAIN_MS, policies=ALL), ASKED_AT),
        (waiting(next_in_ms=2 * ASK_AGAIN_MS, origin="trigger:1"), ASKED_AT),
        # It waits no longer than it must.
        (waiting(next_in_ms=2 * ASK_AGAIN_MS, criticality=Criticality.CRITICAL), ASKED_AT),
    ],
)
def test_what_the_next_fire_takes_up_within_a_few_minutes_waits_for_it(slot: Slot, asked_at: int) -> None:
    state = asked_anew([slot], {"area"}, MIDNIGHT).get("area.job", slot.state)
    assert [fire.retry_at for fire in state.open] == [asked_at]


def test_what_is_asked_again_sooner_by_itself_stays_so() -> None:
    slot = waiting()
    [state] = asked_anew([slot] * 200, {"area"}, ASKED_AT - 1).values()
    assert state == slot.state


def test_a_queue_that_cannot_be_read_any_more_is_not_unserved_for_ever() -> None:
    out = published(HOUR_MS, reading=None)
    assert len(out) == 10


@pytest.mark.parametrize(
    ("before", "after", "served"),
    [
        (UNSERVED, UNSERVED, set()),
        (UNSERVED, Controllers(queues=UNSERVED.queues), set()),
        (NEUTRAL, UNSERVED, set()),
        (UNSERVED, Controllers(queues={"area": QueueControl()}), {"area"}),
        (UNSERVED, NEUTRAL, {"area"}),
    ],
)
def test_a_queue_is_served_again_once_it_is_not_unserved_any_more(
    before: Controllers, after: Controllers, served: set[str]
) -> None:
    assert set(newly_served(before, after)) == served
