"""Queues that no worker that lives says it serves: whether nobody takes their messages, or only nobody says so.

Workers that were rolled back to a version without heartbeats tell nothing, and serve all the same.

    nobody says so ──(nothing waits)──> nobody is missed
       └─(something waits)──> unserved ──(a message is gone)──> served ──(none for `standing_ms`)──> unserved

A message is taken as proof, for nothing else ends one. Until there is one, what waits is proof of the contrary; so what
is published before anything is seen to stand there is that of one control interval. Decides nothing about a fire.
"""

from packages.scheduling.control.controllers import Unheard
from packages.scheduling.instants import FIRST_INSTANT
from packages.scheduling.readings import QueueReading
from packages.scheduling.snapshot import Reading


def unheard_of(before: Unheard | None, reading: Reading[QueueReading], now: int) -> Unheard | None:
    """What is known of a queue by this reading, which tells how many workers serve it; None if any do."""
    queue, read_at = reading
    told_at = min(read_at, now)
    if queue.consumers != 0:
        return None
    if queue.ready is None:
        return (before or Unheard())._replace(told_at=told_at)
    # Who published it may have had any clock; and an age of nothing is that of a message from the future, too.
    oldest_at = max(FIRST_INSTANT, read_at - queue.oldest_ms) if queue.ready and queue.oldest_ms else None
    after = Unheard(queue.ready, oldest_at, None if before is None else before.taken_at, told_at)
    if before is None:
        return after
    is_none_left = after.taken_at is not None and not queue.ready
    return after._replace(taken_at=now) if is_none_left or _has_lost_one(before, after) else after


def is_unserved(unheard: Unheard | None, standing_ms: int, now: int) -> bool:
    """Whether nobody takes the messages of the queue, as far as one can see; no if none are known."""
    if unheard is None or not unheard.ready:
        return False
    return unheard.taken_at is None or now - unheard.taken_at >= standing_ms


def _has_lost_one(before: Unheard, after: Unheard) -> bool:
    """Whether a message that waited then does not wait now: there are fewer, or the oldest is a later one."""
    if not before.ready:
        return False
    if after.ready is not None and after.ready < before.ready:
        return True
    return before.oldest_at is not None and after.oldest_at is not None and after.oldest_at > before.oldest_at
