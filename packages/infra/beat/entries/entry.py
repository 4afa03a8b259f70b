"""An entry of the schedule that remembers whether it was given a `last_run_at`, and by whom. Decides nothing."""

from datetime import datetime
from typing import Any

from celery.beat import ScheduleEntry


class BeatEntry(ScheduleEntry):
    """Celery's entry, and two facts about its beginning.

    `starts_from`: the `last_run_at` that it was first made with, None without one. `is_copied`: it was made out of an
    entry object of the user's, whose `last_run_at` may be no more than when it was made.

    Slots, and no attributes: Celery makes the next instance of an entry from its attributes.
    """

    __slots__ = ("is_copied", "starts_from")

    def __init__(
        self,
        name: str | None = None,
        task: str | None = None,
        last_run_at: datetime | None = None,
        *args: Any,  # noqa: ANN401  # Celery's own signature
        **kwargs: Any,  # noqa: ANN401  # as above
    ) -> None:
        super().__init__(name, task, last_run_at, *args, **kwargs)
        self.starts_from = last_run_at
        self.is_copied = False

    def _next_instance(self, last_run_at: datetime | None = None) -> "BeatEntry":
        following: BeatEntry = super()._next_instance(last_run_at)  # type: ignore[misc]  # celery-types lacks it
        following.starts_from, following.is_copied = starts_from(self), self.is_copied
        return following

    __next__ = next = _next_instance


def starts_from(entry: ScheduleEntry) -> datetime | None:
    """The `last_run_at` that an entry was given; for an entry class of a user's own, the one that it has."""
    given: datetime | None = getattr(entry, "starts_from", None) if isinstance(entry, BeatEntry) else entry.last_run_at
    return given


def has_fixed_start(entry: ScheduleEntry) -> bool:
    """Whether its `last_run_at` stands in the configuration, and is the same whenever beat is started."""
    return isinstance(entry, BeatEntry) and entry.starts_from is not None and not entry.is_copied


def mark_copied(entry: ScheduleEntry, given: object) -> None:
    """Note on an entry whether it was made out of another entry object."""
    if isinstance(entry, BeatEntry) and isinstance(given, ScheduleEntry) and entry is not given:
        entry.is_copied = True
