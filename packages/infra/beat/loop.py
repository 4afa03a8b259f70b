"""One wake-up of beat after the other, from opening to closing: what the engine decides is published, kept and said.

What is saved is always behind what is published: a beat that is killed in between publishes a fire once more under the
same task id, and loses none. Reads no clock but those that it is given.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from celery.beat import ScheduleEntry
from redis.exceptions import RedisError

from packages.infra.beat.batch_size import BatchSize
from packages.infra.beat.beat_status import WRITTEN_EVERY, BeatStatus
from packages.infra.beat.clock_watch import ClockWatch
from packages.infra.beat.decision_sink import Outcome
from packages.infra.beat.dispatch import Dispatch
from packages.infra.beat.host import Host
from packages.infra.beat.job_schedule import JobSchedule
from packages.infra.beat.keeping import Keeping
from packages.infra.beat.polling import Polling
from packages.infra.beat.publishing import stamped, task_id_of
from packages.infra.beat.readings import PublishedRun
from packages.infra.beat.roster import Roster
from packages.infra.beat.wiring import Opened
from packages.infra.queue.outages import Errand
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.engine import Engine
from packages.scheduling.instants import SECOND_MS, to_datetime, to_instant
from packages.scheduling.plan import Fire
from packages.scheduling.policies import OverlapMode

log = logging.getLogger(__name__)

_WRITTEN_EVERY_S: Final = WRITTEN_EVERY.total_seconds()


class WithdrawnError(Exception):
    """The entry of a fire was taken out of the schedule after the fire was planned."""


class Loop:
    """The engine with everything around it. `opened` is closed with it."""

    def __init__(self, host: Host, opened: Opened, names: Iterable[Any], now: int) -> None:
        self._host = host
        self._opened = opened
        self._engine = Engine()
        self.roster = Roster(host.app, engine=self._engine, store=opened.store, is_polled=host.is_polled)
        self._polling = Polling(host, engine=self._engine, roster=self.roster, store=opened.store)
        self._dispatch = Dispatch(
            send=self._send, settle=self._settle, reconnect=host.reconnect, monotonic=host.monotonic_s
        )
        self._batch = BatchSize()
        self._clock = ClockWatch()
        self._keeping = Keeping(opened, self.roster, host.monotonic_s)
        self._telling = Errand("status", (RedisError, OSError), host.monotonic_s)
        self._told_at_s = float("-inf")
        self._published: list[PublishedRun] = []
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
            self._engine.use_markets(self._opened.readings.read(now)[0].markets)
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
        if self._dispatch:
            self._batch.shrink()
        elif more:
            self._batch.grow()
        published, self._published = self._published, []
        self._opened.readings.published(published)
        self._keeping.record()
        self.save()
        self._tell(now)
        return more or bool(self._dispatch)

    def next_wake(self) -> int | None:
        """The instant at which there is something to do; None if nobody knows of any."""
        wakes = [wake for wake in (self._engine.next_wake(), self.roster.polls.next_wake()) if wake is not None]
        return min(wakes, default=None)

    def save(self) -> None:
        """Keep what is not kept yet; while the store is away it is tried again later."""
        self._keeping.save(self._dispatch.jobs)

    def close(self) -> None:
        """Keep what is left, and let go of the connections."""
        self._opened.ask_again()
        self._keeping.finish(self._dispatch.jobs)
        self._opened.close()

    def _plan(self, now: int) -> bool:
        readings, roster = self._opened.readings, self.roster
        snapshot, requests = readings.read(now)
        self._engine.use_markets(snapshot.markets)
        for request in requests:
            if request.job not in self._engine.names:
                log.warning("request_for_no_job", extra={"job": request.job, "request": request.id})
        roster.unsaved.update(self._engine.take(requests, now))
        self._keeping.taken_over(requests)
        tick = self._engine.tick(snapshot, now, limit=self._batch.size)
        # At once: from here on the engine takes them for published.
        self._dispatch.add(tick.fires)
        for failure in tick.failures:
            roster.quarantine.put_aside(failure.job, failure.error, failure.until)
        roster.quarantine.recovered(tick.states)
        roster.unsaved.update(tick.states)
        for decision in tick.decisions:
            if decision.verdict is not Verdict.FIRE:
                self._keeping.decided(Outcome(decision))
        readings.publishing([self._run_of(fire, now) for fire in tick.fires if _is_counted(fire)])
        return tick.more

    def _run_of(self, fire: Fire, now: int) -> PublishedRun:
        entry = self._host.schedule.get(self.roster.keys.get(fire.job.name))
        own = entry.options.get("task_id") if entry is not None and isinstance(entry.options, dict) else None
        decision = fire.decision
        task_id = str(own or task_id_of(decision.job, decision.nominal, decision.origin))
        return PublishedRun(fire.job, task_id, now)

    def _settle(self, fire: Fire, error: BaseException | None) -> None:
        name, now = fire.job.name, to_instant(self._host.utc_now())
        if error is None:
            self._keeping.decided(Outcome(fire.decision, now))
            if _is_counted(fire):
                self._published.append(self._run_of(fire, now))
        elif isinstance(error, WithdrawnError) or name not in self._engine.names:
            log.info("fire_withdrawn", extra={"job": name, "nominal": rfc3339(to_datetime(fire.decision.nominal))})
        else:
            state = self.roster.unsaved[name] = self._engine.publish_failed(fire, now)
            waits = replace(fire.decision, verdict=Verdict.DEFER, reason=Reason.PUBLISH_FAILED, cancels=())
            self._keeping.decided(Outcome(replace(waits, until=state.open[-1].retry_at)))

    def _send(self, fire: Fire) -> BaseException | None:
        name = self.roster.keys.get(fire.job.name)
        entry = self._host.schedule.get(name)
        if entry is None:
            return WithdrawnError(fire.job.name)
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

    def _tell(self, now: int) -> None:
        """Say of itself what there is to say, now and then."""
        board, monotonic_s = self._opened.status, self._host.monotonic_s()
        if board is None or monotonic_s < self._told_at_s + _WRITTEN_EVERY_S:
            return
        self._told_at_s = monotonic_s
        status = BeatStatus(
            last_tick=now,
            jobs=len(self._engine.names),
            quarantined={name: put_aside.error for name, put_aside in self.roster.quarantine.listed.items()},
            days_left={market: table.days_left(now) for market, table in self._engine.markets.items()},
        )
        self._telling.run(lambda: board.write(status))


def _is_counted(fire: Fire) -> bool:
    """Whether anybody looks at whether an earlier run is over."""
    return fire.job.policies.overlap is not OverlapMode.ALLOW
