"""What is let through of each kind of fire, and why: the gates themselves are asked, about one that is out of turn."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from packages.scheduling.candidate import Candidate
from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import SCHEDULE, Opinion, Reason
from packages.scheduling.gates import backlog, failing_target, pin, slo
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.throttle import pin_of
from packages.scheduling.triggers.interval import IntervalTrigger

# Which of the gates that throttle look at a fire's queue and criticality alone.
_GATES: Final = (backlog, slo)
_ANY: Final = IntervalTrigger(1)
# So far below a turn that no rate makes it one.
_NO_CREDIT: Final = -ONE


class Throttle(NamedTuple):
    """Of the fires of a queue and criticality this share is let through, in millionths, since then.

    `observed`: or would be; the gate only observes. `objective` and `level` are those that burn, `note` is a pin's.
    """

    queue: str
    criticality: Criticality
    rate: int
    reason: Reason
    since: int | None = None
    observed: bool = False
    objective: str | None = None
    level: int | None = None
    note: str = ""


class FailingTask(NamedTuple):
    """Of the fires of a task that fails this share is let through, in millionths, since then.

    `observed`: or would be. `kinds`: the queues and criticalities of the jobs that are held; None: no job of the task
    is known.
    """

    task: str
    rate: int
    since: int
    observed: bool
    kinds: tuple[tuple[str, Criticality], ...] | None


def throttles(snapshot: Snapshot, kinds: Iterable[tuple[str, Criticality]], at: int) -> list[Throttle]:
    """The throttle of each kind that has one, or a pin, in their order; of several the one that lets least through.

    Asked without a job: what a gate says by a job's own period and lifetime, as of critical work that nobody serves, is
    not in it. A job may be exempt from it, and a task that fails has a throttle of its own.
    """
    # Named as no job is, so that no exemption is its own.
    found = (_throttle(snapshot, Job("", "", _ANY, queue, criticality), at) for queue, criticality in kinds)
    return [throttle for throttle in found if throttle is not None]


def throttles_of(snapshot: Snapshot, jobs: Iterable[Job], at: int) -> list[Throttle]:
    """The same of the kinds that these jobs are of, by queue; of a kind that of the job of which least goes out."""
    worst: dict[tuple[str, Criticality], Throttle] = {}
    for job in jobs:
        found, kind = _throttle(snapshot, job, at), (job.queue, job.criticality)
        if found is not None and (kind not in worst or _by_strength(found) < _by_strength(worst[kind])):
            worst[kind] = found
    return [worst[kind] for kind in in_order(worst)]


def failing_tasks(snapshot: Snapshot, jobs: Iterable[Job], at: int) -> list[FailingTask]:
    """The tasks that fail, by name, but for those of which no job is held: all are critical, exempt or pinned."""
    mode, targets = _mode(snapshot, failing_target.NAME), snapshot.controllers.targets
    if mode is GateMode.OFF:
        return []
    kinds: dict[str, set[tuple[str, Criticality]]] = {}
    for job in jobs:
        if job.task in targets:
            of_task = kinds.setdefault(job.task, set())
            candidate = Candidate(job, at, at, SCHEDULE, at, credit=_NO_CREDIT)
            if failing_target.opinion(candidate, snapshot) is not None:
                of_task.add((job.queue, job.criticality))
    return [
        FailingTask(
            task, target.rate, target.since, mode is GateMode.OBSERVE, None if held is None else tuple(in_order(held))
        )
        for task, target in sorted(targets.items())
        if (held := kinds.get(task)) is None or held
    ]


def in_order(kinds: Iterable[tuple[str, Criticality]]) -> list[tuple[str, Criticality]]:
    """By queue, and of a queue first what is held back first."""
    order = list(reversed(Criticality))
    return sorted(kinds, key=lambda kind: (kind[0], order.index(kind[1])))


def _by_strength(throttle: Throttle) -> tuple[bool, int]:
    return throttle.observed, throttle.rate


def _throttle(snapshot: Snapshot, job: Job, at: int) -> Throttle | None:
    pinned = _pinned(job, snapshot, at)
    if pinned is not None and not pinned.observed:
        return pinned
    candidate = Candidate(job, at, at, SCHEDULE, at, credit=_NO_CREDIT)
    opinions = [
        (gate.NAME, opinion)
        for gate in _GATES
        if gate.may_speak(job.policies, snapshot) and (opinion := gate.opinion(candidate, snapshot)) is not None
    ]
    told = [_told(job, opinion, _mode(snapshot, gate)) for gate, opinion in opinions]
    holding = [each for each in (pinned, *told) if each is not None]
    return min(holding, key=_by_strength, default=None)


def _pinned(job: Job, snapshot: Snapshot, at: int) -> Throttle | None:
    """What is pinned is told also where it lets everything through."""
    found, mode = pin_of(job, snapshot, at), _mode(snapshot, pin.NAME)
    if found is None or mode is GateMode.OFF:
        return None
    return Throttle(
        job.queue,
        job.criticality,
        found.rate,
        Reason.PINNED,
        found.since,
        observed=mode is GateMode.OBSERVE,
        note=found.note,
    )


def _told(job: Job, opinion: Opinion, mode: GateMode) -> Throttle | None:
    if mode is GateMode.OFF or opinion.rate is None:
        return None
    facts = dict(opinion.facts)
    since, objective, level = facts.get("since"), facts.get("objective"), facts.get("level")
    return Throttle(
        job.queue,
        job.criticality,
        opinion.rate,
        opinion.reason,
        since if isinstance(since, int) else None,
        observed=mode is GateMode.OBSERVE,
        objective=None if objective is None else str(objective),
        level=level if isinstance(level, int) else None,
    )


def _mode(snapshot: Snapshot, gate: str) -> GateMode:
    return snapshot.gate_modes.get(gate, GateMode.ENFORCE)
