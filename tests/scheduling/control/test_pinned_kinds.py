"""A rate that an operator has pinned is not the control's to find: nothing answers to what it would find for it."""

from packages.scheduling.control.controllers import Controllers
from packages.scheduling.control.policy import BacklogPolicy, ControlPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.control.step import step
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Pin, Reading, Snapshot
from tests.scheduling.control.readings import ALL, waiting
from tests.scheduling.jobs import MIDNIGHT, MINUTE

SHEDDABLE, PLUS, CRITICAL = Criticality.SHEDDABLE, Criticality.SHEDDABLE_PLUS, Criticality.CRITICAL
INTERVAL_MS = ControlPolicy().interval_ms
# An overload is known once its wait has stood for this long.
STANDING = BacklogPolicy().standing_ms // INTERVAL_MS + 1


class Stood:
    """The control of one queue whose messages wait for a minute, from one interval to the next."""

    def __init__(self) -> None:
        self.controllers = Controllers()
        self.now = MIDNIGHT

    def step(self, intervals: int, *pins: Pin, gate: GateMode = GateMode.ENFORCE) -> dict[Criticality, int]:
        """The rates after so many intervals under these pins, whose gate is in this mode."""
        for _ in range(intervals):
            self.now += INTERVAL_MS
            snapshot = Snapshot(
                self.now,
                queues={"area": Reading(waiting(MINUTE), self.now)},
                pins={(pin.queue, pin.criticality): pin for pin in pins},
                gate_modes={"pin": gate},
            )
            self.controllers = step(self.controllers, snapshot, ControlPolicy(), {"area": ALL}, self.now)
        return dict(self.controllers.queues["area"].rates)


def a_pin(criticality: Criticality | None, *, until: int | None = None) -> Pin:
    return Pin("area", criticality, ONE, since=MIDNIGHT, until=until, note="")


def test_another_rate_makes_room_for_the_pinned_one() -> None:
    assert Stood().step(STANDING).keys() == {SHEDDABLE}
    assert Stood().step(STANDING, a_pin(SHEDDABLE)).keys() == {PLUS}


def test_nothing_is_cut_of_a_queue_that_is_pinned_whole_however_long_it_stands() -> None:
    stood = Stood()
    assert stood.step(20 * STANDING, a_pin(None)) == {}
    assert stood.controllers.queues["area"].wait_ms == MINUTE


def test_what_was_found_before_is_forgotten_and_found_anew_behind_the_pin() -> None:
    stood = Stood()
    first = stood.step(STANDING)
    assert stood.step(5 * STANDING)[SHEDDABLE] < first[SHEDDABLE]
    assert SHEDDABLE not in stood.step(1, a_pin(SHEDDABLE))
    pinned = Stood()
    pinned.step(5 * STANDING, a_pin(None))
    assert next(rates for _ in range(STANDING) if (rates := pinned.step(1))) == first


def test_a_pin_that_has_ended_or_is_suspended_leaves_the_rate_to_the_control() -> None:
    assert Stood().step(STANDING, a_pin(SHEDDABLE, until=MIDNIGHT)).keys() == {SHEDDABLE}
    assert Stood().step(STANDING, a_pin(SHEDDABLE), gate=GateMode.OBSERVE).keys() == {SHEDDABLE}
