"""Queues that share workers: of each group what all of its queues have in common is found out once, not once for each.

Decides nothing.
"""

from collections.abc import Collection, Iterable, Mapping

from packages.scheduling.control.controllers import QueueControl
from packages.scheduling.control.shares import ONE
from packages.scheduling.model import Criticality

# Which criticalities have jobs, by queue.
Present = Mapping[str, Collection[Criticality]]


class Group:
    """The queues of one group that have jobs; for one control interval."""

    def __init__(self, queues: Iterable[str], present: Present) -> None:
        self.queues = frozenset(queues)
        self._present = present
        self._having: dict[Criticality, list[str]] = {}
        self._cuttable: dict[Criticality, list[str]] = {}

    def has_jobs(self, queue: str, criticality: Criticality) -> bool:
        """Whether one of its queues has jobs of a criticality."""
        return criticality in self._present[queue]

    def having(self, criticality: Criticality) -> list[str]:
        """Those with jobs of a criticality, by name."""
        if criticality not in self._having:
            self._having[criticality] = sorted(each for each in self.queues if criticality in self._present[each])
        return self._having[criticality]

    def cuttable(self, criticality: Criticality, least: int, seen: Mapping[str, QueueControl]) -> list[str]:
        """Those of them whose rate is above `least`. Who is not is not looked at again: rates are cut, then raised."""
        candidates = self._cuttable.get(criticality)
        found = [
            each
            for each in (self.having(criticality) if candidates is None else candidates)
            if seen[each].rates.get(criticality, ONE) > least
        ]
        self._cuttable[criticality] = found
        return found


def groups_of(seen: Mapping[str, QueueControl], present: Present) -> dict[str, Group]:
    """The group of each queue, one object for all queues that name the same. A queue that names none is alone."""
    known: dict[frozenset[str], Group] = {}
    groups: dict[str, Group] = {}
    for queue, control in seen.items():
        named = control.group if queue in control.group else frozenset({queue})
        if named not in known:
            known[named] = Group(named & seen.keys(), present)
        groups[queue] = known[named]
    return groups
