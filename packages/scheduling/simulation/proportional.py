"""A simple controller, for comparison: the rate falls in proportion to how far the wait is above the target.

rate = clamp(1 - GAIN * (wait - target) / target), for all sheddable work of a queue, not below the least rate of its
criticality. It remembers nothing, and knows nothing of queues that share workers.
"""

from functools import partial
from typing import Final

from packages.scheduling.control.controllers import QueueControl
from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.control.wait import estimated_wait
from packages.scheduling.readings import QueueReading
from packages.scheduling.simulation.each_alone import SHEDDABLE, each_alone

# In millionths: at five targets everything is stopped that may be.
GAIN: Final = 250_000


def _by_wait(queue: str, before: QueueControl, reading: QueueReading, policy: BacklogPolicy) -> QueueControl | None:
    del before
    wait = estimated_wait(reading)
    if wait is None:
        return None
    target_ms = policy.target_of(queue)
    rate = 0 if wait.ms is None else max(0, ONE - GAIN * max(0, wait.ms - target_ms) // target_ms)
    rates = {each: max(rate, policy.least_rates[each]) for each in SHEDDABLE if rate < ONE}
    return QueueControl(wait_ms=wait.ms, basis=wait.basis, rates=rates)


proportional: Final = partial(each_alone, rule=_by_wait)
