"""An entry of the schedule that remembers whether it was given a `last_run_at`. Decides nothing."""

from datetime import datetime
from typing import Any

from celery.beat import ScheduleEntry


class BeatEntry(ScheduleEntry):
    """Celery's entry, and `starts_from`: the `last_run_at` that it was first made with, None without one.

    A slot, and no attribute: Celery makes the next instance of an entry from its attributes.
    """

    __slots__ = ("starts_from",)

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

    def _next_instance(self, last_run_at: datetime | None = None) -> "BeatEntry":
        following: BeatEntry = super()._next_instance(last_run_at)  # type: ignore[misc]  # celery-types lacks it
        following.starts_from = starts_from(self)
        return following

    __next__ = next = _next_instance


def starts_from(entry: ScheduleEntry) -> datetime | None:
    """The `last_run_at` that an entry was given; for an entry class of a user's own, the one that it has."""
    given: datetime | None = getattr(entry, "starts_from", None) if isinstance(entry, BeatEntry) else entry.last_run_at
    return given
