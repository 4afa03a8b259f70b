"""Keeps the engine in step with the schedule: which entry is which job, and with which state it begins.

Only entries whose facts changed are taken in anew; the plan of the others is untouched. An entry that cannot be made a
job is contained, and put aside for a while.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Final

from celery import Celery
from celery.beat import ScheduleEntry

from packages.infra.beat.celery_triggers import period_of, trigger_of
from packages.infra.beat.entry import has_fixed_start, starts_from
from packages.infra.beat.estimated_trigger import description_of
from packages.infra.beat.jobs_of_entries import Facts, JobMaker, facts_of
from packages.infra.beat.polled import PolledTrigger, PollTimes
from packages.infra.beat.quarantine import Quarantine
from packages.infra.beat.state_store import StateStore
from packages.scheduling.engine import QUARANTINE_MS, Engine
from packages.scheduling.instants import to_datetime, to_instant
from packages.scheduling.state import JobState
from packages.scheduling.triggers.base import Trigger

Schedule = Mapping[Any, ScheduleEntry]
# So many entries are looked at for changes in place at each wake-up: a fraction of a millisecond's work.
_SCANNED_AT_ONCE: Final = 100


class Roster:
    """The entries that are in the engine. `unsaved` has the states that the store does not have yet."""

    def __init__(
        self, app: Celery, *, engine: Engine, store: StateStore, is_polled: Callable[[ScheduleEntry], bool]
    ) -> None:
        self._app = app
        self._engine = engine
        self._store = store
        self._is_polled = is_polled
        self._maker = JobMaker(app)
        self._zone: Any = app.timezone
        # None for one that is no entry at all.
        self._known: dict[Any, Facts | None] = {}
        self._scanned = 0
        self.keys: dict[str, Any] = {}
        self.polls = PollTimes()
        self.quarantine = Quarantine()
        self.unsaved: dict[str, JobState] = {}
        self.forgotten: set[str] = set()

    def update(self, schedule: Schedule, names: Iterable[Any], now: int, *, starting: bool = False) -> None:
        """Take in, change or take out the entries of these names.

        `starting`: the store forgets all other names.

        Raises:
            StoreAwayError: the states cannot be read; nothing was changed.
        """
        names = list(names)
        changed = {
            key: facts
            for key in names
            if key in schedule and (facts := self._new_facts(key, schedule[key], now)) is not None
        }
        anchors = self._anchors(schedule, changed, now)
        stored = self._store.load([name for key in changed if (name := _name(key)) not in self._engine.names])
        if starting:
            self._store.forget_all_but([_name(key) for key in schedule])
        for key in names:
            if key not in schedule:
                self._take_out(key)
        for key, facts in changed.items():
            name = _name(key)
            self._take_in(key, schedule[key], facts, stored=stored.get(name), anchor=anchors.get(name, now), now=now)

    def changed_in_place(self, schedule: Schedule, *, tracked: bool) -> list[Any]:
        """Names of entries that are not as they were taken in, among the next few hundred.

        A slow scan for what nobody is told about. A mapping that is not `tracked` is also searched for names that came
        or went.
        """
        changed = [] if tracked else list(schedule.keys() ^ self._known.keys())
        if self._scanned >= len(schedule):
            self._scanned = 0
        for key in islice(schedule, self._scanned, self._scanned + _SCANNED_AT_ONCE):
            if (facts := self._known.get(key)) is None:
                continue
            entry = schedule[key]
            if not _is_entry(entry) or not facts.same_as(self._facts(entry)):
                changed.append(key)
        self._scanned += _SCANNED_AT_ONCE
        return changed

    def to_retry(self, schedule: Schedule, now: int) -> list[Any]:
        """The names of entries that were put aside and are not in the engine, when their time has come."""
        due = [self.keys[name] for name in self.quarantine.due(now) if name not in self._engine.names]
        for key in due:
            self._known.pop(key, None)
        return [key for key in due if key in schedule]

    def _new_facts(self, key: Any, entry: ScheduleEntry, now: int) -> Facts | None:  # noqa: ANN401  # a name
        """The facts of an entry, if they are not the known ones."""
        self.keys[_name(key)] = key
        try:
            facts = self._facts(entry)
        except Exception as error:  # noqa: BLE001  # one bad entry must not stop the others
            self._put_aside(key, None, error, now)
            return None
        known = self._known.get(key)
        return None if known is not None and known.same_as(facts) else facts

    def _facts(self, entry: ScheduleEntry) -> Facts:
        return facts_of(entry, polled=self._is_polled(entry))

    def _anchors(self, schedule: Schedule, changed: Mapping[Any, Facts], now: int) -> dict[str, int]:
        given: dict[str, int] = {}
        proposed: dict[str, int] = {}
        for key, facts in changed.items():
            if facts.polled or period_of(facts.schedule) is None:
                continue
            entry = schedule[key]
            try:
                begun = starts_from(entry)
                at = now if begun is None else to_instant(facts.schedule.maybe_make_aware(begun))
            except Exception:  # noqa: BLE001, S112  # it is raised again, and contained, when the entry is taken in
                continue
            # What an entry object of a user's own says differs from one start to the next, as its last run does.
            (given if has_fixed_start(entry) else proposed)[_name(key)] = at
        return given | self._store.anchors(proposed)

    def _take_in(  # noqa: PLR0913  # all that is known of one entry
        self,
        key: Any,  # noqa: ANN401  # a name
        entry: ScheduleEntry,
        facts: Facts,
        *,
        stored: JobState | None,
        anchor: int,
        now: int,
    ) -> None:
        name = _name(key)
        try:
            trigger = self._trigger(facts, anchor)
            known = self._engine.state(name) if name in self._engine.names else stored
            begins_with = known or _first_state(entry, trigger)
            state = self._engine.add(self._maker.job(name, facts, trigger), begins_with, now)
        except Exception as error:  # noqa: BLE001  # as above
            self._put_aside(key, facts, error, now)
            return
        self._known[key] = facts
        self.forgotten.discard(name)
        self.quarantine.recovered([name])
        if state != stored:
            self.unsaved[name] = state
        if stored is not None:
            entry.last_run_at = to_datetime(state.watermark).astimezone(self._zone)
        self.polls.drop(name)
        if facts.polled:
            self.polls.ask(name, now)

    def _trigger(self, facts: Facts, anchor: int) -> Trigger:
        if facts.polled:
            return PolledTrigger(description_of(facts.schedule))
        return trigger_of(facts.schedule, self._app, anchor=anchor)

    def _put_aside(self, key: Any, facts: Facts | None, error: Exception, now: int) -> None:  # noqa: ANN401  # a name
        name = _name(key)
        self._known[key] = facts
        self._engine.remove(name)
        self.polls.drop(name)
        self.quarantine.put_aside(name, error, now + QUARANTINE_MS)

    def _take_out(self, key: Any) -> None:  # noqa: ANN401  # a name
        name = _name(key)
        if self._known.pop(key, self) is self:
            return
        self._engine.remove(name)
        self.polls.drop(name)
        self.quarantine.drop(name)
        self.keys.pop(name, None)
        self.unsaved.pop(name, None)
        self.forgotten.add(name)


def _first_state(entry: ScheduleEntry, trigger: Trigger) -> JobState | None:
    """What a job begins with that has no stored state: all since the `last_run_at` that it was given is owed."""
    begun = starts_from(entry)
    if begun is None or entry.schedule is None:
        return None
    return JobState(watermark=to_instant(entry.schedule.maybe_make_aware(begun)), trigger=trigger.describe())


def _name(key: Any) -> str:  # noqa: ANN401  # Celery takes anything as a name
    return key if isinstance(key, str) else repr(key)


def _is_entry(entry: object) -> bool:
    return isinstance(entry, ScheduleEntry)
