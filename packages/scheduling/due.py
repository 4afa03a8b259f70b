"""Which fires of a job are due, and which of those that were missed are made up for, by the job's catch-up policy.

A nominal that is found on time is a candidate under every policy. What is found late was missed: beat was down, the
host slept, the loop stood still. Nothing is decided here by any gate.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from packages.scheduling.candidate import ON_TIME_MS, Candidate, decided_at
from packages.scheduling.decision import BACKFILL, SCHEDULE, Decision, Reason, Verdict
from packages.scheduling.model import Job
from packages.scheduling.planned import planned_of
from packages.scheduling.policies import CatchUp, CatchUpMode
from packages.scheduling.sessions import SessionTable
from packages.scheduling.slot import Slot
from packages.scheduling.state import Backfill, JobState, OpenFire
from packages.scheduling.triggers.base import Trigger

# Under the policy `skip` a fire that is this late was not missed; starting beat again takes a few seconds.
SKIP_GRACE_MS: Final = 5_000
# So many nominals are looked at one by one; more than that are counted in arrays.
_A_FEW: Final = 16
# Makes a named tuple at half the cost; one is made for every fire.
_new: Final = tuple.__new__
# A count of missed nominals ends here, so that a year of milliseconds cannot hold up the loop.
MOST_COUNTED: Final = 1_000_000


class Due(NamedTuple):
    """What is due of one job: fires to decide, and decisions on what is not made up for.

    `state` is that of the job with all of them taken out: its watermark is the last nominal that was due. `upcoming` is
    the nominal behind it, None if there is none.
    """

    candidates: tuple[Candidate, ...]
    missed: tuple[Decision, ...]
    state: JobState
    upcoming: int | None


def due_alone(slot: Slot, now: int) -> tuple[Candidate, int | None] | None:
    """`due_of` in the ordinary case, in a fraction of its time: one fire alone is due, and on time. None in any other.

    What waits for later does not matter.

    Returns the fire and the nominal behind it; the job is settled to the fire's nominal then.
    """
    job, state, nominal, planned, following = slot.job, slot.state, slot.nominal, slot.planned, slot.following
    if not planned <= now <= planned + ON_TIME_MS or state.backfills:
        return None
    for fire in state.open:
        if fire.retry_at <= now:
            return None
    if following is None:
        following = job.trigger.next_after(nominal)
    if following is not None and following <= now:
        return None
    origin = state.origin if state.clock else SCHEDULE
    return _new(Candidate, (job, nominal, planned, origin, planned, None, 0, False, None, 0, None)), following


def due_of(job: Job, state: JobState, now: int, markets: Mapping[str, SessionTable]) -> Due:
    """All that is due of `job` at `now`, in the order of the planned instants."""
    found = _scheduled(job, state, now, markets)
    candidates, rest, backfills = found.candidates, state.open, state.backfills
    if rest or backfills:
        waiting = [_reopened(job, fire, now) for fire in rest if fire.retry_at <= now]
        rest = tuple(fire for fire in rest if fire.retry_at > now)
        repeated, backfills = _backfilled(job, backfills, now)
        candidates = sorted([*waiting, *repeated, *candidates], key=lambda c: (c.planned, c.nominal))
    if (found.watermark, rest, backfills) != (state.watermark, state.open, state.backfills):
        state = state._replace(watermark=found.watermark, open=rest, backfills=backfills)
    return Due(tuple(candidates), found.missed, state, found.upcoming)


def _reopened(job: Job, fire: OpenFire, now: int) -> Candidate:
    return Candidate(
        job=job,
        nominal=fire.nominal,
        planned=fire.planned,
        origin=fire.origin,
        at=decided_at(fire.retry_at, now),
        waited=fire.reason,
        attempts=fire.attempts,
        forced=fire.forced,
        since=fire.since,
    )


def _backfilled(job: Job, backfills: tuple[Backfill, ...], now: int) -> tuple[list[Candidate], tuple[Backfill, ...]]:
    """One fire of each backfill whose turn it is. After an outage the pace goes on; nothing is hurried."""
    candidates: list[Candidate] = []
    left: list[Backfill] = []
    for backfill in backfills:
        if backfill.next_at > now:
            left.append(backfill)
            continue
        nominal = job.trigger.next_after(backfill.cursor)
        if nominal is None or nominal > backfill.end:
            continue
        at = decided_at(backfill.next_at, now)
        origin = f"{BACKFILL}{backfill.id}"
        candidates.append(Candidate(job=job, nominal=nominal, planned=at, origin=origin, at=at, credit=backfill.credit))
        left.append(replace(backfill, cursor=nominal, next_at=at + backfill.every_ms))
    return candidates, tuple(left)


class _Scheduled(NamedTuple):
    """The candidates of the schedule, a decision on what was missed, the new watermark, the nominal behind it."""

    candidates: list[Candidate]
    missed: tuple[Decision, ...]
    watermark: int
    upcoming: int | None


def _scheduled(job: Job, state: JobState, now: int, markets: Mapping[str, SessionTable]) -> _Scheduled:
    nominals, count, following = _last_of(
        job.trigger, state.watermark, now, keep=_most_taken(job.policies.catch_up) + 1
    )
    taken: list[Candidate] = []
    watermark, upcoming = state.watermark, following
    fresh = 0
    while nominals:
        nominal = nominals[-1]
        planned = planned_of(job, nominal, following, markets)
        if planned <= now:
            late_ms = now - planned
            fresh += late_ms <= ON_TIME_MS
            if late_ms > ON_TIME_MS and not _is_made_up_for(job, late_ms, fresh=fresh, late=len(taken) - fresh):
                break
            at = decided_at(planned, now)
            taken.append(Candidate(job=job, nominal=nominal, planned=planned, origin=state.origin, at=at))
            watermark = max(watermark, nominal)
        else:
            upcoming = nominal
        count -= 1
        following = nominals.pop()
    if not nominals:
        return _Scheduled(taken[::-1], (), watermark, upcoming)
    missed = Decision(
        job=job.name,
        nominal=nominal,
        planned=planned,
        origin=state.origin,
        at=now,
        verdict=Verdict.SKIP,
        reason=Reason.SUPERSEDED if taken else Reason.MISSED,
        count=count,
        first_nominal=job.trigger.next_after(state.watermark),
    )
    return _Scheduled(taken[::-1], (missed,), max(watermark, nominal), upcoming)


def _is_made_up_for(job: Job, late_ms: int, *, fresh: int, late: int) -> bool:
    """Whether a late nominal is fired, `fresh` newer ones being on time and `late` newer ones made up for."""
    policy = job.policies.catch_up
    match policy.mode:
        case CatchUpMode.SKIP:
            return late_ms <= SKIP_GRACE_MS
        case CatchUpMode.LATEST:
            return fresh + late == 0 and late_ms <= policy.window_ms
        case CatchUpMode.ALL:
            return late < policy.limit and late_ms <= policy.window_ms


def _most_taken(policy: CatchUp) -> int:
    """How many nominals may be due and not missed at once, at one a millisecond; one more may wait for its jitter."""
    match policy.mode:
        case CatchUpMode.SKIP:
            return SKIP_GRACE_MS + 2
        case CatchUpMode.LATEST:
            return ON_TIME_MS + 2
        case CatchUpMode.ALL:
            return ON_TIME_MS + 2 + policy.limit


def _last_of(trigger: Trigger, start: int, end: int, *, keep: int) -> tuple[deque[int], int, int | None]:
    """The last `keep` nominals in (start, end], how many there are, and the one behind them.

    The count ends near `MOST_COUNTED`.
    """
    few: deque[int] = deque(maxlen=keep)
    nominal = trigger.next_after(start)
    while nominal is not None and nominal <= end:
        if len(few) == _A_FEW:
            break
        few.append(nominal)
        nominal = trigger.next_after(nominal)
    else:
        return few, len(few), nominal
    while True:
        count = 0
        last: deque[int] = deque(maxlen=keep)
        for chunk in trigger.between(start, end):
            count += len(chunk)
            last.extend(chunk[-keep:].tolist())
            if count > MOST_COUNTED:
                break
        else:
            return last, count, trigger.next_after(end)
        start += (end - start) // 2
