"""Whose turn it is: a rate below one lets that share of a job's fires through, evenly, and never by chance.

At each fire credit += rate; a fire that finds a whole credit goes out, and credit -= 1: of any n in a row
floor(rate * n) or one more go out. The credit is the job's own. With one for a whole queue two jobs that take turns
would find it whole in turns, too, and one of them always. Jobs begin with different parts of a credit, by a hash of the
name, so that they do not all wait for the same fire.

A fire out of turn waits. The job's next one takes it up, and takes a turn of its own; so a sweep owes one fire.
"""

from functools import lru_cache
from typing import Final

from packages.scheduling.candidate import Candidate
from packages.scheduling.control.shares import ONE, in_three_figures
from packages.scheduling.decision import SCHEDULE, THROTTLED_BY, Decision, Fact, Opinion, Reason, Verdict
from packages.scheduling.instants import MINUTE_MS, NEVER_ENDS
from packages.scheduling.jitter import offset_ms
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Pin, Snapshot

# A fire that waits asks again after one to two of these, each at another instant: what waits does not come at once.
ASK_AGAIN_MS: Final = 2 * MINUTE_MS
# No job is nominal then. A spread interval has its phase by the hash of 0: by the same one the jobs that fire together
# would take their turns together.
_AT_FIRST: Final = -1
# Looking a member up in its enumeration is slow, and this is done for every fire to a throttled queue.
_NEVER_HELD: Final = Criticality.CRITICAL_PLUS
_FIRE, _DEFER = Verdict.FIRE, Verdict.DEFER
_PUBLISH_FAILED, _STALE, _IN_TURN = Reason.PUBLISH_FAILED, Reason.STALE, Reason.IN_TURN
_ENFORCE: Final = GateMode.ENFORCE
# What operators know the gate of their pins by.
PINS: Final = "pin"


def pin_of(job: Job, snapshot: Snapshot, at: int) -> Pin | None:
    """The pin that holds for a job, which is not exempt."""
    if not snapshot.pins or _is_exempt(job, snapshot, at):
        return None
    return pin_of_kind(job.queue, job.criticality, snapshot, at)


def pin_of_kind(queue: str, criticality: Criticality, snapshot: Snapshot, at: int) -> Pin | None:
    """The pin that holds for jobs like these: that of the criticality before that of the whole queue.

    One of a whole queue does not hold critical_plus, which must be named.
    """
    named = snapshot.pins.get((queue, criticality))
    if named is not None and named.holds(at):
        return named
    whole = snapshot.pins.get((queue, None))
    is_held = whole is not None and whole.holds(at) and criticality is not _NEVER_HELD
    return whole if is_held else None


def is_pinned(queue: str, criticality: Criticality, snapshot: Snapshot, at: int) -> bool:
    """Whether an operator's pin holds for jobs like these, and its gate is enforced: it goes before the control."""
    is_enforced = snapshot.gate_modes.get(PINS, _ENFORCE) is _ENFORCE
    return is_enforced and pin_of_kind(queue, criticality, snapshot, at) is not None


def is_left_alone(job: Job, snapshot: Snapshot, at: int) -> bool:
    """Whether the gates of the control have no opinion on a job.

    It is critical_plus, an operator has said so, or has pinned its rate where the gate of the pins is enforced.
    """
    if job.criticality is _NEVER_HELD:
        return True
    if not (snapshot.exempt or snapshot.pins):
        return False
    if _is_exempt(job, snapshot, at):
        return True
    return is_pinned(job.queue, job.criticality, snapshot, at)


def said_until(job: Job, snapshot: Snapshot, at: int) -> int:
    """Until when (exclusive) the pins and the exemption that concern a job are what they are at `at`."""
    pins, exempt = snapshot.pins, snapshot.exempt
    if not (pins or exempt):
        return NEVER_ENDS
    said = pins.get((job.queue, job.criticality)), pins.get((job.queue, None)), exempt.get(job.name)
    ends = (each.until for each in said if each is not None and each.until is not None)
    return min((end for end in ends if end > at), default=NEVER_ENDS)


