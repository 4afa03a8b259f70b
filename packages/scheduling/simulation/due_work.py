"""Distinct due work: what runs were good for, however many of them stood for the same due nominals.

A run that succeeds counts if, when it began, at least one nominal of its job had come due since the job's previous run
that succeeded began. So a sweep that makes up for ten coalesced fires counts as one, and so does the first of ten
sweeps in a row that had nothing new to do: no strategy wins by shedding, and none by repeating.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from packages.scheduling.model import Criticality, Job
from packages.scheduling.simulation.message import Fate, Message


@dataclass(frozen=True, slots=True)
class Stretch:
    """The longest time between the begins of two runs of `job` that succeeded one after the other, or to the end."""

    job: str
    length_ms: int


def distinct_due_work(messages: Iterable[Message], jobs: Mapping[str, Job]) -> int:
    """How many runs count, of all jobs."""
    return sum(_counted(jobs[name], starts) for name, starts in _starts(messages).items())


def longest_stretches(
    messages: Iterable[Message], jobs: Mapping[str, Job], *, begins: int, ends: int
) -> dict[Criticality, Stretch]:
    """By criticality the longest stretch of any job, from the beginning of the scenario to its end.

    A job that has no nominal in it is left out.
    """
    starts = _starts(messages)
    longest: dict[Criticality, Stretch] = {}
    for name, job in jobs.items():
        first = job.trigger.next_after(begins - 1)
        if first is None or first >= ends:
            continue
        instants = sorted([first, *starts.get(name, ())])
        following = job.trigger.next_after(instants[-1])
        # To the end only if something was due once more, or nothing ever ran.
        if len(instants) == 1 or (following is not None and following < ends):
            instants.append(ends)
        stretch = Stretch(name, max(later - earlier for earlier, later in pairwise(instants)))
        known = longest.get(job.criticality)
        if known is None or stretch.length_ms > known.length_ms:
            longest[job.criticality] = stretch
    return longest


def _starts(messages: Iterable[Message]) -> dict[str, list[int]]:
    starts: dict[str, list[int]] = defaultdict(list)
    for message in messages:
        if message.fate is Fate.SUCCEEDED and message.started_at is not None:
            starts[message.job].append(message.started_at)
    return {name: sorted(each) for name, each in starts.items()}


def _counted(job: Job, starts: list[int]) -> int:
    # The first one always counts: it was published for a nominal that had come due.
    return min(1, len(starts)) + sum(
        due is not None and due <= start
        for previous, start in pairwise(starts)
        for due in (job.trigger.next_after(previous),)
    )
