"""The rates of the queues, once a control interval: CoDel's test says when, AIMD says how far, criticality says who.

    wait above the target ──(for the whole of `standing_ms`)──> overloaded ──> the least critical rate is cut
      └─ a burst that drains is above it for less                  │
    wait at or below it  <──────────(drains)───────────────────────┘  ──> the most critical rate that was cut rises

Workers serve several queues, so those that share a worker make room for each other: sheddable work in any of them is
cut before critical work in the overloaded one. A rate is left alone while its queue drains soon enough: cutting on
would empty it, and the workers would stand idle.

Decides nothing about a single fire.
"""

from collections.abc import Collection, Mapping
from typing import Final

from packages.scheduling.control.controllers import QueueControl
from packages.scheduling.control.policy import ONE, SHEDDING_ORDER, BacklogPolicy
from packages.scheduling.control.wait import Wait, estimated_wait
from packages.scheduling.model import Criticality
from packages.scheduling.readings import QueueReading
from packages.scheduling.snapshot import Reading

Rates = dict[Criticality, int]
# Which criticalities have jobs, by queue.
Present = Mapping[str, Collection[Criticality]]

# A rate below this share lets through so little that nothing is as good.
_AS_GOOD_AS_NONE: Final = 20_000


def step_queues(  # noqa: PLR0913  # all that is known
    queues: Mapping[str, QueueControl],
    readings: Mapping[str, Reading[QueueReading]],
    policy: BacklogPolicy,
    present: Present,
    now: int,
    *,
    stale_ms: int,
) -> dict[str, QueueControl]:
    """The next state of every queue that has jobs. A queue without a fresh reading keeps its rates for `standing_ms`.

    After that they rise as if nothing waited: who cannot be seen must not be held for ever.
    """
    known = {queue: readings[queue] for queue in present if queue in readings}
    fresh = {queue: reading.value for queue, reading in known.items() if reading.age_ms(now) <= stale_ms}
    seen = {
        queue: _seen(queues.get(queue, QueueControl()), fresh.get(queue), policy.target_of(queue), now)
        for queue in present
    }
    waits = {queue: estimated_wait(reading) for queue, reading in fresh.items()}
    rates = {queue: dict(control.rates) for queue, control in seen.items()}
    overloaded = [queue for queue in seen if _is_overloaded(queue, seen, queues, waits, policy, now)]
    for queue in overloaded:
        _cut(queue, seen, rates, waits, policy, present)
    for queue, control in seen.items():
        group = {queue, *control.beside}
        is_calm = not any(seen[other].above_since is not None for other in group & seen.keys())
        is_known = queue in fresh or _is_long_unseen(known.get(queue), policy.standing_ms + stale_ms, now)
        if rates[queue] and is_calm and is_known:
            _raise(rates[queue], policy.increase)
    return {queue: _kept(control, rates[queue], now) for queue, control in seen.items()}


def _seen(before: QueueControl, reading: QueueReading | None, target_ms: int, now: int) -> QueueControl:
    """What the reading says of the queue; without one nothing is known but what was decided."""
    if reading is None:
        return before._replace(wait_ms=None, basis=None, messages=None, above_since=None)
    wait = estimated_wait(reading)
    unserved = reading.consumers == 0
    above_since = None
    if wait is not None and (wait.ms is None or wait.ms > target_ms) and not unserved:
        above_since = now if before.above_since is None else min(before.above_since, now)
    return before._replace(
        wait_ms=None if wait is None else wait.ms,
        basis=None if wait is None else wait.basis,
        messages=None if wait is None else wait.messages,
        above_since=above_since,
        unserved=unserved,
        beside=reading.beside,
    )


def _is_overloaded(  # noqa: PLR0913, PLR0917  # all that is known
    queue: str,
    seen: Mapping[str, QueueControl],
    before: Mapping[str, QueueControl],
    waits: Mapping[str, Wait | None],
    policy: BacklogPolicy,
    now: int,
) -> bool:
    control, wait = seen[queue], waits.get(queue)
    if control.above_since is None or wait is None:
        return False
    # Once a queue is throttled it is known not to be a burst.
    patience_ms = policy.again_ms if control.rates else policy.standing_ms
    if now - control.above_since < patience_ms:
        return False
    was = before[queue].messages if queue in before else None
    return was is None or not _drains(was, wait, policy.target_of(queue), policy.drained_in)


def _drains(was: int, wait: Wait, target_ms: int, intervals: int) -> bool:
    """Whether the queue, shrinking on as it did since the last interval, is down to its target in so many intervals."""
    shrunk = was - wait.messages
    if shrunk <= 0 or wait.ms is None:
        return False
    surplus = wait.messages - wait.messages * target_ms // max(wait.ms, 1)
    return surplus <= shrunk * intervals


def _cut(  # noqa: PLR0913, PLR0917  # as above
    queue: str,
    seen: Mapping[str, QueueControl],
    rates: Mapping[str, Rates],
    waits: Mapping[str, Wait | None],
    policy: BacklogPolicy,
    present: Present,
) -> None:
    """Cut the least critical rate that is not at its least: of the queue, else of those that share its workers."""
    wait, target_ms = waits[queue], policy.target_of(queue)
    times = policy.steepest
    if wait is not None and wait.ms is not None:
        times = max(1, min(policy.steepest, wait.ms // target_ms))
    cut = policy.decrease * times
    beside = sorted(other for other in seen[queue].beside if other in seen)
    for criticality in SHEDDING_ORDER:
        least = policy.least_rates[criticality]
        # Critical work of another queue is nobody's reserve.
        groups = ([queue],) if criticality.is_critical else ([queue], beside)
        for group in groups:
            cuttable = [
                each for each in group if criticality in present[each] and rates[each].get(criticality, ONE) > least
            ]
            for each in cuttable:
                rate = rates[each].get(criticality, ONE) * (ONE - cut) // ONE
                rates[each][criticality] = least if rate < max(least, _AS_GOOD_AS_NONE) else rate
            if cuttable:
                return


def _raise(rates: Rates, increase: int) -> None:
    """Raise the most critical rate that was cut; it is as if it had never been once it is whole."""
    for criticality in reversed(SHEDDING_ORDER):
        if criticality in rates:
            rates[criticality] += increase
            if rates[criticality] >= ONE:
                del rates[criticality]
            return


def _is_long_unseen(reading: Reading[QueueReading] | None, length_ms: int, now: int) -> bool:
    return reading is None or reading.age_ms(now) > length_ms


def _kept(control: QueueControl, rates: Rates, now: int) -> QueueControl:
    is_throttled = bool(rates) or control.unserved
    since = (now if control.since is None else control.since) if is_throttled else None
    return control._replace(rates=rates, since=since)
