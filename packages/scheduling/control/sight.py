"""What is known of one queue in a control interval: what its reading says, else what was known lately.

A reading need not tell everything: how long messages wait may be known while nobody says who serves the queue, and the
other way round. What is not told is not zero; it stays as it was for `standing_ms`, and is forgotten then. Where
nothing tells how long messages wait, nor did lately, a queue is judged by its length.
"""

from typing import NamedTuple

from packages.scheduling.control.controllers import QueueControl, Unheard, WaitBasis
from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.control.unheard import is_unserved, unheard_of
from packages.scheduling.control.wait import Wait, estimated_wait, tells_more_than_length, wait_by_length
from packages.scheduling.readings import QueueReading
from packages.scheduling.snapshot import Reading


class Sight(NamedTuple):
    """`control`: with what is known, and the rates of before. `reading`: the one that tells how long messages wait now.

    `is_lately`: none does, but one did lately. `shrinks`: by its length, since the reading before.
    """

    control: QueueControl
    reading: QueueReading | None = None
    is_lately: bool = False
    shrinks: bool = False


def sighted(  # noqa: PLR0913  # all that is known
    before: QueueControl,
    reading: Reading[QueueReading] | None,
    policy: BacklogPolicy,
    target_ms: int,
    now: int,
    *,
    stale_ms: int,
) -> Sight:
    """The queue at `now`, which was `before` an interval ago. A reading that is older than `stale_ms` tells nothing."""
    lately_ms = policy.standing_ms + stale_ms
    fresh = reading if reading is not None and reading.age_ms(now) <= stale_ms else None
    control = _served(_clamped(before, now), fresh, policy.standing_ms, lately_ms, now)
    is_lately = control.told_at is not None and now - control.told_at <= lately_ms
    wait, by_length = None, control.by_length
    if fresh is not None:
        by_length = (by_length or not is_lately) and not tells_more_than_length(fresh.value)
        wait = estimated_wait(fresh.value) or (wait_by_length(fresh.value) if by_length else None)
    if wait is None or fresh is None:
        control = control._replace(wait_ms=None, basis=None, messages=None)
        return Sight(control, is_lately=True) if is_lately else Sight(_not_above(control))
    if by_length is not control.by_length:
        # How long the one was above its target says nothing of the other.
        control = _not_above(control)
    control = control._replace(
        wait_ms=wait.ms,
        basis=wait.basis,
        messages=wait.messages,
        group=fresh.value.group,
        told_at=min(fresh.taken_at, now),
        by_length=by_length,
    )
    if control.unserved or _is_at_target(wait, policy, target_ms):
        control = _not_above(control)
    elif control.above_since is None:
        control = control._replace(above_since=now, looked_at=now, looked_messages=wait.messages)
    shrinks = wait.basis is WaitBasis.LENGTH and wait.messages < (before.messages or 0)
    return Sight(control, fresh.value, shrinks=shrinks)


def _is_at_target(wait: Wait, policy: BacklogPolicy, target_ms: int) -> bool:
    if wait.basis is WaitBasis.LENGTH:
        return wait.messages <= policy.target_messages
    return wait.ms is not None and wait.ms <= target_ms


def _not_above(control: QueueControl) -> QueueControl:
    return control._replace(above_since=None, looked_at=None, looked_messages=None)


def _clamped(control: QueueControl, now: int) -> QueueControl:
    """The same after the clock was set back: nothing began in what is the future now."""
    unheard = control.unheard or Unheard()
    instants = (
        control.told_at,
        control.above_since,
        control.looked_at,
        control.calm_since,
        control.since,
        control.unserved_since,
        unheard.told_at,
        unheard.taken_at,
    )
    if all(instant is None or instant <= now for instant in instants):
        return control
    told, above, looked, calm, since, unserved, heard, taken = (
        None if each is None else min(each, now) for each in instants
    )
    return control._replace(
        told_at=told,
        above_since=above,
        looked_at=looked,
        calm_since=calm,
        since=since,
        unserved_since=unserved,
        unheard=control.unheard and unheard._replace(told_at=heard, taken_at=taken),
    )


def _served(
    before: QueueControl, reading: Reading[QueueReading] | None, standing_ms: int, lately_ms: int, now: int
) -> QueueControl:
    """Whether anybody serves the queue, by a reading that may tell."""
    if reading is None or reading.value.consumers is None:
        heard_at = None if before.unheard is None else before.unheard.told_at
        if heard_at is not None and now - heard_at <= lately_ms:
            return before
        return before._replace(unserved_since=None, unheard=None)
    unheard = unheard_of(before.unheard, reading, now)
    if not is_unserved(unheard, standing_ms, now):
        return before._replace(unserved_since=None, unheard=unheard)
    since = now if before.unserved_since is None else before.unserved_since
    return before._replace(unserved_since=since, unheard=unheard)
