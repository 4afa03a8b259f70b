"""Queues that share workers: of each group what all of its queues have in common is found out once, not once for each.

Decides nothing.
"""

from collections.abc import Collection, Iterable, Mapping

from packages.scheduling.control.controllers import QueueControl
from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.model import Criticality

# Which criticalities have jobs, by queue.
Present = Mapping[str, Collection[Criticality]]


class Group:
    """The queues of one group that have jobs; for one control interval, all cuts of which are found by one state."""

    def __init__(
        self,
        queues: Iterable[str],
        present: Present,
        seen: Mapping[str, QueueControl],
        policy: BacklogPolicy,
    ) -> None:
        self.queues = frozenset(queues)
        self._present = present
        self._seen = seen
        self._policy = policy
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

    def cuttable(self, criticality: Criticality) -> list[str]:
        """Those of them whose rate is above its least."""
        if criticality not in self._cuttable:
            self._cuttable[criticality] = [
                each
                for each in self.having(criticality)
                if self._seen[each].rates.get(criticality, ONE)
                > self._policy.least_of(criticality, by_length=self._seen[each].by_length)
            ]
        return self._cuttable[criticality]


def groups_of(seen: Mapping[str, QueueControl], present: Present, policy: BacklogPolicy) -> dict[str, Group]:
    """The group of each queue, one object for all queues that name the same. A queue that names none is alone.

    The rates of `seen` must stay as they are until all cuts of the interval are found.
    """
    known: dict[frozenset[str], Group] = {}
    groups: dict[str, Group] = {}
    for queue, control in seen.items():
        named = control.group if queue in control.group else frozenset({queue})
        if named not in known:
            known[named] = Group(named & seen.keys(), present, seen, policy)
        groups[queue] = known[named]
    return groups
