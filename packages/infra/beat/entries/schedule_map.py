"""The schedule as users see it: an ordinary dict by name, which remembers which of its names were touched."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from celery.beat import ScheduleEntry


class ScheduleMap(dict[Any, ScheduleEntry]):
    """A dict of entries. Whatever way an entry is set or taken out, `take_touched` says so once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # as dict's
        super().__init__(*args, **kwargs)
        self.touched: set[Any] = set(self)

    def take_touched(self) -> set[Any]:
        """The names that were set or deleted since the last call."""
        touched, self.touched = self.touched, set()
        return touched

    def __setitem__(self, name: Any, entry: ScheduleEntry) -> None:  # noqa: ANN401  # as dict's
        self.touched.add(name)
        super().__setitem__(name, entry)

    def __delitem__(self, name: Any) -> None:  # noqa: ANN401  # as dict's
        super().__delitem__(name)
        self.touched.add(name)

    def pop(self, name: Any, *default: Any) -> Any:  # noqa: ANN401  # as dict's
        """See dict."""
        self.touched.add(name)
        return super().pop(name, *default)

    def popitem(self) -> tuple[Any, ScheduleEntry]:
        """See dict."""
        name, entry = super().popitem()
        self.touched.add(name)
        return name, entry

    def clear(self) -> None:
        """See dict."""
        self.touched.update(self)
        super().clear()

    def setdefault(self, name: Any, default: Any = None) -> Any:  # noqa: ANN401  # as dict's
        """See dict."""
        self.touched.add(name)
        return super().setdefault(name, default)

    def update(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # as dict's
        """See dict."""
        given: Mapping[Any, ScheduleEntry] = dict(*args, **kwargs)
        self.touched.update(given)
        super().update(given)

    def __ior__(self, other: Mapping[Any, ScheduleEntry] | Iterable[tuple[Any, ScheduleEntry]]) -> Self:  # type: ignore[override,misc]  # dict's own is overloaded
        self.update(other)
        return self
