"""The fires of a job that wait: how one is kept, which newer ones make it pointless, and how many there may be.

What is asked for by an operator waits for itself: nothing here ends it. Whether a fire has to wait is not decided here.
"""

from collections.abc import Iterable
from typing import Final

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import BACKFILL, THROTTLED_BY, TRIGGER, Decision, Reason, Verdict
from packages.scheduling.model import Job
from packages.scheduling.policies import CatchUpMode, OverlapMode
from packages.scheduling.state import JobState, OpenFire

FIRST_RETRY_MS: Final = 1_000
LONGEST_RETRY_MS: Final = 30_000
_ASKED_FOR: Final = (TRIGGER, BACKFILL)


def is_scheduled(origin: str) -> bool:
    """Whether a fire of this origin was named by the trigger, and asked for by nobody."""
    return not origin.startswith(_ASKED_FOR)


def is_replaceable(job: Job, fire: OpenFire) -> bool:
    """Whether a newer fire of the schedule takes this open one up."""
    if not is_scheduled(fire.origin):
        return False
    return job.policies.catch_up.mode is not CatchUpMode.ALL or fire.reason is Reason.STILL_RUNNING


def retry_after_ms(attempts: int) -> int:
    """How long to wait for the next publish after `attempts` that failed before the last one."""
    return min(LONGEST_RETRY_MS, FIRST_RETRY_MS << min(attempts, 10))


def kept_open(candidate: Candidate, decision: Decision, since: int) -> OpenFire:
    """The open fire that a deferred candidate becomes, waiting `since` then."""
    if decision.until is None:
        raise ValueError(f"a deferred fire of {decision.job} has no instant to ask again")
    return OpenFire(
        nominal=candidate.nominal,
        planned=candidate.planned,
        origin=candidate.origin,
        retry_at=decision.until,
        reason=decision.reason,
        since=since,
        attempts=candidate.attempts,
        forced=candidate.forced,
    )


def set_aside(candidates: Iterable[Candidate], states: dict[str, JobState]) -> list[Candidate]:
    """Put a waiting fire back beside which a newer one of its job is due: what becomes of that one decides about it.

    Returns the candidates that are left; `states` gets those that were put back.
    """
    candidates = list(candidates)
    if all(candidate.waited is None for candidate in candidates):
        return candidates
    newest: dict[str, int] = {}
    for candidate in candidates:
        if is_scheduled(candidate.origin):
            newest[candidate.job.name] = max(candidate.nominal, newest.get(candidate.job.name, candidate.nominal))
    kept: list[Candidate] = []
    for candidate in candidates:
        name = candidate.job.name
        if candidate.waited is None or candidate.nominal >= newest.get(name, candidate.nominal):
            kept.append(candidate)
            continue
        fire = _open(candidate, candidate.waited)
        if is_replaceable(candidate.job, fire):
            states[name] = states[name]._replace(open=(*states[name].open, fire))
        else:
            kept.append(candidate)
    return kept


def superseded(job: Job, state: JobState, newer: Decision) -> tuple[list[OpenFire], JobState]:
    """Take out the open fires of the schedule that a newer one makes pointless: a sweep owes one fire, not several."""
    policies = job.policies
    if policies.catch_up.mode is CatchUpMode.ALL and policies.overlap is not OverlapMode.BUFFER_ONE:
        # None is, and there may be thousands.
        return [], state
    ended = [f for f in state.open if f.nominal < newer.nominal and is_replaceable(job, f)]
    # All of them, as a rule: the one that was passed over before.
    return (ended, state.with_open(())) if len(ended) == len(state.open) else _without(state, ended)


def beyond_limit(job: Job, state: JobState) -> tuple[list[OpenFire], JobState]:
    """Take out the oldest open fires of the schedule that are more than the catch-up of the job makes up for."""
    limit = job.policies.catch_up.limit
    if len(state.open) <= limit or job.policies.catch_up.mode is not CatchUpMode.ALL:
        return [], state
    waiting = sorted((fire for fire in state.open if is_scheduled(fire.origin)), key=lambda fire: fire.nominal)
    return _without(state, waiting[: max(0, len(waiting) - limit)])


def superseded_by(newer: Decision, fires: Iterable[OpenFire]) -> list[Decision]:
    """The final decisions on open fires that a newer one of their job has ended."""
    return [
        Decision(
            job=newer.job,
            nominal=fire.nominal,
            planned=fire.planned,
            origin=fire.origin,
            at=newer.at,
            verdict=Verdict.SKIP,
            reason=Reason.COALESCED if fire.reason in THROTTLED_BY else Reason.SUPERSEDED,
        )
        for fire in fires
    ]


def counted_since(job: Job, decision: Decision, since: int, ended: Iterable[OpenFire]) -> int:
    """From when on the wait of a deferred fire counts, of its own since `since`, that takes up the `ended` ones.

    From the first of them where it goes out in the end, so that newer fires do not put that off. One that is dropped in
    the end is so for its own age: else a brand new one would be dropped for the age of those that it stands for.
    """
    policies = job.policies
    goes_out = job.criticality.is_critical or (
        policies.max_staleness_ms is not None and decision.reason in THROTTLED_BY
    )
    return min([since, *[fire.since for fire in ended]]) if goes_out else since


def ending_in_time(decision: Decision, job: Job, since: int) -> Decision:
    """A defer that ends at the deadline of a fire that waits `since` then, and never at the instant it is made.

    That would have the loop spin on it.
    """
    if decision.until is None:
        return decision
    until = max(min(decision.until, since + job.policies.stale_after_ms), decision.at + 1)
    return decision if until == decision.until else decision._replace(until=until)


def _without(state: JobState, ended: list[OpenFire]) -> tuple[list[OpenFire], JobState]:
    if not ended:
        return ended, state
    gone = {(fire.nominal, fire.origin) for fire in ended}
    return ended, state._replace(open=tuple(f for f in state.open if (f.nominal, f.origin) not in gone))


def _open(candidate: Candidate, reason: Reason) -> OpenFire:
    return OpenFire(
        nominal=candidate.nominal,
        planned=candidate.planned,
        origin=candidate.origin,
        retry_at=candidate.at,
        reason=reason,
        since=candidate.planned if candidate.since is None else candidate.since,
        attempts=candidate.attempts,
        forced=candidate.forced,
    )
