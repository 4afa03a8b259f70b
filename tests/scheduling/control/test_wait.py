"""What is known of a queue makes a wait; what is not known makes none."""

import pytest

from packages.scheduling.control.controllers import WaitBasis
from packages.scheduling.control.wait import Wait, estimated_wait
from packages.scheduling.readings import QueueReading


@pytest.mark.parametrize(
    ("reading", "wait"),
    [
        (QueueReading(), None),
        (QueueReading(oldest_ms=5_000, completed=10, over_ms=1_000), None),
        (QueueReading(ready=0), Wait(0, WaitBasis.EMPTY, 0)),
        (QueueReading(ready=0, running=8), Wait(0, WaitBasis.EMPTY, 0)),
        (QueueReading(ready=0, completed=0, over_ms=30_000), Wait(0, WaitBasis.EMPTY, 0)),
        (QueueReading(ready=7, oldest_ms=9_000), Wait(9_000, WaitBasis.OLDEST, 7)),
        (QueueReading(ready=7, oldest_ms=9_000, completed=0, over_ms=30_000), Wait(9_000, WaitBasis.OLDEST, 7)),
        (QueueReading(ready=7), None),
        (QueueReading(ready=7, completed=3), None),
        (QueueReading(ready=7, completed=0, over_ms=30_000), Wait(None, WaitBasis.STUCK, 7)),
        # 20 wait, two are done in a second: ten seconds.
        (QueueReading(ready=20, completed=60, over_ms=30_000), Wait(10_000, WaitBasis.ESTIMATE, 20)),
        (QueueReading(ready=16, reserved=4, completed=60, over_ms=30_000), Wait(10_000, WaitBasis.ESTIMATE, 20)),
        (QueueReading(ready=0, reserved=4, completed=60, over_ms=30_000), Wait(2_000, WaitBasis.ESTIMATE, 4)),
    ],
)
def test_the_wait_of_a_reading(reading: QueueReading, wait: Wait | None) -> None:
    assert estimated_wait(reading) == wait
