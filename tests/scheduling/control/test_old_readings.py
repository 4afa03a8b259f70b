"""A reading that is far from now counts as none, on whichever side of now it is."""

from typing import TYPE_CHECKING

import pytest

from packages.scheduling.control.backlog import step_queues
from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.snapshot import Reading
from tests.scheduling.control.readings import ALL, INTERVAL_MS, STALE_MS, waiting
from tests.scheduling.jobs import MIDNIGHT

if TYPE_CHECKING:
    from packages.scheduling.control.controllers import QueueControl

DAY_MS = 86_400_000


@pytest.mark.parametrize(("taken_at", "age_ms"), [(-1_000, 1_000), (0, 0), (1_000, 1_000), (2 * DAY_MS, 2 * DAY_MS)])
def test_a_clock_that_was_set_back_makes_no_reading_young(taken_at: int, age_ms: int) -> None:
    assert Reading("value", MIDNIGHT + taken_at).age_ms(MIDNIGHT) == age_ms


def test_what_was_read_before_the_clock_was_set_back_throttles_no_queue() -> None:
    readings = {"area": Reading(waiting(60_000), MIDNIGHT + 2 * DAY_MS)}
    queues: dict[str, QueueControl] = {}
    for now in range(MIDNIGHT, MIDNIGHT + 60 * INTERVAL_MS, INTERVAL_MS):
        queues = step_queues(queues, readings, BacklogPolicy(), {"area": ALL}, now, stale_ms=STALE_MS)
        assert not any(control.rates for control in queues.values())
