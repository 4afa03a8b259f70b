"""All jobs and their states, and an index of when to look at each. It reads no clock: who runs it says what time it is.

    next_wake() ──> the caller waits ──> tick(snapshot, now) ──> Tick ──> the caller publishes and keeps the states
                                                                  └─ a publish failed ──> publish_failed(fire, now)

A job whose trigger or policy raises is contained: it is reported, put aside for a while and tried again, and the others
go on. Not safe for several threads.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from packages.scheduling.contained import plan_contained
from packages.scheduling.control.controllers import Controllers
from packages.scheduling.control.controlling import Controlling
from packages.scheduling.control.policy import ControlPolicy
from packages.scheduling.control.step import Step, step
from packages.scheduling.due import due_alone, due_of
from packages.scheduling.instants import MINUTE_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.plan import Fire, publish_failed
from packages.scheduling.policies import GateMode
from packages.scheduling.requests import JobRequest, with_request
from packages.scheduling.resume import after_clock_set_back, asked_again, published_again, taken_in
from packages.scheduling.served_again import asked_anew, newly_served
from packages.scheduling.sessions import SessionTable
from packages.scheduling.slot import Slot
from packages.scheduling.snapshot import Exemption, Pin, Snapshot
from packages.scheduling.state import JobState
from packages.scheduling.tick import Failure, Tick
from packages.scheduling.waiting_slots import WaitingSlots
from packages.scheduling.wake_index import WakeIndex

if TYPE_CHECKING:
    from packages.scheduling.candidate import Candidate
    from packages.scheduling.decision import Decision

QUARANTINE_MS: Final = MINUTE_MS

_Said = tuple[Mapping[str, GateMode], Mapping[tuple[str, Criticality | None], Pin], Mapping[str, Exemption]]


class Engine:
    """The scheduler's bookkeeping: add jobs, ask when to wake, tick."""

    def __init__(self, markets: Mapping[str, SessionTable] | None = None) -> None:
        self._markets: Mapping[str, SessionTable] = markets or {}
        self._slots: dict[str, Slot] = {}
        self._waiting = WaitingSlots()
        self._index: WakeIndex[Slot] = WakeIndex()
        # What operators have said above the gates when it was last looked at; None: what waits is to be asked again.
        self._said: _Said | None = {}, {}, {}
        self._controlling = Controlling()

    @property
    def names(self) -> Collection[str]:
        """The names of all jobs."""
        return self._slots.keys()

    @property
    def kinds(self) -> Collection[tuple[str, Criticality]]:
        """Of which queues and criticalities there are jobs."""
        return self._controlling.kinds

    @property
    def indexed(self) -> int:
        """How many entries the index has, old ones included: for those who watch over memory."""
        return len(self._index)

    @property
    def open_fires(self) -> int:
        """How many fires wait: by a gate, for a publish to be tried again, or asked for and not looked at yet."""
        return self._waiting.fires

    def job(self, name: str) -> Job:
        """The job of this name; KeyError without one."""
        return self._slots[name].job

    def state(self, name: str) -> JobState:
        """The state of the job of this name; KeyError without one."""
        return self._slots[name].state

    @property
    def controllers(self) -> Controllers:
        """What the adaptive control remembers; the same object until an interval is over."""
        return self._controlling.controllers

    @property
    def debt(self) -> Mapping[tuple[str, Criticality], int]:
        """How many jobs owe a fire that a throttle holds back, by queue and criticality."""
        return self._waiting.debt

    def use_control(self, policy: ControlPolicy | None, *, step: Step = step) -> None:
        """Let publishing answer to the readings from the next tick on, by these thresholds; None: let it not."""
        self._controlling.use(policy, step)

    def put_controllers(self, controllers: Controllers) -> None:
        """Go on with what another engine left."""
        self._controlling.controllers = controllers

    def reset_control(self, queue: str | None = None) -> None:
        """Forget what was learnt of a queue, or, with None, of everything: nothing is throttled then."""
        self._controlling.reset(queue)
        self._said = None

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
                self._look_ahead(slot)

    def add(self, job: Job, state: JobState | None, now: int) -> JobState:
        """Take a job in, in place of one of the same name; returns the state with which it begins (see `taken_in`)."""
        state = taken_in(job, state, now)
        self.remove(job.name)
        self._controlling.add(job)
        slot = self._slots[job.name] = Slot(job, state)
        self._waiting.keep(slot, state)
        self._look_ahead(slot)
        return state

    def put_state(self, name: str, state: JobState, now: int) -> JobState:
        """Have the job of this name go on with what another engine left; KeyError without one.

        Returns the state with which it begins, as `add` does.
        """
        slot = self._slots[name]
        self._waiting.keep(slot, taken_in(slot.job, state, now, description=slot.state.trigger))
        self._look_ahead(slot)
        return slot.state

    def remove(self, name: str) -> None:
        """Forget a job; nothing if there is none."""
        slot = self._slots.pop(name, None)
        if slot is not None:
            self._controlling.remove(slot.job)
            self._waiting.forget(slot)
            self._index.put(slot, None)

    def next_wake(self) -> int | None:
        """The earliest instant at which there is something to decide; None while there is no such instant."""
        return self._index.next_wake()

    def waking(self, after: int, until: int) -> list[str]:
        """The names of the jobs of which something is due behind `after` and by `until`, in no order."""
        return [slot.job.name for slot in self._index.between(after, until)]

    def tick(self, snapshot: Snapshot, now: int, *, limit: int = 1_000) -> Tick:
        """Decide what is due at `now`, for at most `limit` jobs, the longest due first."""
        known = self._controlling.controllers
        snapshot = self._controlling.controlled(snapshot, now, self._slots)
        if served := newly_served(known, self._controlling.controllers):
            anew = asked_anew(self._waiting, served, now)
            self._waiting.wake_anew(self._index, lambda slot: anew.get(slot.job.name, slot.state))
        said = snapshot.gate_modes, snapshot.pins, snapshot.exempt
        if said != self._said:
            self._ask_again(said, now)
        candidates: list[Candidate] = []
        missed: list[Decision] = []
        states: dict[str, JobState] = {}
        looked_at: list[Slot] = []
        upcoming: list[int | None] = []
        failures: list[Failure] = []
        # Many jobs are in one state, and settled to one nominal: they go on with one, too.
        before: JobState | None = None
        settled, settled_to = JobState(now), now
        for slot in self._index.take(now, limit):
            job, state = slot.job, slot.state
            try:
                alone = due_alone(slot, now)
                due = due_of(job, state, now, self._markets) if alone is None else None
            except Exception as error:  # noqa: BLE001  # the loop boundary: one job must not stop the others
                failures.append(self._put_aside(slot, error, now))
                continue
            looked_at.append(slot)
            if alone is not None:
                candidates.append(alone[0])
                upcoming.append(alone[1])
                if state is not before or slot.nominal != settled_to:
                    before, settled, settled_to = state, state.settled_to(slot.nominal), slot.nominal
                states[job.name] = settled
            elif due is not None:
                candidates += due.candidates
                upcoming.append(due.upcoming)
                missed += due.missed
                states[job.name] = due.state
        plan, states, broken = plan_contained(states, snapshot, candidates)
        failures += [self._put_aside(self._slots[name], error, now) for name, error in broken.items()]
        for failure in failures:
            states.pop(failure.job, None)
        self._go_on(looked_at, upcoming, states)
        self._controlling.decided(plan.decisions, self._slots)
        wake = self.next_wake()
        return Tick(
            fires=plan.fires,
            decisions=(*(decision for decision in missed if decision.job in states), *plan.decisions),
            states=states,
            failures=tuple(failures),
            more=wake is not None and wake <= now,
            snapshot=snapshot,
        )

    def publish_failed(self, fire: Fire, now: int) -> JobState:
        """Keep a fire that could not be published, to be tried again; returns the job's state."""
        slot = self._slots[fire.job.name]
        self._waiting.keep(slot, publish_failed(slot.state, fire, now))
        retry_at = slot.state.open[-1].retry_at
        # Nothing else of the job has changed; it may have thousands that wait.
        if slot.wake is None or retry_at < slot.wake:
            self._index.put(slot, retry_at)
        return slot.state

    def retry_now(self, now: int) -> dict[str, JobState]:
        """Have every fire that could not be published due at `now`: the broker is back.

        Returns the states that changed.
        """
        return self._waiting.wake_anew(self._index, lambda slot: published_again(slot.state, now))

    def take(self, requests: Iterable[JobRequest], now: int) -> dict[str, JobState]:
        """Take over what an operator asks for; one that was taken before, or names no job, changes nothing.

        Returns the states that changed.
        """
        changed: dict[str, JobState] = {}
        for request in requests:
            slot = self._slots.get(request.job)
            state = with_request(slot.state, request, now) if slot is not None else None
            if slot is None or state is None or state is slot.state:
                continue
            changed[request.job] = state
            self._waiting.keep(slot, state)
            self._look_ahead(slot)
        return changed

    def clock_set_back(self, now: int) -> dict[str, JobState]:
        """Go on after the wall clock was set back to `now`; returns the states that changed.

        The nominals that come round again are fires of their own, with the origin `clock:<n>`.
        """
        changed: dict[str, JobState] = {}
        for name, slot in self._slots.items():
            state = after_clock_set_back(slot.job.trigger, slot.state, now)
            if state is not slot.state:
                slot.state = changed[name] = state
            self._look_ahead(slot)
        return changed

    def _ask_again(self, said: _Said, now: int) -> None:
        """What waits by a gate above which an operator has said something else need not wait any longer."""
        self._said = said
        self._waiting.wake_anew(self._index, lambda slot: asked_again(slot.state, now))

    def _go_on(self, slots: Sequence[Slot], upcoming: Sequence[int | None], states: Mapping[str, JobState]) -> None:
        """Keep the states of those that have one, and index them anew; `upcoming` is behind the watermark of each."""
        some_wait = bool(self._waiting)
        for slot, nominal in zip(slots, upcoming, strict=True):
            after = states.get(slot.job.name)
            if after is not None:
                slot.state = after
                if after.open or some_wait:
                    self._waiting.keep(slot, after)
                self._look_from(slot, nominal)

    def _put_aside(self, slot: Slot, error: Exception, now: int) -> Failure:
        self._index.put(slot, now + QUARANTINE_MS)
        return Failure(slot.job.name, error, now + QUARANTINE_MS)

    def _look_ahead(self, slot: Slot) -> None:
        """Index the slot anew."""
        try:
            wake = slot.look_ahead(self._markets)
        except Exception:  # noqa: BLE001  # the next tick raises it again, contains and reports it
            slot.forget()
            wake = slot.state.watermark
        self._index.put(slot, wake)

    def _look_from(self, slot: Slot, nominal: int | None) -> None:
        """`_look_ahead` when the nominal behind the watermark is known."""
        try:
            wake = slot.look_from(nominal, self._markets)
        except Exception:  # noqa: BLE001  # as above
            slot.forget()
            wake = slot.state.watermark
        self._index.put(slot, wake)
