"""One wake-up of beat after the other, from opening to closing: what the engine decides is published, kept and said.

What is saved is always behind what is published: a beat that is killed in between publishes a fire once more under the
same task id, and loses none. Reads no clock but those that it is given.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from celery.beat import ScheduleEntry

from packages.infra.beat.clock_watch import ClockWatch
from packages.infra.beat.decision_sink import DecisionLog
from packages.infra.beat.dispatch import Dispatch
from packages.infra.beat.host import Host
from packages.infra.beat.job_schedule import JobSchedule
from packages.infra.beat.polling import Polling
from packages.infra.beat.publishing import stamped, task_id_of
from packages.infra.beat.readings import PublishedRun, Request
from packages.infra.beat.roster import Roster
from packages.infra.beat.state_store import StoreAwayError
from packages.infra.beat.wiring import Opened
from packages.infra.queue.outages import Errand
from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.engine import Engine
from packages.scheduling.instants import SECOND_MS, to_instant
from packages.scheduling.plan import Fire
from packages.scheduling.sessions import SessionTable

log = logging.getLogger(__name__)

_TRIED_AGAIN_MS: Final = SECOND_MS


class Loop:
    """The engine with everything around it. `opened` is closed with it."""

    def __init__(self, host: Host, opened: Opened, names: Iterable[Any], now: int) -> None:
        self._host = host
        self._opened = opened
        self._engine = Engine()
        self._markets: Mapping[str, SessionTable] | None = None
        self.roster = Roster(host.app, engine=self._engine, store=opened.store, is_polled=host.is_polled)
        self._polling = Polling(host, engine=self._engine, roster=self.roster, store=opened.store)
        self._dispatch = Dispatch(
            send=self._send, settle=self._settle, reconnect=host.reconnect, monotonic=host.monotonic_s
        )
        self._lines = DecisionLog()
        self._clock = ClockWatch()
        self._saving = Errand("states", (StoreAwayError,), host.monotonic_s)
        self._recording = Errand("decisions", (StoreAwayError,), host.monotonic_s)
        self._taken_over: list[Request] = []
        self._decided: list[Decision] = []
        self._unpublished: list[str] = []
        self.take_in(names, now, starting=True)

    def take_in(self, names: Iterable[Any], now: int, *, starting: bool = False) -> None:
        """Follow changes of the schedule at these names.

        Raises:
            StoreAwayError: states cannot be read; nothing was changed.
        """
        names = list(names)
        schedule = self._host.schedule
        whole = [
            entry.schedule.job
            for name in names
            if isinstance(entry := schedule.get(name), ScheduleEntry) and isinstance(entry.schedule, JobSchedule)
        ]
        if whole:
            # Before the engine takes them in: where their fires are planned hangs on the calendars.
            self._opened.readings.want(whole)
            self._use_markets(self._opened.readings.read(now)[0].markets, now)
        self.roster.update(schedule, names, now, starting=starting)

    def watch_clock(self, now: int, monotonic_s: float) -> None:
        """Plan anew if the wall clock was set back, or say that it was set forward."""
        jump_s = self._clock.jump_s(now / SECOND_MS, monotonic_s)
        if not jump_s:
            return
        log.warning("clock_set_back" if jump_s < 0 else "clock_set_forward", extra={"seconds": round(abs(jump_s), 3)})
        if jump_s < 0:
            self.roster.unsaved.update(self._engine.clock_set_back(now))
            self.roster.polls.ask_all(now)

    def run(self, now: int) -> bool:
        """One wake-up. Whether there is more to do at once."""
        more = False
        if not self._dispatch:
            self._polling.run(now)
            more = self._plan(now)
        self._dispatch.run()
        if self._unpublished:
            self._opened.readings.not_published(self._unpublished)
            self._unpublished = []
        self._record()
        self.save()
        return more or bool(self._dispatch)

    def next_wake(self) -> int | None:
        """The instant at which there is something to do; None if nobody knows of any."""
        wakes = [wake for wake in (self._engine.next_wake(), self.roster.polls.next_wake()) if wake is not None]
        return min(wakes, default=None)

    def save(self) -> None:
        """Keep what is not kept yet; while the store is away it is tried again later."""
        roster = self.roster
        held_back = self._dispatch.jobs if self._dispatch else frozenset[str]()
        states = {name: state for name, state in roster.unsaved.items() if name not in held_back}
        forgotten = roster.forgotten

        def write() -> None:
            if states:
                self._opened.store.save(states)
            if forgotten:
                self._opened.store.forget(forgotten)

        if not self._saving.run(write):
            return
        for name in states:
            del roster.unsaved[name]
        roster.forgotten = set()
        if self._taken_over and not held_back:
            self._opened.readings.acknowledge(self._taken_over)
            self._taken_over = []

    def close(self) -> None:
        """Keep what is left, and let go of the connections."""
        self.save()
        self._opened.close()

    def _plan(self, now: int) -> bool:
        readings, roster = self._opened.readings, self.roster
        snapshot, requests = readings.read(now)
        self._use_markets(snapshot.markets, now)
        for request in requests:
            if request.job not in self._engine.names:
                log.warning("request_for_no_job", extra={"job": request.job, "request": request.id})
        roster.unsaved.update(self._engine.take(requests, now))
        self._taken_over += requests
        tick = self._engine.tick(snapshot, now)
        for failure in tick.failures:
            roster.quarantine.put_aside(failure.job, failure.error, failure.until)
        roster.quarantine.recovered(tick.states)
        roster.unsaved.update(tick.states)
        self._decided += [decision for decision in tick.decisions if decision.verdict is not Verdict.FIRE]
        readings.publishing([PublishedRun(fire.job, self._task_id(fire), now) for fire in tick.fires])
        self._dispatch.add(tick.fires)
        return tick.more

    def _use_markets(self, markets: Mapping[str, SessionTable], now: int) -> None:
        if markets is self._markets:
            return
        self._markets = markets
        self._engine.use_markets(markets)
        for name in self._engine.names:
            job = self._engine.job(name)
            if job.policies.shuts:
                # When it is planned hangs on when its market or window closes.
                self._engine.add(job, self._engine.state(name), now)

    def _task_id(self, fire: Fire) -> str:
        entry = self._host.schedule.get(self.roster.keys.get(fire.job.name))
        own = entry.options.get("task_id") if entry is not None and isinstance(entry.options, dict) else None
        decision = fire.decision
        return str(own or task_id_of(decision.job, decision.nominal, decision.origin))

    def _settle(self, fire: Fire, error: BaseException | None) -> None:
        name = fire.job.name
        if error is None:
            self._decided.append(fire.decision)
        elif name in self._engine.names:
            now = to_instant(self._host.utc_now())
            state = self.roster.unsaved[name] = self._engine.publish_failed(fire, now)
            waits = replace(fire.decision, verdict=Verdict.DEFER, reason=Reason.PUBLISH_FAILED, cancels=())
            self._decided.append(replace(waits, until=state.open[-1].retry_at))
            self._unpublished.append(self._task_id(fire))

    def _send(self, fire: Fire) -> BaseException | None:
        name = self.roster.keys.get(fire.job.name)
        entry = self._host.schedule.get(name)
        if entry is None:
            # It was taken out of the schedule after it was planned.
            return None
        try:
            message = stamped(entry, fire.decision, self._host.utc_now())
        except Exception as unusable:  # noqa: BLE001  # options that are none; one bad entry must not stop the others
            return unusable
        if fire.decision.cancels:
            self._host.revoke(fire.decision.cancels)
        error = self._host.publish(message)
        if error is None and fire.job.name not in self.roster.polls:
            self._host.advance(name)
        return error

    def _record(self) -> None:
        decided, self._decided = self._decided, []
        if decided:
            self._lines.say(decided)
            self._recording.run(lambda: self._opened.decisions.record(decided))
