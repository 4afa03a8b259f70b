"""A tick's plan as a commit, and what became of it: what is owed to the next one, the entries, the log.

    engine ──(plan)──> commit ──> publisher ──(what became of each fire)──> engine, entries, log, figures
                         ^                            │
                         └── states, decisions, requests that were not kept ──┘

A fire that was not published goes back to the engine, which tries it again until its deadline. Decides nothing.
"""

import logging
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from packages.infra.beat.accepted_fires import AcceptedFires
from packages.infra.beat.commit_counts import CommitCounts
from packages.infra.beat.decision_log import DeferFilter, Outcome, say
from packages.infra.beat.entries.roster import Roster
from packages.infra.beat.host import Host
from packages.infra.beat.keeping_control import KeepingControl, text_to_keep
from packages.infra.beat.publisher import Commit, Committed, Fate, FireOut, Settled
from packages.infra.beat.wiring import Opened
from packages.infra.ledger.control_record import NOTHING_KNOWN, ControlRecord
from packages.infra.ledger.records import tick_text
from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.engine import Engine
from packages.scheduling.instants import to_instant
from packages.scheduling.plan import Fire
from packages.scheduling.requests import Request
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.tick import Tick

if TYPE_CHECKING:
    from packages.scheduling.state import JobState

log = logging.getLogger(__name__)

# So many decisions wait for a broker that is away; the log has all of them.
_MOST_OWED: Final = 10_000
# So many states are kept by one commit beside those of its tick.
_MOST_STATES: Final = 5_000
_NO_TICK: Final = Tick()
# Makes a named tuple at half the cost.
_new: Final = tuple.__new__
_ACCEPTED: Final = Fate.ACCEPTED
_CLAIMED: Final = Fate.CLAIMED
_KNOWN: Final = Settled(Fate.ACCEPTED)


