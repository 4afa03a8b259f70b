"""What is wrong with the messages that arrived: compared with what was declared, never with what beat says of itself.

The expected fires are computed here anew, from the laws of the jobs. Reads no clock, no queue and no process.
All instants are milliseconds since the epoch on the clock that beat reads.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.faults.laws import Declared, Grid, Law, MakesUp

# Two processes that read one clock, the one before and the other after a message went from one to the other.
_EARLY_BEYOND_MS: Final = 5
# Beat looked away for so long: what a job that makes up for its last fire only has missed in it is not lost.
_STALL_MS: Final = 250


class Kind(StrEnum):
    """A way in which a fire can be wrong."""

    MISSED = "missed"
    DUPLICATED = "duplicated"
    EARLY = "early"
    LATE = "late"
    OLD_TERM = "old_term"
    UNEXPECTED = "unexpected"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it was taken from a queue. Those of one `batch` were taken together, in no known order."""

    job: str
    scheduled_for: int
    planned_for: int
    published_at: int
    origin: str
    term: int | None
    task_id: str
    arrived_at: int
    batch: int


@dataclass(frozen=True, slots=True)
class Span:
    """The fires whose nominals are in (start, end] are expected, under this origin."""

    start: int
    end: int
    origin: str = "schedule"


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to `end`, both inclusive."""

    start: int
    end: int

    def holds(self, instant: int) -> bool:
        """Whether the instant is in it."""
        return self.start <= instant <= self.end


@dataclass(frozen=True, slots=True)
class Fault:
    """One fire that is wrong, and how."""

    kind: Kind
    job: str
    nominal: int
    origin: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All that is wrong, and how many messages were looked at."""

    faults: tuple[Fault, ...]
    messages: int

    def of(self, *kinds: Kind) -> tuple[Fault, ...]:
        """The faults of these kinds; all of them for none."""
        return tuple(fault for fault in self.faults if not kinds or fault.kind in kinds)

    def __str__(self) -> str:
        counts = Counter(fault.kind.value for fault in self.faults)
        shown = [f"  {f.kind} {f.job} {f.nominal} {f.origin} {f.detail}" for f in self.faults[:40]]
        return "\n".join([f"{self.messages} messages, {dict(counts)}", *shown])


