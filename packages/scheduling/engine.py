"""All jobs and their states, and an index of when to look at each. It reads no clock: who runs it says what time it is.

    next_wake() ──> the caller waits ──> tick(snapshot, now) ──> Tick ──> the caller publishes and keeps the states
                                                                  └─ a publish failed ──> publish_failed(fire, now)

A job whose trigger or policy raises is contained: it is reported, put aside for a while and tried again, and the others
go on. Not safe for several threads.
"""

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import Decision
from packages.scheduling.due import due_of
from packages.scheduling.instants import MINUTE_MS
from packages.scheduling.model import Job
from packages.scheduling.plan import Fire, TickPlan, plan_tick, publish_failed
from packages.scheduling.planned import planned_of
from packages.scheduling.policies import GateMode
from packages.scheduling.requests import BackfillRequest, TriggerRequest, with_request
from packages.scheduling.resume import after_clock_set_back, asked_again, taken_in
from packages.scheduling.sessions import SessionTable
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.state import JobState

QUARANTINE_MS: Final = MINUTE_MS
# With so many more entries than jobs the index is cleared of those that are old.
_OLD_ENTRIES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that raised, and was put aside until `until`."""

    job: str
    error: Exception
    until: int


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick came to. `states`: of every job that was looked at, as when all fires are published.

    `more`: others are due that this tick had no room for.
    """

    fires: tuple[Fire, ...] = ()
    decisions: tuple[Decision, ...] = ()
    states: Mapping[str, JobState] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    more: bool = False


@dataclass(slots=True)
class _Slot:
    job: Job
    state: JobState
    # When it is looked at next, as indexed.
    wake: int | None = None
    # Raised whenever the slot is indexed anew, so that what still lies in the heap is known to be old.
    version: int = 0