class Committing:
    """Of one loop, under one term after the other."""

    def __init__(self, host: Host, opened: Opened, engine: Engine, roster: Roster, control: KeepingControl) -> None:
        self._host = host
        self._opened = opened
        self._engine = engine
        self._roster = roster
        self._defers = DeferFilter()
        self._control = control
        # What the control knew by the last record that has it, and the tick of that.
        self._recorded: tuple[ControlRecord, str] = NOTHING_KNOWN, ""
        self._counts = CommitCounts(host.metrics, engine)
        self._ticks = 0
        self._decisions: deque[Decision] = deque(maxlen=_MOST_OWED)
        self._taken_over: dict[str, Request] = {}

    @property
    def owes(self) -> bool:
        """Whether there is something to keep beside what the next tick decides."""
        # What was taken over is acknowledged after a commit, also if it changed no state.
        roster = self._roster
        return bool(roster.unsaved or roster.forgotten or self._decisions or self._taken_over or self._control.owes)

    def taken_over(self, requests: Sequence[Request]) -> None:
        """These are part of the states that are to be kept."""
        self._taken_over |= {request.id: request for request in requests}

    def begin_term(self) -> None:
        """What another leader has told since is not known: what waits is told anew. What was owed it has decided."""
        self._defers = DeferFilter()
        self._decisions.clear()
        self._taken_over.clear()
        self._recorded = NOTHING_KNOWN, ""

    def keep_anew(self) -> None:
        """The server may have lost what was kept and recorded."""
        self._control.keep_anew()
        self._recorded = NOTHING_KNOWN, ""

    def commit(self, snapshot: Snapshot, now: int, tick: Tick = _NO_TICK) -> BaseException | None:
        """Publish what a tick decided and keep what is owed; what stood in the way of all of it, if anything did."""
        roster = self._roster
        self._ticks += 1
        try:
            fires, withdrawn = self._with_entries(tick.fires)
        except Exception as error:
            log.exception("entries_not_found")
            self._put_off(tick, now, error)
            return error
        owed = len(self._decisions)
        fresh = self._fresh(tick, withdrawn)
        say([Outcome(decision) for decision in fresh])
        self._decisions.extend(fresh)
        states = self._states(tick)
        forgotten = frozenset(roster.forgotten)
        number = f"{self._opened.lease.term}.{self._ticks}"
        controllers = self._control.changed()
        has_record = bool(fires or fresh or owed)
        known = self._known(snapshot) if has_record else None
        commit = Commit(
            term=self._opened.lease.term,
            now=now,
            tick=number,
            tick_record=self._tick_record(number, tick.snapshot or snapshot, states, known) if has_record else "",
            fires=fires,
            decisions=tuple(self._decisions),
            states=states,
            forgotten=forgotten,
            controllers=text_to_keep(controllers),
        )
        accepted = AcceptedFires(self._host, roster, fires)
        begun_s = self._host.monotonic_s()
        try:
            done = self._opened.publisher.commit(commit, accepted.note)
        except Exception as error:
            # A fault of ours, which is not foreseen: a fire is not lost to it, and what hangs in the air is dropped.
            log.exception("commit_failed")
            self._opened.publisher.close()
            failed = Settled(Fate.FAILED, error)
            settled = [_KNOWN if number in accepted else failed for number in range(len(fires))]
            done = Committed(settled, (), is_recorded=False, error=error)
        accepted.finish(done.settled)
        self._counts.committed(accepted, done.settled, fresh, seconds=self._host.monotonic_s() - begun_s)
        self._keep(commit, done)
        if done.is_recorded:
            if controllers is not None:
                self._control.kept(controllers)
            if known is not None and known != self._recorded[0]:
                self._recorded = known, number
        if len(accepted) < len(fires):
            self._settle(commit, done, accepted)
        return done.error

    def _states(self, tick: Tick) -> "Mapping[str, JobState]":
        """The states to keep: those of the tick, and some of the owed ones; those of a whole schedule take a while."""
        unsaved = self._roster.unsaved
        if not unsaved:
            return tick.states
        states = dict(tick.states)
        for name in tick.states:
            unsaved.pop(name, None)
        while unsaved and len(states) < len(tick.states) + _MOST_STATES:
            name, state = unsaved.popitem()
            states[name] = state
        return states

    def _with_entries(self, fires: Sequence[Fire]) -> tuple[list[FireOut], list[Decision]]:
        """The fires with their entries, and decisions on those whose entry was taken out of the schedule meanwhile."""
        keys, schedule = self._roster.keys, self._host.schedule
        outs: list[FireOut] = []
        withdrawn: list[Decision] = []
        for fire in fires:
            entry = schedule.get(keys.get(fire.decision.job))
            if entry is None:
                withdrawn.append(fire.decision._replace(verdict=Verdict.SKIP, reason=Reason.WITHDRAWN, cancels=()))
            else:
                outs.append(_new(FireOut, (fire, entry)))
        return outs, withdrawn

    def _fresh(self, tick: Tick, withdrawn: Sequence[Decision]) -> list[Decision]:
        if len(tick.decisions) == len(tick.fires):
            others: list[Decision] = []
        else:
            others = [decision for decision in tick.decisions if decision.verdict is not Verdict.FIRE]
        return self._defers.fresh([*others, *withdrawn])

    def _known(self, snapshot: Snapshot) -> ControlRecord | None:
        """What the control and its gates knew; None where there is neither a control nor a word of an operator."""
        if not (self._control.is_on or snapshot.pins or snapshot.exempt):
            return None
        return ControlRecord.of(snapshot)._replace(controllers=self._engine.controllers)

    def _tick_record(
        self, number: str, snapshot: Snapshot, looked_at: Collection[str], known: ControlRecord | None
    ) -> str:
        recorded, recorded_in = self._recorded
        return tick_text(
            tick=number,
            term=self._opened.lease.term,
            policies=self._roster.policies.text,
            snapshot=snapshot,
            looked_at=looked_at,
            control=recorded_in if recorded_in and known == recorded else known,
        )

    def _keep(self, commit: Commit, done: Committed) -> None:
        """Note what was kept; the rest is owed."""
        roster = self._roster
        if len(done.kept) < len(commit.states):
            kept = set(done.kept)
            roster.unsaved |= {name: state for name, state in commit.states.items() if name not in kept}
        if done.is_recorded:
            self._decisions.clear()
            roster.forgotten -= set(commit.forgotten)
        if self._taken_over and done.is_recorded and not roster.unsaved:
            self._opened.readings.acknowledge(tuple(self._taken_over.values()))
            self._taken_over = {}

    def _settle(self, commit: Commit, done: Committed, accepted: AcceptedFires) -> None:
        """See to the fires that were not published now."""
        now = to_instant(self._host.utc_now())
        for out, (fate, error, _) in zip(commit.fires, done.settled, strict=True):
            if fate is _CLAIMED:
                log.info("claimed_before", extra={"job": out.fire.job.name, "origin": out.fire.decision.origin})
                accepted.ran(out)
            elif fate is not _ACCEPTED:
                self._not_published(out.fire, fate, error, now, is_alone=done.error is None)

    def _put_off(self, tick: Tick, now: int, error: BaseException) -> None:
        """Owe all of a tick: the schedule is a mapping of somebody's own that raised, and no fire is lost to it."""
        fresh = self._fresh(tick, ())
        say([Outcome(decision) for decision in fresh])
        self._decisions.extend(fresh)
        self._roster.unsaved |= tick.states
        for fire in tick.fires:
            self._not_published(fire, Fate.FAILED, error, now, is_alone=False)

    def _not_published(self, fire: Fire, fate: Fate, error: BaseException | None, now: int, *, is_alone: bool) -> None:
        name = fire.job.name
        if name not in self._engine.names:
            return
        state = self._engine.publish_failed(fire, now)
        self._roster.unsaved[name] = state
        if fate is Fate.REFUSED:
            return
        if is_alone:
            # What concerns all of them is said once, by whoever watches for an outage.
            log.warning("publish_failed", extra={"job": name, "error": str(error)})
        waits = fire.decision._replace(
            verdict=Verdict.DEFER, reason=Reason.PUBLISH_FAILED, cancels=(), until=state.open[-1].retry_at
        )
        if self._defers.is_fresh(waits):
            say([Outcome(waits)])
            self._decisions.append(waits)