def check(
    declared: Sequence[Declared],
    arrivals: Sequence[Arrival],
    spans: Sequence[Span],
    *,
    outages: Sequence[Window] = (),
    lost: Sequence[Window] = (),
    late_after_ms: int,
) -> Report:
    """Compare.

    `outages`: while nobody could publish; a fire in one may come at its end, and of several of a job that makes up for
    the last one only the others may be missing. `lost`: the server forgot what it was told; a fire in one may be
    missing or late, and may come twice. `late_after_ms`: so much after its planned instant, or after the end of the
    outage that this is in, a fire is late.
    """
    known = {job.name for job in declared}
    by_job: defaultdict[str, list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        by_job[arrival.job].append(arrival)
    stalls = _stalls(arrivals)
    faults = [
        Fault(Kind.UNEXPECTED, arrival.job, arrival.scheduled_for, arrival.origin, "no such job")
        for arrival in arrivals
        if arrival.job not in known
    ]
    for job in declared:
        came, law = by_job[job.name], _law_of(job, by_job[job.name])
        faults += _missed(job, law, came, spans, excused=[*outages, *stalls], lost=lost)
        faults += _duplicated(came, lost)
        faults += _not_declared(job, law, came, {span.origin for span in spans})
        faults += _at_the_wrong_time(job, came, outages, lost=lost, late_after_ms=late_after_ms)
    faults += _of_old_terms(arrivals)
    return Report(tuple(faults), len(arrivals))


def busiest(arrivals: Iterable[Arrival], within_ms: int) -> int:
    """The most messages that arrived in any stretch of this length: how a storm shows."""
    instants = sorted(arrival.arrived_at for arrival in arrivals)
    most = begin = 0
    for end, instant in enumerate(instants):
        while instants[begin] <= instant - within_ms:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def _law_of(job: Declared, came: Sequence[Arrival]) -> Law | None:
    """The law of a job; of one that begins when beat first sees it only what came can tell."""
    if job.law is not None:
        return job.law
    if job.period_ms is None:
        raise ValueError(f"job {job.name} has neither a law nor a period")
    return Grid(job.period_ms, min(arrival.scheduled_for for arrival in came)) if came else None


def _missed(
    job: Declared,
    law: Law | None,
    came: Sequence[Arrival],
    spans: Sequence[Span],
    *,
    excused: Sequence[Window],
    lost: Sequence[Window],
) -> Iterator[Fault]:
    if law is None:
        yield Fault(Kind.MISSED, job.name, 0, "schedule", "it never came")
        return
    got = {(arrival.scheduled_for, arrival.origin) for arrival in came}
    for span in spans:
        for nominal in law.nominals(span.start, span.end):
            if (nominal, span.origin) in got or _holds(lost, nominal):
                continue
            if job.makes_up is MakesUp.LATEST and _is_superseded(law, nominal, excused):
                continue
            yield Fault(Kind.MISSED, job.name, nominal, span.origin)


def _is_superseded(law: Law, nominal: int, windows: Sequence[Window]) -> bool:
    """Whether a later one was due in the same window."""
    return any(window.holds(nominal) and any(law.nominals(nominal, window.end)) for window in windows)


def _duplicated(came: Sequence[Arrival], lost: Sequence[Window]) -> Iterator[Fault]:
    counts = Counter((arrival.job, arrival.scheduled_for, arrival.origin) for arrival in came)
    for (job, nominal, origin), count in counts.items():
        if count > 1 and not _holds(lost, nominal):
            yield Fault(Kind.DUPLICATED, job, nominal, origin, f"{count} times")


def _not_declared(job: Declared, law: Law | None, came: Sequence[Arrival], origins: set[str]) -> Iterator[Fault]:
    for arrival in came:
        nominal = arrival.scheduled_for
        if law is not None and not any(law.nominals(nominal - 1, nominal)):
            yield Fault(Kind.UNEXPECTED, job.name, nominal, arrival.origin, "no such nominal")
        if arrival.origin not in origins:
            yield Fault(Kind.UNEXPECTED, job.name, nominal, arrival.origin, "no such origin")
        if arrival.planned_for >= nominal + max(1, job.jitter_ms):
            yield Fault(Kind.UNEXPECTED, job.name, nominal, arrival.origin, "planned beyond its jitter")
        if arrival.term is None:
            yield Fault(Kind.UNEXPECTED, job.name, nominal, arrival.origin, "no term")


def _at_the_wrong_time(
    job: Declared,
    came: Sequence[Arrival],
    outages: Sequence[Window],
    *,
    lost: Sequence[Window],
    late_after_ms: int,
) -> Iterator[Fault]:
    for arrival in came:
        before_ms = max(arrival.planned_for, arrival.scheduled_for) - arrival.arrived_at
        if arrival.planned_for < arrival.scheduled_for or before_ms > _EARLY_BEYOND_MS:
            yield Fault(Kind.EARLY, job.name, arrival.scheduled_for, arrival.origin, f"{before_ms} ms")
        ends = [window.end for window in outages if window.holds(arrival.planned_for)]
        late_ms = arrival.arrived_at - max([arrival.planned_for, *ends])
        if late_ms > late_after_ms and not _holds(lost, arrival.scheduled_for):
            yield Fault(Kind.LATE, job.name, arrival.scheduled_for, arrival.origin, f"{late_ms} ms")


def _of_old_terms(arrivals: Sequence[Arrival]) -> Iterator[Fault]:
    highest = highest_here = batch = -1
    for arrival in sorted(arrivals, key=lambda arrival: arrival.batch):
        if arrival.batch != batch:
            highest, batch = highest_here, arrival.batch
        if arrival.term is None:
            continue
        if arrival.term < highest:
            detail = f"term {arrival.term} after {highest}"
            yield Fault(Kind.OLD_TERM, arrival.job, arrival.scheduled_for, arrival.origin, detail)
        highest_here = max(highest_here, arrival.term)


def _stalls(arrivals: Iterable[Arrival]) -> list[Window]:
    return [
        Window(arrival.planned_for, arrival.published_at)
        for arrival in arrivals
        if arrival.published_at - arrival.planned_for > _STALL_MS
    ]


def _holds(windows: Sequence[Window], instant: int) -> bool:
    return any(window.holds(instant) for window in windows)
