"""Where the grids of interval jobs begin: what their entries say, else what was the first to be proposed to the store.

Nothing is remembered here: an instant of its grid is read off each trigger.
"""

from collections.abc import Mapping
from typing import Any, Final

from celery.beat import ScheduleEntry

from packages.infra.beat.entries.celery_triggers import anchor_of, is_on_grid, period_of
from packages.infra.beat.entries.entry import has_fixed_start, starts_from
from packages.infra.beat.entries.jobs_of_entries import Facts
from packages.infra.beat.entries.names import in_parts, name_of
from packages.infra.beat.state_store import StateStore
from packages.scheduling.engine import Engine
from packages.scheduling.instants import to_instant

# The store is asked about these at once, and while it is the lease is not renewed.
_KEPT_AT_ONCE: Final = 20_000


class Anchors:
    """Of the jobs in one engine. Both methods raise `StoreAwayError` while the store cannot be read."""

    def __init__(self, engine: Engine, store: StateStore) -> None:
        self._engine = engine
        self._store = store

    def of(self, schedule: Mapping[Any, ScheduleEntry], changed: Mapping[Any, Facts], now: int) -> dict[str, int]:
        """The anchor of each of these entries that needs one, by job."""
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
            (given if has_fixed_start(entry) else proposed)[name_of(key)] = at
        return given | self._store.anchors(proposed)

    def keep(self, schedule: Mapping[Any, ScheduleEntry], known: Mapping[Any, object]) -> list[Any]:
        """Have the store keep the anchors that it does not have any more; `known` has the schedules of the jobs.

        Returns the keys of the jobs whose grid is another one by what it has: another beat was first.
        """
        moved: list[Any] = []
        for part in in_parts(known, _KEPT_AT_ONCE):
            proposed = {name_of(key): at for key in part if (at := self._anchor(key, schedule, known)) is not None}
            kept = self._store.anchors(proposed)
            moved += [
                key
                for key in part
                if (name := name_of(key)) in kept and not is_on_grid(self._engine.job(name).trigger, kept[name])
            ]
        return moved

    def _anchor(
        self,
        key: Any,  # noqa: ANN401  # a name
        schedule: Mapping[Any, ScheduleEntry],
        known: Mapping[Any, object],
    ) -> int | None:
        """Where the grid of an interval job is now whose entry does not say where it begins."""
        name, entry = name_of(key), schedule.get(key)
        if period_of(known[key]) is None or entry is None or has_fixed_start(entry) or name not in self._engine.names:
            return None
        return anchor_of(self._engine.job(name).trigger)
