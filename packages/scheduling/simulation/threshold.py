"""A simple controller, for comparison: all sheddable work of a queue stops while too many messages wait in it.

With hysteresis: it goes on again when fewer than `OFF_BELOW` wait. It knows nothing of time, of bursts, nor of queues
that share workers.
"""

from functools import partial
from typing import Final

from packages.scheduling.control.controllers import QueueControl
from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.readings import QueueReading
from packages.scheduling.simulation.each_alone import SHEDDABLE, each_alone

ON_ABOVE: Final = 50
OFF_BELOW: Final = 10


def _by_length(queue: str, before: QueueControl, reading: QueueReading, policy: BacklogPolicy) -> QueueControl | None:
    del queue, policy
    messages = reading.ready
    if messages is None:
        return None
    stops = messages > ON_ABOVE or (before.since is not None and messages >= OFF_BELOW)
    return QueueControl(messages=messages, rates=dict.fromkeys(SHEDDABLE, 0) if stops else {})


threshold: Final = partial(each_alone, rule=_by_length)
