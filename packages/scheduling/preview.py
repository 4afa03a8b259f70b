"""What a beat that runs through a period will decide in it: the live code, stepped from wake-up to wake-up.

The snapshot is frozen, or a what-if. What a gate says of one fire holds for all that follow until the instant that it
names; a stretch of such fires is taken in arrays instead of one by one, with the same result. Each job is walked by
itself: nothing that is frozen lets one job's fires change another's.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from packages.scheduling.candidate import Candidate
from packages.scheduling.decide import decide
from packages.scheduling.decision import Decision, Verdict
from packages.scheduling.due import due_of
from packages.scheduling.gates import backlog
from packages.scheduling.instants import DAY_MS
from packages.scheduling.model import Job
from packages.scheduling.plan import plan_tick
from packages.scheduling.planned import planned_of_many
from packages.scheduling.policies import Windows
from packages.scheduling.preview_columns import Preview, Rows
from packages.scheduling.slot import wake_of
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.state import JobState, OpenFire
from packages.scheduling.throttle import is_a_turn, said_until
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.window_times import inside_until, next_inside

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Arrays of nominals that several jobs have in common are kept, as long as they are no more than this many instants.
_SHARED_INSTANTS: Final = 4_000_000
# Spans of time recur every week, and clock changes move them by an hour or so.
_WINDOWS_RECUR_MS: Final = 8 * DAY_MS


def preview(
    jobs: Iterable[Job], snapshot: Snapshot, *, start: int, end: int, states: Mapping[str, JobState] | None = None
) -> Preview:
    """What is decided on `jobs` in [start, end) while all readings stay as in `snapshot`.

    `states` has the state of a job at `start`, when beat is taken to begin: what it missed by then is made up for by
    its policy. A job without one is taken to have run all along, so that what waits for its jitter or its window at
    `start` is there, too; nothing is taken to wait for a run then.
    """
    all_jobs = tuple(jobs)
    rows = Rows(start)
    walker = _Walker(snapshot, end, rows)
    leads = _Leads(snapshot, start)
    failures: dict[str, Exception] = {}
    for index, job in enumerate(all_jobs):
        state = states.get(job.name) if states else None
        try:
            if state is not None:
                walker.walk(index, job, state, begin=start)
            else:
                begin = leads.begin_of(job)
                walker.walk(index, job, JobState(watermark=begin - 1), begin=begin)
        except Exception as error:  # noqa: BLE001  # the loop boundary: one job must not spoil the preview of others
            failures[job.name] = error
    return rows.sorted(all_jobs, end, failures)


class _Leads:
    """From when on a job must be walked for its state at the start to be what it would have been."""

    def __init__(self, snapshot: Snapshot, start: int) -> None:
        self._markets = snapshot.markets
        self._start = start
        self._open_at: dict[Windows, int | None] = {}

    def begin_of(self, job: Job) -> int:
        """An instant from which on everything that is decided at or after the start follows."""
        jitter_ms, windows = job.policies.jitter_ms, job.policies.windows
        if windows is None:
            return self._start - jitter_ms
        if windows not in self._open_at:
            self._open_at[windows] = self._last_open(windows)
        open_at = self._open_at[windows]
        # Nothing is left waiting by an open window. One that never opened has at least dropped what is stale.
        return (self._start - job.policies.stale_after_ms if open_at is None else open_at) - jitter_ms

    def _last_open(self, windows: Windows) -> int | None:
        """The last instant before the start at which the window is open, no longer ago than `_WINDOWS_RECUR_MS`."""
        last: int | None = None
        instant: int | None = self._start - _WINDOWS_RECUR_MS
        while instant is not None and instant < self._start:
            until = inside_until(windows, instant, self._markets)
            if until is None:
                instant = next_inside(windows, instant, self._markets)
            else:
                last, instant = min(until, self._start) - 1, until
        return last


class _SharedNominals:
    """The nominals of a trigger in a stretch, computed once for all jobs that have the same trigger."""

    def __init__(self) -> None:
        self._known: dict[tuple[Trigger, int, int], npt.NDArray[np.int64]] = {}
        self._instants = 0

    def between(self, trigger: Trigger, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        key = (trigger, start, end)
        if (known := self._known.get(key)) is not None:
            yield known
            return
        first: npt.NDArray[np.int64] | None = None
        for count, chunk in enumerate(trigger.between(start, end)):
            first = chunk if count == 0 else None
            yield chunk
        if first is not None and self._instants < _SHARED_INSTANTS:
            self._instants += len(first)
            self._known[key] = first


class _Walker:
    """Walks one job after the other from wake-up to wake-up, with a state of the job alone."""

    def __init__(self, snapshot: Snapshot, end: int, rows: Rows) -> None:
        self._snapshot = snapshot
        self._end = end
        self._rows = rows
        self._shared = _SharedNominals()

    def walk(self, index: int, job: Job, state: JobState, *, begin: int) -> None:
        """Take down what is decided from `begin` on, when beat begins with `state`."""
        while True:
            if not (state.open or state.backfills):
                watermark, is_over = self._stride(index, job, state, begin=begin)
                if is_over:
                    return
                if watermark != state.watermark:
                    # None of them took a turn, by which the credit is forgotten.
                    state = state._replace(watermark=watermark, credit=None)
            wake = wake_of(job, state, self._snapshot.markets)
            if wake is None or wake >= self._end:
                break
            state = self._step(index, job, state, max(wake, begin))
        for fire in state.open:
            self._rows.add(index, _still_waiting(job, fire, self._end - 1))

    def _step(self, index: int, job: Job, state: JobState, wake: int) -> JobState:
        """One tick at `wake`."""
        due = due_of(job, state, wake, self._snapshot.markets)
        plan, states = plan_tick({job.name: due.state}, self._snapshot._replace(taken_at=wake), due.candidates)
        for decision in (*due.missed, *plan.decisions):
            if decision.is_final:
                self._rows.add(index, decision)
        return states.get(job.name, due.state)

    def _stride(self, index: int, job: Job, state: JobState, *, begin: int) -> tuple[int, bool]:
        """Take all fires of which the gates say the same at once, while nothing waits and none is late.

        Then a tick has one candidate, and its decision settles it. Returns the watermark up to which that was so, and
        whether the end was reached.
        """
        watermark = state.watermark
        for nominals in self._shared.between(job.trigger, watermark, self._end - 1):
            following = job.trigger.next_after(int(nominals[-1])) if job.policies.jitter_ms else None
            planned = planned_of_many(job, nominals, following, self._snapshot.markets)
            if planned[0] < begin:
                return watermark, False
            stop = int(planned.searchsorted(self._end, side="left"))
            first = 0
            while first < stop:
                nominal, at = int(nominals[first]), int(planned[first])
                candidate = Candidate(job=job, nominal=nominal, planned=at, origin=state.origin, at=at)
                decision = decide(candidate, self._snapshot._replace(taken_at=at))
                if not decision.is_final or is_a_turn(decision):
                    return watermark, False
                changes = int(planned.searchsorted(_holds_until(job, decision, self._snapshot), side="left"))
                behind = min(max(changes, first + 1), stop)
                self._rows.add_all(index, decision, nominals[first:behind], planned[first:behind])
                watermark, first = int(nominals[behind - 1]), behind
            if stop < len(nominals):
                break
        return watermark, True


def _holds_until(job: Job, decision: Decision, snapshot: Snapshot) -> int:
    """Until when (exclusive) the gates say the same of each fire of `job` as in `decision`, also those with no opinion.

    A gate that lets a job alone has no opinion on which to say until when.
    """
    if backlog.hangs_on_nominal(job, snapshot):
        return decision.at + 1
    return min(decision.holds_until, said_until(job, snapshot, decision.at))


def _still_waiting(job: Job, fire: OpenFire, at: int) -> Decision:
    return Decision(
        job=job.name,
        nominal=fire.nominal,
        planned=fire.planned,
        origin=fire.origin,
        at=at,
        verdict=Verdict.DEFER,
        reason=fire.reason,
        until=fire.retry_at,
    )