class Engine:
    """The scheduler's bookkeeping: add jobs, ask when to wake, tick."""

    def __init__(self, markets: Mapping[str, SessionTable] | None = None) -> None:
        self._markets: Mapping[str, SessionTable] = markets or {}
        self._slots: dict[str, _Slot] = {}
        self._heap: list[tuple[int, int, str]] = []
        self._version = 0
        self._gate_modes: Mapping[str, GateMode] = {}

    @property
    def names(self) -> Collection[str]:
        """The names of all jobs."""
        return self._slots.keys()

    @property
    def indexed(self) -> int:
        """How many entries the index has, old ones included: for those who watch over memory."""
        return len(self._heap)

    def job(self, name: str) -> Job:
        """The job of this name; KeyError without one."""
        return self._slots[name].job

    def state(self, name: str) -> JobState:
        """The state of the job of this name; KeyError without one."""
        return self._slots[name].state

    @property
    def markets(self) -> Mapping[str, SessionTable]:
        """The calendars in use, by market."""
        return self._markets

    def use_markets(self, markets: Mapping[str, SessionTable]) -> None:
        """Go on with other calendars, from the next tick on: when a fire is planned hangs on when its market closes.

        The same mapping once more costs nothing.
        """
        if markets is self._markets:
            return
        self._markets = markets
        for slot in self._slots.values():
            if slot.job.policies.shuts:
                self._index(slot)

    def add(self, job: Job, state: JobState | None, now: int) -> JobState:
        """Take a job in, in place of one of the same name; returns the state with which it begins (see `taken_in`)."""
        state = taken_in(job, state, now)
        slot = self._slots[job.name] = _Slot(job, state)
        self._index(slot)
        return state

    def remove(self, name: str) -> None:
        """Forget a job; nothing if there is none."""
        self._slots.pop(name, None)

    def next_wake(self) -> int | None:
        """The earliest instant at which there is something to decide; None while there is no such instant."""
        while self._heap and not self._is_current(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def tick(self, snapshot: Snapshot, now: int, *, limit: int = 1_000) -> Tick:
        """Decide what is due at `now`, for at most `limit` jobs, the longest due first."""
        if snapshot.gate_modes != self._gate_modes:
            self._ask_again(snapshot.gate_modes, now)
        candidates: list[Candidate] = []
        missed: list[Decision] = []
        states: dict[str, JobState] = {}
        upcoming: dict[str, int | None] = {}
        failures: list[Failure] = []
        while len(states) + len(failures) < limit and (wake := self.next_wake()) is not None and wake <= now:
            slot = self._slots[heapq.heappop(self._heap)[2]]
            try:
                due = due_of(slot.job, slot.state, now, self._markets)
            except Exception as error:  # noqa: BLE001  # the loop boundary: one job must not stop the others
                failures.append(self._put_aside(slot, error, now))
                continue
            candidates += due.candidates
            missed += due.missed
            states[slot.job.name], upcoming[slot.job.name] = due.state, due.upcoming
        plan, decided = self._plan(states, snapshot, candidates, failures, now)
        for failure in failures:
            states.pop(failure.job, None)
        states |= decided
        for name, state in states.items():
            slot = self._slots[name]
            slot.state = state
            self._index_before(slot, upcoming[name])
        wake = self.next_wake()
        return Tick(
            fires=plan.fires,
            decisions=(*(decision for decision in missed if decision.job in states), *plan.decisions),
            states=states,
            failures=tuple(failures),
            more=wake is not None and wake <= now,
        )

    def publish_failed(self, fire: Fire, now: int) -> JobState:
        """Keep a fire that could not be published, to be tried again; returns the job's state."""
        slot = self._slots[fire.job.name]
        slot.state = publish_failed(slot.state, fire, now)
        retry_at = slot.state.open[-1].retry_at
        # Nothing else of the job has changed; it may have thousands that wait.
        if slot.wake is None or retry_at < slot.wake:
            self._index_at(slot, retry_at)
        return slot.state

    def take(self, requests: Iterable[TriggerRequest | BackfillRequest], now: int) -> dict[str, JobState]:
        """Take over what an operator asks for; one that was taken before, or names no job, changes nothing.

        Returns the states that changed.
        """
        changed: dict[str, JobState] = {}
        for request in requests:
            slot = self._slots.get(request.job)
            state = with_request(slot.state, request, now) if slot is not None else None
            if slot is None or state is None or state is slot.state:
                continue
            slot.state = changed[request.job] = state
            self._index(slot)
        return changed

    def clock_set_back(self, now: int) -> dict[str, JobState]:
        """Go on after the wall clock was set back to `now`; returns the states that changed.

        The nominals that come round again are fires of their own, with the origin `clock:<n>`.
        """
        changed: dict[str, JobState] = {}
        for name, slot in self._slots.items():
            state = after_clock_set_back(slot.state, now)
            if state is not slot.state:
                slot.state = changed[name] = state
            self._index(slot)
        return changed

    def _ask_again(self, gate_modes: Mapping[str, GateMode], now: int) -> None:
        """What waits by a gate on which an operator has said something else need not wait any longer."""
        self._gate_modes = dict(gate_modes)
        for slot in self._slots.values():
            if slot.state.open:
                slot.state = asked_again(slot.state, now)
                self._index(slot)

    def _plan(
        self,
        states: dict[str, JobState],
        snapshot: Snapshot,
        candidates: Sequence[Candidate],
        failures: list[Failure],
        now: int,
    ) -> tuple[TickPlan, dict[str, JobState]]:
        try:
            return plan_tick(states, snapshot, candidates)
        except Exception:  # noqa: BLE001  # as above; who it was is found out one by one
            sound: list[Candidate] = []
            by_job: dict[str, list[Candidate]] = {}
            for candidate in candidates:
                by_job.setdefault(candidate.job.name, []).append(candidate)
            for name, own in by_job.items():
                try:
                    plan_tick(states, snapshot, own)
                except Exception as error:  # noqa: BLE001  # as above
                    failures.append(self._put_aside(self._slots[name], error, now))
                else:
                    sound += own
            return plan_tick(states, snapshot, sound)

    def _put_aside(self, slot: _Slot, error: Exception, now: int) -> Failure:
        self._index_at(slot, now + QUARANTINE_MS)
        return Failure(slot.job.name, error, now + QUARANTINE_MS)

    def _index(self, slot: _Slot) -> None:
        try:
            upcoming = slot.job.trigger.next_after(slot.state.watermark)
        except Exception:  # noqa: BLE001  # the next tick raises it again, contains and reports it
            self._index_at(slot, slot.state.watermark)
        else:
            self._index_before(slot, upcoming)

    def _index_before(self, slot: _Slot, upcoming: int | None) -> None:
        """`upcoming` is the nominal behind the watermark."""
        try:
            wake = wake_at(slot.job, slot.state, upcoming, self._markets)
        except Exception:  # noqa: BLE001  # as above
            wake = slot.state.watermark
        self._index_at(slot, wake)

    def _index_at(self, slot: _Slot, wake: int | None) -> None:
        self._version += 1
        slot.version, slot.wake = self._version, wake
        if wake is None:
            return
        heapq.heappush(self._heap, (wake, self._version, slot.job.name))
        if len(self._heap) > 2 * len(self._slots) + _OLD_ENTRIES:
            self._heap = [entry for entry in self._heap if self._is_current(entry)]
            heapq.heapify(self._heap)

    def _is_current(self, indexed: tuple[int, int, str]) -> bool:
        slot = self._slots.get(indexed[2])
        return slot is not None and slot.version == indexed[1]


def wake_of(job: Job, state: JobState, markets: Mapping[str, SessionTable]) -> int | None:
    """When something of `job` is due next; None if nothing ever is."""
    return wake_at(job, state, job.trigger.next_after(state.watermark), markets)


def wake_at(job: Job, state: JobState, upcoming: int | None, markets: Mapping[str, SessionTable]) -> int | None:
    """`wake_of` a job of which the nominal behind the watermark is known."""
    wake = None
    if upcoming is not None:
        following = job.trigger.next_after(upcoming) if job.policies.jitter_ms else None
        wake = planned_of(job, upcoming, following, markets)
    if not (state.open or state.backfills):
        return wake
    wakes = [*(fire.retry_at for fire in state.open), *(backfill.next_at for backfill in state.backfills)]
    return min(wakes if wake is None else (wake, *wakes))
