"""A simple controller, for comparison: all sheddable work of a queue stops while too many messages wait in it.

With hysteresis: it goes on again when fewer than `OFF_BELOW` wait. It knows nothing of time, of bursts, nor of queues
that share workers.
"""

from typing import Final

from packages.scheduling.control.controllers import Controllers, QueueControl
from packages.scheduling.control.groups import Present
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.model import Criticality
from packages.scheduling.snapshot import Snapshot

ON_ABOVE: Final = 50
OFF_BELOW: Final = 10
_STOPPED: Final = frozenset({Criticality.SHEDDABLE, Criticality.SHEDDABLE_PLUS})


def threshold(
    controllers: Controllers, snapshot: Snapshot, policy: ControlPolicy, present: Present, now: int
) -> Controllers:
    """See `packages.scheduling.control.step.Step`."""
    queues: dict[str, QueueControl] = {}
    for queue, criticalities in present.items():
        before = controllers.queues.get(queue, QueueControl())
        reading = snapshot.queues.get(queue)
        if reading is None or reading.age_ms(now) > policy.stale_ms or reading.value.ready is None:
            queues[queue] = before
            continue
        messages = reading.value.ready
        stops = messages > ON_ABOVE or (before.since is not None and messages >= OFF_BELOW)
        since = (now if before.since is None else before.since) if stops else None
        rates = {each: 0 for each in criticalities if stops and each in _STOPPED}
        queues[queue] = QueueControl(rates=rates, since=since if rates else None, messages=messages)
    return controllers._replace(stepped_at=now, queues=queues)
