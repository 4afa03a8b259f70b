"""The jobs of which a fire waits, and how many of them owe one: counted as they come and go, for many may wait."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from packages.scheduling.decision import THROTTLED_BY
from packages.scheduling.instants import NEVER_ENDS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.slot import earliest

if TYPE_CHECKING:
    from packages.scheduling.slot import Slot
    from packages.scheduling.state import JobState
    from packages.scheduling.wake_index import WakeIndex


class WaitingSlots:
    """Those of one engine: by a gate, for a publish to be tried again, or asked for and not looked at yet.

    A state that is put into a slot past `keep` must have open fires for the same reasons as the one before.
    """

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        # Those of them that a throttle holds back.
        self._owing: set[str] = set()
        self._debt: dict[tuple[str, Criticality], int] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> "Iterator[Slot]":
        return iter(self._slots.values())

    @property
    def fires(self) -> int:
        """How many fires wait."""
        return sum(len(slot.state.open) for slot in self)

    @property
    def debt(self) -> Mapping[tuple[str, Criticality], int]:
        """How many jobs owe a fire that a throttle holds back, by queue and criticality."""
        return dict(self._debt)

    def keep(self, slot: "Slot", state: "JobState") -> None:
        """Have the slot go on with this state."""
        slot.state = state
        if state.open:
            self._slots[slot.job.name] = slot
            # Nearly always there is one.
            owes = state.open[0].reason in THROTTLED_BY or any(fire.reason in THROTTLED_BY for fire in state.open[1:])
            if owes is not (slot.job.name in self._owing):
                self._owes(slot.job, 1 if owes else -1)
        elif self._slots:
            self.forget(slot)

    def forget(self, slot: "Slot") -> None:
        """It waits no more; nothing if it did not."""
        self._slots.pop(slot.job.name, None)
        if slot.job.name in self._owing:
            self._owes(slot.job, -1)

    def wake_anew(self, index: "WakeIndex[Slot]", anew: "Callable[[Slot], JobState]") -> "dict[str, JobState]":
        """Have what waits be due as the states have it that `anew` returns; the same one changes nothing.

        Returns the states that changed, in nothing but when that is. No job is looked at later than it would have been.
        """
        changed: dict[str, JobState] = {}
        for slot in self:
            state = anew(slot)
            if state is not slot.state:
                slot.state = changed[slot.job.name] = state
                index.put(slot, earliest(state, NEVER_ENDS if slot.wake is None else slot.wake))
        return changed

    def _owes(self, job: Job, more: int) -> None:
        self._owing.symmetric_difference_update((job.name,))
        kind = job.queue, job.criticality
        self._debt[kind] = self._debt.get(kind, 0) + more
        if not self._debt[kind]:
            del self._debt[kind]
