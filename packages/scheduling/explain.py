"""Why one job runs or does not run at an instant: every gate's opinion then, and what becomes of its next fires."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from packages.scheduling.candidate import Candidate
from packages.scheduling.decide import decide
from packages.scheduling.decision import SCHEDULE, THROTTLED_BY, Decision, Verdict
from packages.scheduling.instants import DAY_MS, NEVER_ENDS
from packages.scheduling.model import Job
from packages.scheduling.preview import preview
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.state import JobState
from packages.scheduling.throttle import is_a_turn, said_until

# How far ahead the next fire is looked for, in steps, so that a job that fires every second costs one day of it.
_HORIZONS_MS: Final = (DAY_MS, 16 * DAY_MS, 400 * DAY_MS)
# Each fire of a throttled job is looked at by itself, and what is let through is soon another share: not as far.
_THROTTLED_MS: Final = 10 * DAY_MS
_THROTTLED_NOMINALS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Explanation:
    """`decision`: on a fire of the job that would be published at `at`. `upcoming`: the next decisions from there on.

    `next_fire`: the first of them that is a fire, under this snapshot; None if there is none before `searched_until`
    (exclusive).
    """

    job: Job
    at: int
    decision: Decision
    upcoming: tuple[Decision, ...]
    next_fire: Decision | None
    searched_until: int


def explain(job: Job, snapshot: Snapshot, at: int, *, fires: int = 5, state: JobState | None = None) -> Explanation:
    """What is said of `job` at the instant `at`, and of its next `fires` decisions from there on.

    `state` is that of the job at `at`, where it is known; that of another trigger counts for nothing.
    """
    states = {job.name: state} if state is not None and state.trigger == job.trigger.describe() else None
    credit = None if states is None else states[job.name].credit
    candidate = Candidate(job=job, nominal=at, planned=at, origin=SCHEDULE, at=at, credit=credit)
    upcoming: tuple[Decision, ...] = ()
    next_fire: Decision | None = None
    until = at
    decision = decide(candidate, snapshot._replace(taken_at=at))
    for until in _horizons(job, snapshot, at):
        ahead = preview([job], snapshot, start=at, end=until, states=states)
        if error := ahead.failures.get(job.name):
            raise error
        upcoming = tuple(islice(ahead.decisions(), fires))
        next_fire = next((each for each in ahead.decisions() if each.verdict is Verdict.FIRE), None)
        if next_fire is not None and len(upcoming) == fires:
            break
    return Explanation(
        job=job,
        at=at,
        decision=decision,
        upcoming=upcoming,
        next_fire=next_fire,
        searched_until=until,
    )


def _horizons(job: Job, snapshot: Snapshot, at: int) -> Iterator[int]:
    """The instants up to which it is worth looking, one after the other."""
    if not _is_throttled(job, snapshot, at):
        yield from (at + horizon_ms for horizon_ms in _HORIZONS_MS)
        return
    left = _THROTTLED_NOMINALS
    for nominals in job.trigger.between(at, at + _THROTTLED_MS):
        if len(nominals) >= left:
            yield int(nominals[left - 1]) + job.policies.jitter_ms + 1
            return
        left -= len(nominals)
    yield at + _THROTTLED_MS


def _is_throttled(job: Job, snapshot: Snapshot, at: int) -> bool:
    """Whether a job takes turns, now or when what an operator has said has ended."""
    while at < NEVER_ENDS:
        decision = decide(Candidate(job, at, at, SCHEDULE, at), snapshot._replace(taken_at=at))
        if is_a_turn(decision) or any(opinion.reason in THROTTLED_BY for opinion in decision.opinions):
            return True
        at = said_until(job, snapshot, at)
    return False
