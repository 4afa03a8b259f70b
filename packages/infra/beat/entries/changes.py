"""Which entries of the schedule changed since the last wake-up: told, found, read anew, or to be retried.

A reload that is refused leaves everything as it is, and the log says why each time: somebody changed a file, or asked.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

from celery import Celery
from celery.beat import ScheduleEntry

from packages.infra.beat.entries.configured_entries import ConfChange, ConfiguredEntries, ScheduleSource
from packages.infra.beat.entries.roster import Roster
from packages.infra.beat.entries.schedule_map import ScheduleMap
from packages.scheduling.instants import FIRST_INSTANT

log = logging.getLogger(__name__)

SOURCE_SETTING: Final = "beat_schedule_source"
# At hundreds of ticks a second the entries are not searched at each one for what nobody is told about.
_SCANNED_EVERY_MS: Final = 100


class Changes:
    """Of one scheduler. `make_entry` is Celery's own way to make an entry out of a dictionary.

    Entries that stood in the configuration at the start belong to the source, if there is one.
    """

    def __init__(self, app: Celery, *, make_entry: Callable[[Any, Any], ScheduleEntry], now_s: float) -> None:
        self._app = app
        self._make_entry = make_entry
        self._configured = ConfiguredEntries(app, now_s=now_s)
        self._of_source = set(app.conf.beat_schedule) if app.conf.get(SOURCE_SETTING) is not None else set()
        self._asks_everybody = False
        self._left_over: set[Any] = set()
        self._waits = False
        self._scanned_at = FIRST_INSTANT

    def apply_configuration(self, schedule: Any, now_s: float) -> None:  # noqa: ANN401  # Celery takes any mapping
        """Bring the schedule up to what the configuration, and the source behind it, say now."""
        reloaded = self._reload()
        change = self._configured.changes(now_s, at_once=reloaded)
        if change:
            self._apply(change, schedule)

    def names(self, schedule: Any, roster: Roster, now: int, *, asks_everybody: bool) -> list[Any]:  # noqa: ANN401  # as above
        """The names to look at now. `asks_everybody`: whether the scheduler's own `is_due` is another one."""
        tracked = isinstance(schedule, ScheduleMap)
        names = set(self._left_over)
        self._left_over = set()
        if tracked:
            names |= schedule.take_touched()
        if not 0 <= now - self._scanned_at < _SCANNED_EVERY_MS:
            self._scanned_at = now
            names.update(roster.changed_in_place(schedule, tracked=tracked))
        names.update(roster.to_retry(schedule, now))
        if asks_everybody != self._asks_everybody:
            self._asks_everybody = asks_everybody
            names.update(schedule)
        return list(names)

    def all_names(self, schedule: Any, *, asks_everybody: bool) -> list[Any]:  # noqa: ANN401  # as above
        """Every name, to begin with."""
        if isinstance(schedule, ScheduleMap):
            schedule.take_touched()
        self._asks_everybody = asks_everybody
        self._left_over = set()
        return list(schedule)

    def keep(self, names: list[Any], error: Exception) -> None:
        """These could not be looked at; they come up again. The log says so once."""
        if not self._waits:
            log.warning("changes_wait_for_store", extra={"entries": len(names), "error": str(error)})
        self._waits = True
        self._left_over.update(names)

    def taken_in(self) -> None:
        """The names that were given last were looked at."""
        self._waits = False

    def _reload(self) -> bool:
        source: ScheduleSource | None = self._app.conf.get(SOURCE_SETTING)
        if source is None:
            return False
        try:
            if not source.changed():
                return False
            entries = dict(source.read())
        except Exception as error:  # noqa: BLE001  # the loop boundary: bad settings must not end a running beat
            log.error("settings_reload_refused", extra={"error": str(error)})  # noqa: TRY400  # its text is for people
            return False
        others = {name: given for name, given in self._app.conf.beat_schedule.items() if name not in self._of_source}
        self._of_source = set(entries)
        self._app.conf.beat_schedule = {**others, **entries}
        log.info("settings_reloaded", extra={"entries": len(entries)})
        return True

    def _apply(self, change: ConfChange, schedule: Any) -> None:  # noqa: ANN401  # as above
        for name, given in change.changed.items():
            try:
                entry = self._make_entry(name, given)
                known = schedule.get(name)
                if known is None:
                    schedule[name] = entry
                elif known != entry:
                    known.update(entry)
                    schedule[name] = known
                else:
                    continue
            except Exception as error:  # noqa: BLE001  # one bad entry must not stop the others
                log.error("entry_refused", extra={"job": str(name), "error": str(error)})  # noqa: TRY400  # as above
            else:
                log.info("entry_changed", extra={"job": str(name)})
        for name in change.gone:
            if schedule.pop(name, None) is not None:
                log.info("entry_removed", extra={"job": str(name)})