def opinion_at(rate: int, gate: str, candidate: Candidate, reason: Reason, facts: tuple[Fact, ...]) -> Opinion | None:
    """What a gate says of a fire whose job has this rate, in millionths; None where the rate is whole.

    A fire whose publish failed has had its turn, and so has one of a backfill that waits by itself. One that has waited
    for the job's own `max_staleness` goes out.
    """
    waited = candidate.waited
    if rate >= ONE or waited is _PUBLISH_FAILED:
        return None
    if waited is not None and candidate.is_backfill:
        return None
    job, at = candidate.job, candidate.at
    said: tuple[Fact, ...] = (*facts, _rate_fact(rate))
    if job.policies.max_staleness_ms is not None and at >= candidate.deadline:
        return Opinion(gate, _FIRE, _STALE, None, at + 1, said)
    turn: int | None = None
    if waited is None or waited not in THROTTLED_BY:
        turn = rate
        # Nothing else that the opinion hangs on is lost once it is given: with it the same can be found again.
        credit = credit_of(candidate)
        said = (*said, ("credit", credit))
        if credit + rate >= ONE:
            return Opinion(gate, _FIRE, _IN_TURN, None, at + 1, said, _ENFORCE, turn)
    until = min(at + ASK_AGAIN_MS + offset_ms(job.name, candidate.nominal, ASK_AGAIN_MS), NEVER_ENDS - 1)
    return Opinion(gate, _DEFER, reason, until, at + 1, said, _ENFORCE, turn)


@lru_cache(maxsize=1_000)
def _rate_fact(rate: int) -> Fact:
    # Made for each fire, and there are few rates at a time.
    return "rate", f"{in_three_figures(rate) / ONE:.3g}"


def takes_turns(candidate: Candidate) -> bool:
    """Whether a fire shares the job's turns: not one that an operator asked for, now or for the past.

    Those of a backfill have turns of their own: they and the schedule's would take each other's.
    """
    return candidate.origin == SCHEDULE or not (candidate.is_asked_for or candidate.is_backfill)


def is_a_turn(decision: Decision) -> bool:
    """Whether a fire took a turn of its job: what is decided on the next one hangs on it."""
    return any(opinion.rate is not None for opinion in decision.opinions)


def credit_of(candidate: Candidate) -> int:
    """The credit of a candidate's job, in millionths; the one that it begins with where it has none."""
    return offset_ms(candidate.job.name, _AT_FIRST, ONE) if candidate.credit is None else candidate.credit


def credit_after(candidate: Candidate, decision: Decision) -> int | None:
    """The credit of the job after a decision; None where no gate throttles it, and what it had is forgotten.

    Only a fire that goes out, or is kept by a throttle, takes a turn. Where gates that only observe throttle it, the
    credit is what it would be.
    """
    enforced: int | None = None
    observed: int | None = None
    is_throttled = False
    for opinion in decision.opinions:
        rate = opinion.rate
        if rate is None:
            is_throttled |= opinion.reason in THROTTLED_BY or opinion.reason is _STALE
        elif opinion.mode is _ENFORCE:
            enforced = rate if enforced is None else min(enforced, rate)
        else:
            observed = rate if observed is None else min(observed, rate)
    rate = observed if enforced is None else enforced
    if rate is None:
        return candidate.credit if is_throttled else None
    is_out = decision.verdict is _FIRE
    if enforced is not None and not is_out and decision.reason not in THROTTLED_BY:
        return candidate.credit
    credit = credit_of(candidate) + rate
    goes_out = credit >= ONE if enforced is None else is_out
    # What goes out without a whole credit, because it had waited too long, leaves no debt of turns behind.
    return max(0, credit - ONE) if goes_out else min(credit, ONE - 1)


def _is_exempt(job: Job, snapshot: Snapshot, at: int) -> bool:
    exemption = snapshot.exempt.get(job.name)
    return exemption is not None and exemption.holds(at)
