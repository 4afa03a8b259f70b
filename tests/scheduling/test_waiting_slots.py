"""What is counted of the jobs that wait is what one finds by looking at all of them."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from packages.scheduling.decision import SCHEDULE, THROTTLED_BY, Reason
from packages.scheduling.model import Criticality, Job
from packages.scheduling.slot import Slot
from packages.scheduling.state import JobState, OpenFire
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.waiting_slots import WaitingSlots
from tests.scheduling.jobs import MIDNIGHT, MINUTE

NAMES = ("a", "b", "c")
open_fires = st.lists(
    st.sampled_from([*sorted(THROTTLED_BY), Reason.PUBLISH_FAILED, Reason.STILL_RUNNING]), max_size=3
).map(lambda reasons: tuple(OpenFire(n, n, SCHEDULE, n, reason, n) for n, reason in enumerate(reasons)))
# A state, or that the job is gone; then it may come back on another queue.
changes = st.lists(st.tuples(st.sampled_from(NAMES), open_fires | st.none(), st.sampled_from(["q", "r"])), max_size=30)


@given(changes)
def test_debt_and_fires_are_those_of_the_jobs_that_wait(
    changes: list[tuple[str, tuple[OpenFire, ...] | None, str]],
) -> None:
    waiting, slots = WaitingSlots(), dict[str, Slot]()
    for name, fires, queue in changes:
        if fires is None:
            slot = slots.pop(name, None)
            if slot is not None:
                waiting.forget(slot)
        else:
            if name not in slots:
                job = Job(name, name, IntervalTrigger(MINUTE), queue, Criticality.SHEDDABLE)
                slots[name] = Slot(job, JobState(MIDNIGHT))
            waiting.keep(slots[name], JobState(MIDNIGHT, open=fires))
        held = [slot for slot in slots.values() if slot.state.open]
        owing = [slot for slot in held if any(fire.reason in THROTTLED_BY for fire in slot.state.open)]
        assert waiting.debt == Counter((slot.job.queue, slot.job.criticality) for slot in owing)
        assert waiting.fires == sum(len(slot.state.open) for slot in held)
        assert {slot.job.name for slot in waiting} == {slot.job.name for slot in held}
        assert len(waiting) == len(held)
