"""A queue that nobody served is served again: what waits for that is asked again soon, and not all at once.

A job that fires every few minutes is left to its next fire, which takes up what waits. Brought forward together, such
fires would be the first backlog of workers that have just come back; and where a message went out before anybody knew
that they were gone, that one and the fire that waits would be two runs of one sweep.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from packages.scheduling.control.controllers import Controllers
from packages.scheduling.decision import Reason
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.jitter import offset_ms
from packages.scheduling.throttle import ASK_AGAIN_MS
from packages.scheduling.waiting import is_replaceable

if TYPE_CHECKING:
    from packages.scheduling.slot import Slot
    from packages.scheduling.state import JobState

# By then it would have been asked in any case.
_FEW_MINUTES_MS: Final = 2 * ASK_AGAIN_MS


def newly_served(before: Controllers, after: Controllers) -> Collection[str]:
    """The queues that nobody served before, and that are not known to be unserved any more."""
    if before is after:
        return ()
    unserved = [queue for queue, control in before.queues.items() if control.unserved]
    return {queue for queue in unserved if queue not in after.queues or not after.queues[queue].unserved}


def asked_anew(waiting: "Iterable[Slot]", queues: Collection[str], now: int) -> "dict[str, JobState]":
    """The states of the jobs in these queues with what waits for a worker due at another instant.

    Of sheddable work that fires again within a few minutes what its next fire takes up is due with that one. Of jobs
    that fire later it is due within a second for each fire, at which instant is a matter of its hash, and never later
    than it would have been.
    """
    slots = [
        slot
        for slot in waiting
        if slot.job.queue in queues and any(fire.reason is Reason.NO_CONSUMER for fire in slot.state.open)
    ]
    rare = [slot for slot in slots if slot.planned - now > _FEW_MINUTES_MS]
    fires = sum(fire.reason is Reason.NO_CONSUMER for slot in rare for fire in slot.state.open)
    within_ms = min(fires * SECOND_MS, _FEW_MINUTES_MS)
    sooner = {slot.job.name: _sooner(slot, now, within_ms) for slot in rare}
    frequent = (slot for slot in slots if slot.job.name not in sooner and not slot.job.criticality.is_critical)
    return sooner | {slot.job.name: _with_the_next(slot) for slot in frequent}


def _sooner(slot: "Slot", now: int, within_ms: int) -> "JobState":
    name, state = slot.job.name, slot.state
    return state.with_open(
        tuple(
            replace(fire, retry_at=min(fire.retry_at, now + offset_ms(name, fire.nominal, within_ms)))
            if fire.reason is Reason.NO_CONSUMER
            else fire
            for fire in state.open
        )
    )


def _with_the_next(slot: "Slot") -> "JobState":
    job, state = slot.job, slot.state
    longest_ms = job.policies.stale_after_ms
    return state.with_open(
        tuple(
            replace(fire, retry_at=max(fire.retry_at, min(slot.planned, fire.since + longest_ms)))
            if fire.reason is Reason.NO_CONSUMER and is_replaceable(job, fire)
            else fire
            for fire in state.open
        )
    )
