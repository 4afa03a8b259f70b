"""With which state a job goes on: when it is taken in, when its trigger is another one, when the clock was set back.

What is due then is not decided here.
"""

from dataclasses import replace
from functools import lru_cache
from sys import intern
from typing import Final

from packages.scheduling.decision import Reason
from packages.scheduling.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from packages.scheduling.model import Job
from packages.scheduling.state import Backfill, JobState, OpenFire
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.waiting import LONGEST_RETRY_MS, is_scheduled

# A watermark no further ahead of the clock than this is simply waited for. When the clock was seen to be set back, by
# little: a correction. When a job is taken in, by more: another machine may have left it, whose clock is another one.
SKEW_MS: Final = 5 * SECOND_MS
SKEW_OF_MACHINES_MS: Final = MINUTE_MS
LONGEST_WAITED_FOR_MS: Final = 26 * HOUR_MS


def taken_in(job: Job, state: JobState | None, now: int, *, description: str | None = None) -> JobState:
    """The state with which `job` begins at `now`, `state` being the one it was left with, if any.

    Without a state nothing of the past is due. With the state of another trigger neither: what that one missed means
    nothing to the new one. What waits is asked again at once: its policies may be others than those it waits by.
    `description` is that of the job's trigger, if it is known.
    """
    if description is None:
        # Most triggers of many jobs are alike.
        description = intern(job.trigger.describe())
    if state is None:
        return _shared(JobState(watermark=now, trigger=description))
    state = after_clock_set_back(job.trigger, state, now, skew_ms=SKEW_OF_MACHINES_MS)
    if state.trigger != description:
        # Never before the watermark: the new trigger may name instants that were settled already.
        state = state._replace(watermark=max(state.watermark, now), trigger=description)
    elif state.trigger is not description:
        # Read from a store, it came with a text of its own.
        state = state._replace(trigger=description)
    return state if state.open or state.backfills or state.taken else _shared(state)


@lru_cache(maxsize=1_000)
def _shared(state: JobState) -> JobState:
    """The same state, as one object for all jobs that are taken in together with an equal one: few of many differ."""
    return state


def after_clock_set_back(trigger: Trigger, state: JobState, now: int, *, skew_ms: int = SKEW_MS) -> JobState:
    """The state after the wall clock was set back to `now`; the same one if that changes nothing.

    What comes round again are fires of their own, with the origin `clock:<n>`. Nothing does while the watermark is no
    more than `skew_ms` ahead, nor if the trigger is one whose instants run once: then the watermark is waited for. But
    not for longer than `LONGEST_WAITED_FOR_MS`: a clock that was that far off has left nothing worth waiting for.
    """
    state = asked_again(state, now)
    ahead_ms = state.watermark - now
    if ahead_ms <= skew_ms or (ahead_ms <= LONGEST_WAITED_FOR_MS and not trigger.repeats_when_set_back):
        return state
    return state._replace(watermark=now, clock=state.clock + 1)


def asked_again(state: JobState, now: int) -> JobState:
    """The same state with what waits due at `now`; the same one if that changes nothing.

    A publish that failed, and a backfill, are due after their usual pause at most.
    """
    if not (state.open or state.backfills):
        return state
    waiting = tuple(_due_again(fire, now) for fire in state.open)
    repeated = tuple(_due_again_at_its_pace(backfill, now) for backfill in state.backfills)
    if waiting == state.open and repeated == state.backfills:
        return state
    return state._replace(open=waiting, backfills=repeated)


def led_by_another(state: JobState, until: int) -> JobState:
    """The state when another engine is known to have gone on up to the instant `until`, and what it left is lost.

    What the schedule named and came due by then counts as published: the other one had the same to publish.
    """
    waiting = tuple(fire for fire in state.open if fire.planned > until or not is_scheduled(fire.origin))
    return state._replace(watermark=max(state.watermark, until), open=waiting)


def published_again(state: JobState, now: int) -> JobState:
    """The same state with each fire that could not be published due at `now`; the same one if that changes nothing."""
    waiting = tuple(
        replace(fire, retry_at=now) if fire.reason is Reason.PUBLISH_FAILED and fire.retry_at > now else fire
        for fire in state.open
    )
    return state if waiting == state.open else state._replace(open=waiting)


def _due_again(fire: OpenFire, now: int) -> OpenFire:
    latest = now + LONGEST_RETRY_MS if fire.reason is Reason.PUBLISH_FAILED else now
    if fire.retry_at <= latest and fire.since <= now:
        return fire
    # A wait that began in what is now the future would end that much too late.
    return replace(fire, retry_at=min(fire.retry_at, latest), since=min(fire.since, now))


def _due_again_at_its_pace(backfill: Backfill, now: int) -> Backfill:
    return replace(backfill, next_at=min(backfill.next_at, now + backfill.every_ms))
