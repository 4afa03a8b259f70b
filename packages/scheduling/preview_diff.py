"""In what two previews of one period differ: jobs that are in one only, jobs that changed, and fire by fire."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from packages.scheduling.decision import Decision
from packages.scheduling.job_facts import facts_of
from packages.scheduling.model import Job
from packages.scheduling.preview_columns import Preview
from packages.scheduling.preview_summary import Tally, summary_of


class Change(StrEnum):
    """What became of a job or of a fire. A fire has moved when the same nominal is published or decided otherwise."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class FactChange:
    """A property of a job, before and after."""

    fact: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class JobChange:
    """One job in both previews; `before` or `after` is None where it is not there.

    It can be `same` in itself and still have other counts: a calendar or a reading differs.
    """

    job: str
    change: Change
    facts: tuple[FactChange, ...]
    before: Tally | None
    after: Tally | None


@dataclass(frozen=True, slots=True)
class FireChange:
    """One nominal of a job that is decided otherwise or is in one preview only. `change`: added, removed or moved."""

    change: Change
    job: str
    nominal: int
    before: Decision | None
    after: Decision | None


def job_changes(before: Preview, after: Preview) -> tuple[JobChange, ...]:
    """Every job of either preview, in the order of `before`, then those that are new."""
    counted = [{row.job: row.tally for row in summary_of(preview).jobs} for preview in (before, after)]
    jobs = [{job.name: job for job in preview.jobs} for preview in (before, after)]
    names = dict.fromkeys((*jobs[0], *jobs[1]))
    return tuple(
        _job_change(name, (jobs[0].get(name), jobs[1].get(name)), (counted[0].get(name), counted[1].get(name)))
        for name in names
    )


def fire_changes(before: Preview, after: Preview) -> Iterator[FireChange]:
    """Every nominal that differs, in the order of jobs by name and of nominals. The same fire has the same origin."""
    sides = [
        {(decision.job, decision.nominal, decision.origin): decision for decision in preview.decisions()}
        for preview in (before, after)
    ]
    for key in sorted(sides[0].keys() | sides[1].keys()):
        was, becomes = sides[0].get(key), sides[1].get(key)
        if was is None:
            yield FireChange(Change.ADDED, key[0], key[1], None, becomes)
        elif becomes is None:
            yield FireChange(Change.REMOVED, key[0], key[1], was, None)
        elif _outcome(was) != _outcome(becomes):
            yield FireChange(Change.MOVED, key[0], key[1], was, becomes)


def _job_change(
    name: str, jobs: tuple[Job | None, Job | None], tallies: tuple[Tally | None, Tally | None]
) -> JobChange:
    before, after = jobs
    if before is None or after is None:
        return JobChange(name, Change.ADDED if before is None else Change.REMOVED, (), *tallies)
    facts = zip(facts_of(before).items(), facts_of(after).values(), strict=True)
    changed = tuple(FactChange(fact, was, becomes) for (fact, was), becomes in facts if was != becomes)
    return JobChange(name, Change.CHANGED if changed else Change.SAME, changed, *tallies)


def _outcome(decision: Decision) -> tuple[object, ...]:
    return decision.verdict, decision.reason, decision.planned, decision.at
