"""Celery's scheduler as the loop uses it: its clocks, its connection with time limits, and publishing in Celery's way.

Decides nothing about what is published, or when.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from kombu import Connection, Producer
from kombu.exceptions import OperationalError
from kombu.utils.objects import cached_property
from redis.exceptions import TimeoutError as RedisTimeoutError

from packages.infra.beat.declaring_producer import DeclaringProducer
from packages.infra.beat.entries.celery_triggers import is_polled
from packages.infra.beat.entries.entry import BeatEntry, mark_copied
from packages.infra.beat.entries.schedule_map import ScheduleMap
from packages.infra.queue.time_limits import AMQP, driver_of, limit_waiting

log = logging.getLogger(__name__)

# A broker that does not answer for so long counts as away; what was to be published is tried again.
ANSWERS_WITHIN_S: Final = 1.5

# As it was when this was imported: what has been put in its place since wants to be called.
_SCHEDULERS_IS_DUE: Final = Scheduler.is_due
_SCHEDULERS_RESERVE: Final = Scheduler.reserve


class CeleryHost(Scheduler):
    """See `packages.infra.beat.loop.Host`. `monotonic` and `wall_clock` are its clocks, for a test to replace."""

    Entry: type[ScheduleEntry] = BeatEntry
    monotonic: Callable[[], float] = staticmethod(time.monotonic)
    wall_clock: Callable[[], datetime] = staticmethod(lambda: datetime.now(UTC))

    _failure: BaseException | None = None

    @property
    def asks_everybody(self) -> bool:
        """Whether the scheduler's own `is_due` is another one than Celery's: then it is asked about every entry."""
        return type(self).is_due is not _SCHEDULERS_IS_DUE or "is_due" in vars(self)

    @property
    def counts_in_place(self) -> bool:
        """See `Host`: not where a `reserve` or a mapping of somebody's own is to be told of each run."""
        own = type(self).reserve is not _SCHEDULERS_RESERVE or "reserve" in vars(self)
        return not own and type(self.schedule) is ScheduleMap

    def is_polled(self, entry: ScheduleEntry) -> bool:
        """See `Host`."""
        return self.asks_everybody or is_polled(entry)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:  # noqa: ANN401  # a kombu producer
        """Publish an entry; a failure is logged, and remembered for the fire that it is."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception as error:  # noqa: BLE001  # the loop boundary: one entry must not end beat
            self._failure = _cause(error)

    def publish(self, entry: ScheduleEntry) -> BaseException | None:
        """See `Host`. By `apply_entry`, which somebody may have overridden, with an error of its own or without."""
        self._failure = None
        try:
            self.apply_entry(entry, producer=self.producer)
        except Exception as error:  # noqa: BLE001  # as above
            self._failure = _cause(error)
        return self._failure

    def advance(self, name: Any) -> None:  # noqa: ANN401  # Celery takes anything as a name
        """See `Host`."""
        try:
            entry = self.schedule[name]
            if entry.name == name:
                self.reserve(entry)
            else:
                # Celery would put it under the other name, and run it twice.
                self.schedule[name] = next(entry)
        except Exception:
            log.exception("entry_not_advanced", extra={"job": str(name)})

    def make_entry(self, name: Any, given: Any) -> ScheduleEntry:  # noqa: ANN401  # as above
        """An entry out of what a configuration has for it."""
        entry: ScheduleEntry = self._maybe_entry(name, given)
        return entry

    def _maybe_entry(self, name: Any, entry: Any) -> ScheduleEntry:  # noqa: ANN401  # Celery's own signature
        made: ScheduleEntry = super()._maybe_entry(name, entry)  # type: ignore[misc]  # celery-types lacks it
        mark_copied(made, entry)
        return made

    def merge_inplace(self, b: Any) -> None:  # noqa: ANN401  # as above
        """See Celery."""
        super().merge_inplace(b)
        for name, given in b.items():
            mark_copied(self.schedule[name], given)

    def revoke(self, task_ids: tuple[str, ...]) -> None:
        """See `Host`."""
        try:
            self.app.control.revoke(list(task_ids), terminate=True, connection=self.connection)
        except Exception as error:  # noqa: BLE001  # as above
            log.warning("revoke_failed", extra={"task_ids": ",".join(task_ids), "error": str(error)})

    def reconnect(self, after: BaseException) -> bool:
        """See `Host`."""
        vars(self).pop("producer", None)
        connection = vars(self).pop("connection", None)
        if connection is not None:
            connection.release()
        if _timed_out(after):
            # Whoever does not answer would not take a new connection either, and that would be waited for, too.
            return False
        try:
            self._ensure_connected()
        except OperationalError:
            return False
        return True

    def utc_now(self) -> datetime:
        """See `Host`."""
        return self.wall_clock()

    def monotonic_s(self) -> float:
        """See `Host`."""
        return self.monotonic()

    @cached_property
    def producer(self) -> Producer:
        """What publishes in Celery's way; see Celery."""
        kind = DeclaringProducer if self.Producer is Producer else self.Producer  # type: ignore[attr-defined]  # celery-types lacks it
        return kind(self._ensure_connected(), auto_declare=False)

    @cached_property
    def connection(self) -> Connection:
        """The connection for publishing, with time limits and confirmation where its transport knows them."""
        connection = self.app.connection_for_write()
        limit_waiting(connection, ANSWERS_WITHIN_S)
        if driver_of(connection) == AMQP:
            # A message that the broker did not take must not count as published.
            connection.transport_options = {**(connection.transport_options or {}), "confirm_publish": True}
        return connection

    def _ensure_connected(self) -> Connection:
        """Connect now or not at all: the loop comes again by itself."""

        def say(error: Exception, _: float) -> None:
            log.warning("broker_away", extra={"error": str(error)})

        return self.connection.ensure_connection(say, max_retries=0)


def _cause(error: BaseException) -> BaseException:
    """What really happened: Celery raises its own error while it handles that."""
    return (error.__context__ or error) if isinstance(error, SchedulingError) else error


def _timed_out(error: BaseException | None) -> bool:
    """Whether nobody answered in time; kombu and redis wrap such an error in errors of their own."""
    while error is not None:
        if isinstance(error, (TimeoutError, RedisTimeoutError)):
            return True
        error = error.__cause__ or error.__context__
    return False
