"""A signal that comes in the middle of a tick ends beat, and leaves everything in order."""

from typing import Any

import pytest

from packages.infra.beat.decision_sink import MemoryDecisions
from packages.infra.beat.readings import NoReadings
from packages.infra.beat.state_store import MemoryStateStore
from packages.infra.beat.wiring import Opened
from tests.beat.stepped import Clock, Recorder, make_app, on_clock
from tests.beat.test_interruptions import entries


class Interrupted(Recorder):
    """Gets a SIGTERM while it publishes its second message: Celery's handler closes the scheduler, and raises."""

    is_lost = False

    def send_task(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # as above
        super().send_task(*args, **kwargs)
        if len(self.sent) == 2:
            self.close()
            if not self.is_lost:
                raise SystemExit


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_signal_in_the_middle_of_a_tick_ends_beat_and_leaves_everything_in_order(*, is_lost: bool) -> None:
    clock = Clock()
    store = MemoryStateStore()
    scheduler = Interrupted(make_app(entries("a", "b", "c")))
    scheduler.is_lost = is_lost
    on_clock(scheduler, clock)
    scheduler.open_for = lambda _: Opened(store, MemoryDecisions(), NoReadings(), None)
    with pytest.raises(SystemExit):
        scheduler.tick()
    # As Celery does on its way out.
    scheduler.close()
    kept = {name for name, state in store.load(["a", "b", "c"]).items() if state.fired}
    # Of the one that was interrupted nobody knows whether the broker has it.
    assert kept == ({"a", "b", "c"} if is_lost else {scheduler.names[0]})
    assert scheduler._loop is None
