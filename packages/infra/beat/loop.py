"""One wake-up of beat after the other, from opening to closing: does it lead, what is due, what became of it.

    follows ──(the lease is ours: states are loaded)──> leads: polls, engine, commit ──(refused, lapsed)──> follows

Whoever follows decides nothing and writes nothing. Reads no clock but those that it is given.
"""

import logging
from collections.abc import Iterable
from typing import Any, Final

from celery.beat import ScheduleEntry
from redis.exceptions import RedisError

from packages.infra.beat.batch_size import BatchSize
from packages.infra.beat.beat_status import MOST_TOLD, WRITTEN_EVERY, BeatStatus
from packages.infra.beat.clock_watch import ClockWatch
from packages.infra.beat.committing import Committing
from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.beat.entries.names import name_of
from packages.infra.beat.entries.polling import Polling
from packages.infra.beat.entries.roster import Roster
from packages.infra.beat.host import Host
from packages.infra.beat.keeping_control import KeepingControl
from packages.infra.beat.outage import Outage
from packages.infra.beat.preparing import Preparing
from packages.infra.beat.standing import Standing, Trouble
from packages.infra.beat.state_store import StoreAwayError
from packages.infra.beat.taking_over import TakingOver
from packages.infra.beat.trouble import trouble_of
from packages.infra.beat.unfinished import wait_again
from packages.infra.beat.wiring import Opened
from packages.infra.queue.outages import Errand
from packages.infra.telemetry.beat_metrics import NO_CONTROL, Facts
from packages.scheduling.engine import Engine
from packages.scheduling.instants import SECOND_MS, to_instant
from packages.scheduling.snapshot import Snapshot

log = logging.getLogger(__name__)

# What takes longer to publish is more than is to be decided in one go.
LONGEST_ROUND_S: Final = 0.5
# With less time than this until something is due nobody is asked anything that can wait.
ROOM_TO_ASK_S: Final = 0.1
_WRITTEN_EVERY_S: Final = WRITTEN_EVERY.total_seconds()


