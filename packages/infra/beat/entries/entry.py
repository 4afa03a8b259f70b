"""An entry of the schedule that remembers whether it was given a `last_run_at`, and by whom. Decides nothing."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from celery.beat import ScheduleEntry

# Attributes that are none of Celery's.
_HELD: Final = frozenset({"_kwargs", "_options", "is_copied"})


class BeatEntry(ScheduleEntry):
    """Celery's entry, and two facts about its beginning.

    `starts_from`: the `last_run_at` that it was first made with, None without one. `is_copied`: it was made out of an
    entry object of the user's, whose `last_run_at` may be no more than when it was made.

    There are as many as jobs: an entry without `kwargs` or `options` gets the empty dictionary when it is asked for it,
    and only one that is copied has an attribute that says so.
    """

    # No attribute: Celery makes the next instance of an entry from its attributes.
    __slots__ = ("starts_from",)

    is_copied = False
    # For an entry class of a user's own whose beginning is not ours.
    _kwargs: Any = None
    _options: Any = None

    def __init__(
        self,
        name: str | None = None,
        task: str | None = None,
        last_run_at: datetime | None = None,
        *args: Any,  # noqa: ANN401  # Celery's own signature
        **kwargs: Any,  # noqa: ANN401  # as above
    ) -> None:
        super().__init__(name, task, last_run_at, *args, **kwargs)
        self._kwargs = self._kwargs or None
        self._options = self._options or None
        self.starts_from = last_run_at

    @property
    def kwargs(self) -> Any:  # noqa: ANN401  # whatever a configuration has
        """The keyword arguments of the task, to read and to change."""
        return self._held("kwargs", "_kwargs")

    @kwargs.setter
    def kwargs(self, given: Any) -> None:  # noqa: ANN401  # as above
        self._kwargs = given

    @property
    def options(self) -> Any:  # noqa: ANN401  # as above
        """With what its messages are sent, to read and to change."""
        return self._held("options", "_options")

    @options.setter
    def options(self, given: Any) -> None:  # noqa: ANN401  # as above
        self._options = given

    def _held(self, name: str, holder: str) -> Any:  # noqa: ANN401  # as above
        own = vars(self)
        if name in own:
            # Somebody's own code went past the property, as Celery's does.
            own[holder] = own.pop(name)
        if own.get(holder) is None:
            own[holder] = {}
        return own[holder]

    def update(self, other: ScheduleEntry) -> None:
        """See Celery, which goes past the properties."""
        self.task, self.schedule = other.task, other.schedule
        self.args, self.kwargs, self.options = other.args, other.kwargs, other.options

    def __iter__(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]  # celery-types takes it for an iterator
        yield from ((name, value) for name, value in vars(self).items() if name not in _HELD)
        yield "kwargs", self.kwargs
        yield "options", self.options

    def _next_instance(self, last_run_at: datetime | None = None) -> "BeatEntry":
        following: BeatEntry = super()._next_instance(last_run_at)  # type: ignore[misc]  # celery-types lacks it
        following.starts_from = starts_from(self)
        if self.is_copied:
            following.is_copied = True
        return following

    __next__ = next = _next_instance


def options_and_kwargs(entry: ScheduleEntry) -> tuple[Any, Any]:
    """Both of an entry, to read only, None for what is empty: one that has none gets no dictionaries for it."""
    if type(entry) is BeatEntry:
        return entry._options or None, entry._kwargs or None  # noqa: SLF001  # of this module
    return entry.options or None, entry.kwargs or None


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
