"""A simple controller, for comparison: the rate falls in proportion to how far the wait is above the target.

rate = clamp(1 - GAIN * (wait - target) / target), for all sheddable work of a queue, not below the least rate of its
criticality. It remembers nothing, and knows nothing of queues that share workers.
"""

from typing import Final

from packages.scheduling.control.controllers import Controllers, QueueControl
from packages.scheduling.control.groups import Present
from packages.scheduling.control.policy import ONE, ControlPolicy
from packages.scheduling.control.wait import estimated_wait
from packages.scheduling.snapshot import Snapshot

# In millionths: at five targets everything is stopped that may be.
GAIN: Final = 250_000


def proportional(
    controllers: Controllers, snapshot: Snapshot, policy: ControlPolicy, present: Present, now: int
) -> Controllers:
    """See `packages.scheduling.control.step.Step`."""
    queues: dict[str, QueueControl] = {}
    for queue, criticalities in present.items():
        before = controllers.queues.get(queue, QueueControl())
        reading = snapshot.queues.get(queue)
        wait = None if reading is None or reading.age_ms(now) > policy.stale_ms else estimated_wait(reading.value)
        if wait is None:
            queues[queue] = before
            continue
        target_ms = policy.backlog.target_of(queue)
        rate = 0 if wait.ms is None else max(0, ONE - GAIN * max(0, wait.ms - target_ms) // target_ms)
        least = policy.backlog.least_rates
        throttled = [each for each in criticalities if rate < ONE and not each.is_critical]
        rates = {each: max(rate, least[each]) for each in throttled}
        since = (now if before.since is None else before.since) if rates else None
        queues[queue] = QueueControl(wait_ms=wait.ms, basis=wait.basis, rates=rates, since=since)
    return controllers._replace(stepped_at=now, queues=queues)