class Loop:
    """The engine with everything around it. `opened` is closed with it."""

    def __init__(self, host: Host, opened: Opened, names: Iterable[Any], now: int) -> None:
        self._host = host
        self._opened = opened
        self._lease = opened.lease
        self._engine = Engine()
        self.roster = Roster(host.app, engine=self._engine, store=opened.store, is_polled=host.is_polled)
        self._polling = Polling(host, engine=self._engine, roster=self.roster)
        self._control = KeepingControl(host.app, self._engine, opened.store)
        self._committing = Committing(host, opened, self._engine, self.roster, self._control)
        self._taking_over = TakingOver(self._engine, self.roster, self._committing)
        self._preparing = Preparing(self._engine, self._prepare, monotonic_s=host.monotonic_s)
        self._outage = Outage(host.monotonic_s)
        self._batch = BatchSize(opened.publisher.first_batch)
        self._clock = ClockWatch()
        self._telling = Errand("status", (RedisError, OSError), host.monotonic_s)
        self._told_at_s = float("-inf")
        # Where it stood when it was last told, and since when.
        self._stands: tuple[Standing | None, int] = (None, now)
        # The term whose states the engine has; 0 before the first one.
        self._term = 0
        self._not_begun = 0
        self.take_in(names, now)

    @property
    def pending(self) -> int:
        """How many fires wait."""
        return self._engine.open_fires

    @property
    def leads(self) -> bool:
        """Whether the engine goes on from the states of the term that is ours."""
        return self._term > 0 and self._term == self._lease.term and self._lease.standing is Standing.LEADING

    def take_in(self, names: Iterable[Any], now: int) -> None:
        """Follow changes of the schedule at these names.

        Raises:
            StoreAwayError: the store cannot be read; these may be given again.
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
            self._engine.use_markets(self._opened.readings.read(now)[0].markets)
        self.roster.update(schedule, names, now, leads=self.leads)
        if self._opened.readings.has_probes:
            jobs, readings = self._engine.names, self._opened.readings
            readings.want([self._engine.job(name) for name in map(name_of, names) if name in jobs])
            readings.let_go([name for name in map(name_of, names) if name not in jobs])
        for name in names:
            self._opened.publisher.forget(name_of(name))

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
        self._control.follow()
        if self._lease.keep() is Standing.LEADING and self._begins_term(now) and not self._outage.try_in_s:
            more = self._tick(now)
        self._host.metrics.stands(self._lease.standing, term=self._lease.term, trouble=self._trouble())
        self._tell(now)
        return more

    def wait_s(self, now_s: float) -> float:
        """How many seconds to wait from `now_s` on the wall clock until there is something to do; negative if late."""
        wait_s = self._lease.ask_in_s
        if self._outage:
            return max(wait_s, self._outage.try_in_s)
        if not self.leads:
            return wait_s
        wake = self.next_wake()
        return wait_s if wake is None else min(wait_s, wake / SECOND_MS - now_s)

    def prepare(self, now: int) -> bool:
        """There is time: do some of what is to be done soon. Whether there is more of it."""
        if not (self.leads and self._lease.is_trusted) or self._outage:
            return False
        readings = self._opened.readings
        if readings.has_probes and self.wait_s(now / SECOND_MS) > ROOM_TO_ASK_S:
            readings.look_ahead(now, self._engine.controllers.stepped_at)
        return self._preparing.run(now)

    def next_wake(self) -> int | None:
        """The instant at which something is due; None if nobody knows of any."""
        wakes = [wake for wake in (self._engine.next_wake(), self.roster.polls.next_wake()) if wake is not None]
        return min(wakes, default=None)

    def save(self) -> None:
        """Keep what is not kept yet, if this replica leads."""
        if self.leads and self._lease.is_trusted and self._committing.owes:
            now = to_instant(self._host.utc_now())
            self._committing.commit(Snapshot(taken_at=now), now)

    def resign(self) -> None:
        """Give the lease back at once; may be called by the handler of a signal, in the middle of anything."""
        self._opened.publisher.hand_over()
        self._lease.resign()

    def close(self) -> None:
        """Keep what is left, give the lease back, and let go of the connections."""
        self._opened.ask_again()
        try:
            self.save()
        finally:
            self.resign()
            self._opened.close()

    def _prepare(self, name: str, now: int) -> None:
        entry = self._host.schedule.get(self.roster.keys.get(name))
        if entry is not None:
            self._opened.publisher.prepare(name, entry, now)

    def _begins_term(self, now: int) -> bool:
        """Whether the engine has the states of our term, loading them if it does not."""
        term = self._lease.term
        if term == self._term:
            return True
        schedule = self._host.schedule
        # The lease was answered a moment ago.
        self._opened.ask_again()
        try:
            if self._lease.others_led:
                lived_at = self._lease.leader_lived_at
                self.roster.go_on_from_store(
                    schedule, now, led_until=None if lived_at is None else lived_at - SECOND_MS
                )
                self._control.go_on_from_store(now)
                if not self._engine.controllers.is_calm:
                    # A step that knows nothing would forget what is going on.
                    self._opened.readings.look_ahead(now, self._engine.controllers.stepped_at)
                self._committing.begin_term()
                self._taking_over.begin_term()
            else:
                # Nobody has led since, and what is known here is at least what the store has; it may have lost all.
                self.roster.keep_anew(schedule, now)
                self._committing.keep_anew()
            wait_again(self._opened.publisher.unfinished(term), self._engine, self.roster, now)
        except StoreAwayError as error:
            if self._not_begun != term:
                log.warning("term_not_begun", extra={"term": term, "error": str(error)})
            self._not_begun = term
            return False
        self._term = term
        self._lease.others_led = False
        return True

    def _tick(self, now: int) -> bool:
        engine, roster, readings = self._engine, self.roster, self._opened.readings
        snapshot, requests = readings.read(now)
        if self._outage and not self._is_over(snapshot, now):
            return False
        engine.use_markets(snapshot.markets)
        self._polling.run(now)
        if requests:
            self._taking_over.run(requests, now)
        tick = engine.tick(snapshot, now, limit=self._batch.size)
        self._control.seen(tick.snapshot)
        for failure in tick.failures:
            roster.quarantine.put_aside(failure.job, failure.error, failure.until)
        roster.quarantine.recovered(tick.states)
        if not (tick.states or tick.decisions or self._committing.owes):
            return tick.more
        begun_s, owed = self._host.monotonic_s(), len(roster.unsaved)
        error = self._committing.commit(snapshot, now, tick)
        if error is not None:
            self._failed(error)
            self._batch.shrink()
            return False
        if tick.fires:
            self._outage.proven()
        if self._host.monotonic_s() - begun_s > LONGEST_ROUND_S:
            self._batch.shrink()
        elif tick.more:
            self._batch.grow()
        # The states of a whole schedule are kept in parts, and what cannot be kept is no reason to hurry.
        return tick.more or 0 < len(roster.unsaved) < owed

    def _is_over(self, snapshot: Snapshot, now: int) -> bool:
        """Try with nothing to publish whether the broker takes something again; what waits for it is due then."""
        error = self._committing.commit(snapshot, now)
        if error is not None:
            self._failed(error)
            return False
        if not self._lease.is_trusted:
            # It was refused, which says nothing about what the broker takes.
            return False
        self._outage.over()
        self.roster.unsaved.update(self._engine.retry_now(now))
        return True

    def _tell(self, now: int) -> None:
        """Say of itself what there is to say, now and then, and when it stands elsewhere."""
        lease, monotonic_s = self._lease, self._host.monotonic_s()
        if lease.standing is not self._stands[0]:
            self._stands = lease.standing, now
        elif monotonic_s < self._told_at_s + _WRITTEN_EVERY_S:
            return
        self._told_at_s = monotonic_s
        board, quarantined = self._opened.status, self.roster.quarantine.listed
        days_left = {market: table.days_left(now) for market, table in self._engine.markets.items()}
        jobs, leads = len(self._engine.names), lease.standing is Standing.LEADING
        control = self._control.facts(now) if leads else NO_CONTROL
        self._host.metrics.tell(Facts(jobs, len(quarantined), lease.clock_distance_ms, days_left, control))
        if board is None:
            return
        status = BeatStatus(
            replica=lease.owner,
            standing=lease.standing,
            term=lease.term,
            since=self._stands[1],
            last_tick=now,
            jobs=jobs,
            clock_distance_ms=lease.clock_distance_ms,
            trouble=self._trouble(),
            quarantined={name: quarantined[name].error for name in sorted(quarantined)[:MOST_TOLD]},
            put_aside=len(quarantined),
            days_left=days_left,
            version=self.roster.policies.text,
            control=self._control.modes if leads else {},
            owed=control.owed,
        )
        self._telling.run(lambda: board.write(status))

    def _failed(self, error: BaseException) -> None:
        self._host.metrics.troubled(self._outage.failed(error))

    def _trouble(self) -> Trouble | None:
        """What is wrong with the broker, if anything is."""
        away = self._lease.trouble
        # Whoever follows publishes nothing, and does not hear when an outage ends.
        outage = None if self._lease.standing is Standing.FOLLOWING else self._outage.trouble
        return outage or (trouble_of(away) if away is not None else None)
