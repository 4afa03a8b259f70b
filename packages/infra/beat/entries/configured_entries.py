"""What stands in `app.conf.beat_schedule`, and what changed there: `add_periodic_task`, a reload, an edit by hand.

Decides nothing about entries that came by another way, such as `Scheduler.add`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from celery import Celery

# A look costs a comparison for each entry.
LOOKS_EVERY_S: Final = 5.0
LOOKS_AT_MANY_EVERY_S: Final = 60.0
_MANY: Final = 5_000


class ScheduleSource(Protocol):
    """Where the entries of the app come from, as the setting `beat_schedule_source`."""

    def changed(self) -> bool:
        """Whether to read again, once for each change. Asked at every wake-up."""
        ...

    def read(self) -> Mapping[str, dict[str, Any]]:
        """All entries anew.

        Raises:
            Exception: they cannot be used; the text says why. The old ones stay.
        """
        ...


@dataclass(frozen=True, slots=True)
class ConfChange:
    """Entries that are new or different, as they stand in the configuration, and names that are gone from it."""

    changed: Mapping[Any, Any]
    gone: frozenset[Any]

    def __bool__(self) -> bool:
        return bool(self.changed or self.gone)


class ConfiguredEntries:
    """Compares the configuration with what it was at the last look."""

    def __init__(self, app: Celery, *, now_s: float) -> None:
        self._app = app
        # Beside each other and in no dictionary, which takes several times as much.
        self._names, self._given = _copied(app.conf.beat_schedule)
        self._looked_at_s = now_s

    def changes(self, now_s: float, *, at_once: bool = False) -> ConfChange | None:
        """What changed since; None as long as it is too early to look again. `now_s` is on a monotonic clock."""
        pause_s = LOOKS_AT_MANY_EVERY_S if len(self._names) > _MANY else LOOKS_EVERY_S
        if not at_once and now_s - self._looked_at_s < pause_s:
            return None
        self._looked_at_s = now_s
        current = self._app.conf.beat_schedule
        if tuple(current) == self._names and tuple(current.values()) == self._given:
            return ConfChange({}, frozenset())
        seen = dict(zip(self._names, self._given, strict=True))
        changed = {name: given for name, given in current.items() if seen.get(name, self) != given}
        gone = frozenset(name for name in seen if name not in current)
        self._names, self._given = _copied(current)
        return ConfChange(changed, gone)


def _copied(entries: Mapping[Any, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The names, and what stands there for each."""
    if len(entries) > _MANY:
        # Copies of so many would take as much memory as the schedule.
        return tuple(entries), tuple(entries.values())
    # One level deep: an edit of a nested dictionary must not edit what it is compared with.
    return tuple(entries), tuple(dict(given) if isinstance(given, dict) else given for given in entries.values())
