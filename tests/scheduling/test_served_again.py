"""What waits for a worker goes out soon after one has come back, one after the other, and nothing else does."""

import pytest

from packages.scheduling.control.controllers import NEUTRAL, Controllers, QueueControl
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.decision import Reason
from packages.scheduling.engine import Engine
from packages.scheduling.instants import HOUR_MS, SECOND_MS
from packages.scheduling.model import Criticality
from packages.scheduling.readings import QueueReading
from packages.scheduling.served_again import asked_soon, newly_served
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


def waiting(reason: Reason = Reason.NO_CONSUMER, next_in_ms: int = HOUR_MS) -> Slot:
    fire = OpenFire(MIDNIGHT, MIDNIGHT, "schedule", MIDNIGHT + 2 * MINUTE, reason, MIDNIGHT)
    return Slot(a_job(), JobState(MIDNIGHT, open=(fire,)), planned=MIDNIGHT + next_in_ms)


def test_who_waits_for_something_else_or_elsewhere_or_fires_again_in_a_few_minutes_is_left_alone() -> None:
    assert asked_soon([waiting()], {"area"}, MIDNIGHT).keys() == {"area.job"}
    assert asked_soon([waiting()], {"elsewhere"}, MIDNIGHT) == {}
    assert asked_soon([waiting(Reason.THROTTLED)], {"area"}, MIDNIGHT) == {}
    assert asked_soon([waiting(next_in_ms=2 * ASK_AGAIN_MS)], {"area"}, MIDNIGHT) == {}


def test_what_is_asked_again_sooner_by_itself_stays_so() -> None:
    slot = waiting()
    late = MIDNIGHT + 2 * MINUTE - 1
    [state] = asked_soon([slot] * 200, {"area"}, late).values()
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
