"""Keeps the engine in step with the schedule: which entry is which job, and with which state it begins.

Only entries whose facts changed are taken in anew; the plan of the others is untouched. An entry that cannot be made a
job is contained, and put aside for a while.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from celery import Celery
from celery.beat import ScheduleEntry

from packages.infra.beat.entries.anchors import Anchors
from packages.infra.beat.entries.celery_triggers import trigger_of
from packages.infra.beat.entries.entry import starts_from
from packages.infra.beat.entries.estimated_trigger import description_of
from packages.infra.beat.entries.jobs_of_entries import Facts, JobMaker, facts_of
from packages.infra.beat.entries.names import Keys, in_parts, name_of
from packages.infra.beat.entries.polled import PolledTrigger, PollTimes
from packages.infra.beat.entries.quarantine import Quarantine
from packages.infra.beat.entries.unsaved import Unsaved
from packages.infra.beat.state_store import StateStore, StoreAwayError
from packages.infra.ledger.policy_version import PolicyVersion
from packages.scheduling.engine import QUARANTINE_MS, Engine
from packages.scheduling.instants import to_datetime, to_instant
from packages.scheduling.resume import led_by_another
from packages.scheduling.state import JobState
from packages.scheduling.triggers.base import Trigger

if TYPE_CHECKING:
    from celery.schedules import BaseSchedule

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
        self._anchors = Anchors(engine, store)
        self._zone: Any = app.timezone
        # The schedule of each entry as it was taken in: the rest of its facts is in its job. Of one that was put aside
        # all of them; None for what is no entry at all.
        self._known: dict[Any, BaseSchedule | Facts | None] = {}
        self._scanned = 0
        self._has_begun = False
        self.keys = Keys()
        self.policies = PolicyVersion()
        self.polls = PollTimes()
        self.quarantine = Quarantine()
        self.unsaved = Unsaved(engine)
        self.forgotten: set[str] = set()

    def update(self, schedule: Schedule, names: Iterable[Any], now: int, *, leads: bool) -> None:
        """Take in, change or take out the entries of these names.

        `leads`: what is taken in goes on from its stored state. A follower leaves them to `go_on_from_store`.

        Raises:
            StoreAwayError: the store cannot be read; some were taken in, and the rest may be given again with them.
        """
        self._has_begun |= leads
        for part in in_parts(names):
            self._update(schedule, part, now, leads=leads)

    def _update(self, schedule: Schedule, names: list[Any], now: int, *, leads: bool) -> None:
        changed = {
            key: facts
            for key in names
            if key in schedule and (facts := self._new_facts(key, schedule[key], now)) is not None
        }
        anchors = self._anchors.of(schedule, changed, now)
        new = [name for key in changed if (name := name_of(key)) not in self._engine.names] if leads else ()
        stored = self._store.load(new)
        for key in names:
            if key not in schedule:
                self._take_out(key)
        for key, facts in changed.items():
            name = name_of(key)
            self._take_in(key, schedule[key], facts, stored=stored.get(name), anchor=anchors.get(name, now), now=now)

    def go_on_from_store(self, schedule: Schedule, now: int, *, led_until: int | None = None) -> None:
        """A term begins: every job goes on from its stored state; one that has none, from what is known of it here.

        `led_until`: up to when another replica is known to have led, if it is. A store that has no state at all then
        has lost them: what came due by that instant is taken for published.

        Raises:
            StoreAwayError: the store cannot be read; this may be called again.
        """
        engine = self._engine
        stored = self._store.load(engine.names)
        begins = stored
        if not stored and led_until is not None:
            known = {name: engine.state(name) for name in engine.names}
            begins = {name: led_by_another(state, min(led_until, now)) for name, state in known.items()}
        moved = self._anchors.keep(schedule, self._known)
        self._store.forget_absent(self.keys.names_in(schedule), now)
        # What was noted as a follower, or under a term before, is not what the store goes on from.
        self.unsaved = Unsaved(engine)
        self._has_begun = True
        self.unsaved.owe(name for name in engine.names if name not in begins)
        for name, state in begins.items():
            try:
                begun = engine.put_state(name, state, now)
                ran_at = to_datetime(begun.watermark).astimezone(self._zone)
            except Exception as error:  # noqa: BLE001  # one bad entry must not stop the others
                self._put_aside(self.keys[name], None, error, now)
                continue
            if begun != stored.get(name):
                self.unsaved[name] = begun
            entry = schedule.get(self.keys[name])
            if entry is not None:
                entry.last_run_at = ran_at
        self._take_in_anew(schedule, moved, now)

    def keep_anew(self, schedule: Schedule, now: int) -> None:
        """Owe the store the states and anchors that it does not have any more.

        Raises:
            StoreAwayError: the store cannot be read; this may be called again.
        """
        stored = self._store.load(self._engine.names)
        moved = self._anchors.keep(schedule, self._known)
        self.unsaved.owe(name for name in self._engine.names if name not in stored)
        self._take_in_anew(schedule, moved, now)

    def _take_in_anew(self, schedule: Schedule, moved: Sequence[Any], now: int) -> None:
        """Another beat was first to say where the grids of these jobs begin."""
        known = {key: self._known.pop(key) for key in moved}
        try:
            self.update(schedule, moved, now, leads=True)
        except StoreAwayError:
            # They are still to be moved, and are found to be when this is tried again.
            self._known = known | self._known
            raise

    def changed_in_place(self, schedule: Schedule, *, tracked: bool) -> list[Any]:
        """Names of entries that are not as they were taken in, among the next few hundred.

        A slow scan for what nobody is told about. A mapping that is not `tracked` is also searched for names that came
        or went.
        """
        changed = [] if tracked else list(schedule.keys() ^ self._known.keys())
        if self._scanned >= len(schedule):
            self._scanned = 0
        for key in islice(schedule, self._scanned, self._scanned + _SCANNED_AT_ONCE):
            if self._known.get(key) is None:
                continue
            if not self._is_unchanged(key, schedule[key]):
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
        self.keys.note(key)
        try:
            if not _has_bytes(name_of(key)):
                raise ValueError("the name is no text that can be stored or sent")  # noqa: TRY301  # one place to contain
            facts = self._facts(entry)
            return None if self._is_known(key, facts) else facts
        except Exception as error:  # noqa: BLE001  # one bad entry must not stop the others
            self._put_aside(key, None, error, now)
            return None

    def _is_unchanged(self, key: Any, entry: ScheduleEntry) -> bool:  # noqa: ANN401  # a name
        try:
            return _is_entry(entry) and self._is_known(key, self._facts(entry))
        except Exception:  # noqa: BLE001  # it is raised again, and contained, when the entry is taken in
            return False

    def _is_known(self, key: Any, facts: Facts) -> bool:  # noqa: ANN401  # a name
        known, name = self._known.get(key), name_of(key)
        if isinstance(known, Facts):
            return known.same_as(facts)
        # Another key may have the same name, and may have taken the job along.
        has_job = known is facts.schedule and name in self._engine.names
        return has_job and self._maker.makes(self._engine.job(name), facts)

    def _facts(self, entry: ScheduleEntry) -> Facts:
        return facts_of(entry, polled=self._is_polled(entry))

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
        name = name_of(key)
        try:
            trigger = self._trigger(facts, anchor)
            known = self._engine.state(name) if name in self._engine.names else stored
            begins_with = known or _first_state(entry, trigger)
            job = self._maker.job(name, facts, trigger)
            before = self._engine.job(name) if name in self._engine.names else None
            state = self._engine.add(job, begins_with, now)
        except Exception as error:  # noqa: BLE001  # as above
            self._put_aside(key, facts, error, now)
            return
        self._known[key] = facts.schedule
        if before is not None:
            self.policies.remove(before)
        self.policies.add(job)
        self.forgotten.discard(name)
        self.quarantine.recovered([name])
        if self._has_begun:
            # The first term goes on from what the store has.
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
        name = name_of(key)
        self._known[key] = facts
        self._remove(name)
        self.polls.drop(name)
        self.quarantine.put_aside(name, error, now + QUARANTINE_MS)

    def _take_out(self, key: Any) -> None:  # noqa: ANN401  # a name
        name = name_of(key)
        if self._known.pop(key, self) is self:
            return
        self._remove(name)
        self.polls.drop(name)
        self.quarantine.drop(name)
        self.keys.drop(name)
        self.unsaved.pop(name, None)
        if _has_bytes(name):
            self.forgotten.add(name)

    def _remove(self, name: str) -> None:
        if name in self._engine.names:
            self.policies.remove(self._engine.job(name))
            self.unsaved.leaves()
            self._engine.remove(name)


def _first_state(entry: ScheduleEntry, trigger: Trigger) -> JobState | None:
    """What a job begins with that has no stored state: all since the `last_run_at` that it was given is owed."""
    begun = starts_from(entry)
    if begun is None or entry.schedule is None:
        return None
    return JobState(watermark=to_instant(entry.schedule.maybe_make_aware(begun)), trigger=trigger.describe())


def _has_bytes(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_entry(entry: object) -> bool:
    return isinstance(entry, ScheduleEntry)
