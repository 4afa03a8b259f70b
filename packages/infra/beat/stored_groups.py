"""Groups of queues that share workers, as a part of a text: a table of them, and in each queue the number of its own.

Each queue names its whole group: with the names at each, a text would have as many as there are queues, squared.
"""

from collections.abc import Sequence

from packages.infra.beat.stored_values import ForeignValueError

Group = frozenset[str]


class GroupTable:
    """Numbers groups in the order in which they are asked for: asked in one order, equal groups make equal tables."""

    def __init__(self) -> None:
        self._numbers: dict[Group, int] = {}

    def number(self, group: Group) -> int | None:
        """The number of a group; None for the empty one, which is not written."""
        return self._numbers.setdefault(group, len(self._numbers)) if group else None

    @property
    def plain(self) -> list[list[str]]:
        """The table as what JSON knows."""
        return [sorted(group) for group in self._numbers]


def groups_of_plain(raw: object) -> tuple[Group, ...]:
    """The groups of a table that was `plain`, by number.

    Raises:
        ForeignValueError: it is no such thing.
    """
    if not isinstance(raw, list) or not all(isinstance(group, list) for group in raw):
        raise ForeignValueError(f"{raw!r} is no table of groups")
    if not all(isinstance(name, str) for group in raw for name in group):
        raise ForeignValueError("the name of a queue in a group is no text")
    return tuple(map(frozenset, raw))


def group_of(number: object, groups: Sequence[Group]) -> Group:
    """The group of this number, the one object for all that ask; the empty one for None.

    Raises:
        ForeignValueError: there is none.
    """
    if number is None:
        return frozenset()
    # A truth value is a number to Python.
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(groups):
        raise ForeignValueError(f"{number!r} is the number of no group")
    return groups[number]
