"""A look at an overloaded queue: by how much the fires to it are to become fewer, and which rate would have fitted.

What arrives is what is completed and what the queue has grown by since the last look. It should be what is completed,
less what has to drain. So a cut is as deep as the overload, and not deeper.
"""

from typing import Final, NamedTuple

from packages.scheduling.control.controllers import QueueControl, WaitBasis
from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.readings import QueueReading

# What is found in a first look is a little too much: a queue that only just fits never drains.
_FIRST: Final = 980_000
# What is found later is off by the chance of what ends within the look: this much at most is believed of it,
_MOST_OFF: Final = 200_000
# and of that one part in so many.
_WEIGHT: Final = 4
# Below this share of what fits a queue drains, and what it takes then says little about what it could.
_SAYS_LITTLE: Final = 800_000
# A queue that drains slowly is not cut below this share of what fits: what has piled up takes its time.
_AT_LEAST: Final = 950_000
# Behind the deep cuts what is still too much may take so many times as long to drain.
_PATIENT: Final = 3
# What is taken back of a rate that left too little room for others.
_BESIDE: Final = 850_000


class Look(NamedTuple):
    """Shares, in millionths. `cut`: the fires are to become fewer by it; 0 if the queue drains in time.

    `fits`: what arrived, times this, is what was completed; None if that is not known. `drains`: what has
    piled up becomes less, if slowly, and has not to be gone at once.
    """

    cut: int
    fits: int | None
    drains: bool


def look_at(  # noqa: PLR0913  # all that is known of one queue
    control: QueueControl, reading: QueueReading, policy: BacklogPolicy, target_ms: int, now: int, *, is_deep: bool
) -> Look:
    """The look at `now` at a queue that was looked at before. `is_deep`: the cut is `most_decrease` at most.

    Where it is not known what was completed, the cut is the deepest one, unless the queue has shrunk.
    """
    most = policy.most_decrease if is_deep else policy.decrease
    messages, before, since = control.messages, control.looked_messages, control.looked_at
    is_stuck = control.wait_ms is None and control.basis is not WaitBasis.LENGTH
    if messages is None or before is None or since is None or is_stuck or now <= since:
        return Look(most, None, drains=False)
    drains = messages < before and not is_deep
    if not reading.completed or not reading.over_ms or control.wait_ms is None:
        return Look(most if messages >= before else 0, None, drains)
    # In messages per `drained_ms`.
    completed = reading.completed * policy.drained_ms // reading.over_ms
    arrived = completed + (messages - before) * policy.drained_ms // (now - since)
    if arrived <= 0:
        return Look(0, None, drains)
    surplus = messages - messages * target_ms // control.wait_ms
    wanted = max(0, completed - (surplus if is_deep else surplus // _PATIENT))
    return Look(max(0, min(most, ONE - wanted * ONE // arrived)), completed * ONE // arrived, drains)


def fitting_rate(rate: int, known: int | None, look: Look) -> int:
    """The rate that a queue which `rate` overloads can take: to it the rate goes back once the queue has drained.

    `known`: what was found before; from then on a look moves it by a part of the difference. 0 if nothing is known:
    the rate then just rises from what it is cut to.
    """
    if look.fits is None:
        return known or 0
    if not known:
        return rate * min(ONE, look.fits) // ONE * _FIRST // ONE
    if rate < known * _SAYS_LITTLE // ONE:
        return known
    found = rate * min(max(look.fits, ONE - _MOST_OFF), ONE + _MOST_OFF) // ONE
    return min(ONE, known + (found - known) // _WEIGHT)


def fitting_rate_beside(rate: int, known: int | None) -> int:
    """The same of a rate that is cut to make room for other queues: how much of it they can bear nobody has measured.

    Each time that it turns out to be too much it is a part of it.
    """
    if known is not None and rate < known * _SAYS_LITTLE // ONE:
        return known
    found = rate * _BESIDE // ONE
    return found if known is None else min(known, found)


def cut_rate(rate: int, fits: int, look: Look) -> int:
    """The rate after a look. `fits`: the one that the queue can take, as of that look."""
    cut = rate * (ONE - look.cut) // ONE
    return min(rate, max(cut, fits * _AT_LEAST // ONE)) if look.drains else cut
