"""The names of the jobs, and under which key of the schedule the entry of each stands."""

from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

_AT_ONCE: Final = 1_000


def name_of(key: Any) -> str:  # noqa: ANN401  # Celery takes anything as a name
    """The name of the job of an entry: the entry's own, as text."""
    return key if isinstance(key, str) else repr(key)


def in_parts(names: Iterable[Any], at_once: int = _AT_ONCE) -> Iterator[list[Any]]:
    """Some at a time: to work on a hundred thousand at once would take their memory twice."""
    rest = iter(names)
    while part := list(islice(rest, at_once)):
        yield part


class Keys:
    """The key of each job by its name. Nearly every one is the name itself, so only the others are kept."""

    def __init__(self) -> None:
        self._others: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  # as above
        return self._others.get(name, name)

    # Never None.
    get = __getitem__

    def names_in(self, schedule: Mapping[Any, object]) -> Container[str]:
        """The names of all entries of a schedule, whose keys were noted."""
        return {name_of(key) for key in schedule} if self._others else schedule.keys()

    def note(self, key: Any) -> None:  # noqa: ANN401  # as above
        """There is an entry under this key."""
        name = name_of(key)
        if name is not key:
            self._others[name] = key
        elif self._others:
            self._others.pop(name, None)

    def drop(self, name: str) -> None:
        """There is none any more."""
        self._others.pop(name, None)
