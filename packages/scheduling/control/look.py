"""A look at an overloaded queue: by how much the fires to it are to become fewer, and which rate would have fitted.

What arrives is what is completed and what the queue has grown by since the last look. It should be what is completed,
less what has to drain. So a cut is as deep as the overload, and not deeper.
"""

from typing import NamedTuple

from packages.scheduling.control.controllers import QueueControl
from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.readings import QueueReading


class Look(NamedTuple):
    """Shares, in millionths. `cut`: the fires are to become fewer by it; 0 if the queue drains in time.

    `fits`: what arrived, times this, is what was completed; None if that is not known.
    """

    cut: int
    fits: int | None


def look_at(  # noqa: PLR0913  # all that is known of one queue
    control: QueueControl, reading: QueueReading, policy: BacklogPolicy, target_ms: int, now: int, *, most: int
) -> Look:
    """The look at `now` at a queue that was looked at before. `most` is the deepest cut.

    Where it is not known what was completed, the cut is `most`, unless the queue has shrunk.
    """
    messages, before, since = control.messages, control.looked_messages, control.looked_at
    if messages is None or before is None or since is None or control.wait_ms is None or now <= since:
        return Look(most, None)
    if not reading.completed or not reading.over_ms:
        return Look(most if messages >= before else 0, None)
    # In messages per `drained_ms`.
    completed = reading.completed * policy.drained_ms // reading.over_ms
    arrived = completed + (messages - before) * policy.drained_ms // (now - since)
    if arrived <= 0:
        return Look(0, None)
    surplus = messages - messages * target_ms // control.wait_ms
    wanted = max(0, completed - surplus)
    return Look(max(0, min(most, ONE - wanted * ONE // arrived)), completed * ONE // arrived)


def fitting_rate(rate: int, fits: int | None, policy: BacklogPolicy) -> int:
    """The rate that a queue which `rate` overloads can take: to it the rate goes back once the queue has drained.

    `fits` is that of a look; where it is not known the rate just rises from what it is cut to. What is measured in one
    look is known to a tenth or so. It has to do when the queue was not throttled before; later what was found before is
    trusted more, and is left by two steps of `decrease` at most.
    """
    if fits is None:
        return 0
    share = fits * 9 // 10 if rate == ONE else max(fits, ONE - 2 * policy.decrease)
    return rate * min(ONE - policy.decrease, share) // ONE
