"""A past range that is published again: it goes at the pace that was asked for, and stands still while a gate objects.

Its fires do not wait one by one, as those of the schedule do: they would grow old, or come all at once in the end. The
one that is held back is named again, when the gate says or, out of turn, after a pace. So a throttle makes a backfill
slower, and nothing of it is lost. It has a credit of its own; the job's turns are those of the schedule.
"""

from dataclasses import replace
from typing import NamedTuple

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import BACKFILL, THROTTLED_BY, Decision, Verdict
from packages.scheduling.policies import GateMode
from packages.scheduling.state import JobState
from packages.scheduling.throttle import credit_after


class Stepped(NamedTuple):
    """`state` is the job's after `decision` on a fire of a backfill. `stands`: that one names the fire again."""

    decision: Decision
    state: JobState
    stands: bool = False


def stepped(state: JobState, candidate: Candidate, decision: Decision) -> Stepped:
    """Have the backfill of a fire go on, or stand still.

    Only one that the backfill has just named: what waits by itself, because it could not be published, is no part of
    it any more.
    """
    backfill = next((each for each in state.backfills if f"{BACKFILL}{each.id}" == candidate.origin), None)
    if backfill is None or candidate.waited is not None:
        return Stepped(decision, state)
    after = replace(backfill, credit=credit_after(candidate, decision) or 0)
    stands = decision.verdict is Verdict.DEFER
    if stands:
        goes_on_at = _goes_on_at(decision, backfill.every_ms)
        decision = decision._replace(until=goes_on_at)
        after = replace(after, cursor=decision.nominal - 1, next_at=goes_on_at)
    if after == backfill:
        return Stepped(decision, state)
    backfills = tuple(after if each is backfill else each for each in state.backfills)
    return Stepped(decision, state._replace(backfills=backfills), stands)


def _goes_on_at(decision: Decision, every_ms: int) -> int:
    at, until = decision.at, decision.until or decision.at
    if decision.reason not in THROTTLED_BY:
        return max(until, at + 1)
    # Where nothing is let through there is nothing to take turns at, and no need to hurry.
    held = [opinion.rate for opinion in decision.opinions if opinion.mode is GateMode.ENFORCE]
    return max(until, at + every_ms) if 0 in held else at + every_ms
