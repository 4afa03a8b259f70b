"""Beat is ended, or its store is away, while there is something to publish: nothing of it is lost."""

from datetime import timedelta
from typing import Any

import pytest
from celery.schedules import schedule

from packages.infra.beat.decision_sink import MemoryDecisions
from packages.infra.beat.dispatch import PUBLISHES_FOR_S
from packages.infra.beat.readings import NoReadings
from packages.infra.beat.state_store import MemoryStateStore, StoreAwayError
from packages.infra.beat.wiring import Opened
from tests.beat.stepped import NOON, Clock, Recorder, make_app, on_clock, recorder, run_until, settle

DUE = {"schedule": schedule(timedelta(hours=1)), "last_run_at": NOON - timedelta(hours=1)}


def entries(*names: str) -> dict[str, Any]:
    return {name: {"task": f"task.{name}", **DUE} for name in names}


def world(schedules: dict[str, Any]) -> tuple[Recorder, Clock]:
    clock = Clock()
    return recorder(make_app(schedules), clock), clock


class AwayStore(MemoryStateStore):
    """Takes nothing while it is away."""

    away = False
    writes = 0

    def save(self, changes: Any) -> None:  # noqa: ANN401  # as the protocol
        if self.away:
            raise StoreAwayError("gone")
        self.writes += 1
        super().save(changes)


def test_states_are_kept_later_when_the_store_is_away(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, clock = world(entries("a"))
    store = AwayStore()
    scheduler.open_for = lambda _: Opened(store, MemoryDecisions(), NoReadings(), None)
    store.away = True
    run_until(scheduler, clock, clock.now + timedelta(hours=2))
    assert len(scheduler.sent) == 3
    assert store.load(["a"]) == {}
    store.away = False
    run_until(scheduler, clock, clock.now + timedelta(hours=1))
    state = store.load(["a"])["a"]
    assert (state.fired, state.open) == (4, ())
    assert [record.getMessage() for record in caplog.records].count("errand_failed") == 1
    scheduler.close()


class SlowBroker(Recorder):
    """Takes a tenth of a second for each message."""

    clock: Clock

    def send_task(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # Celery's own signature
        super().send_task(*args, **kwargs)
        self.clock.step(timedelta(seconds=0.1))


def test_a_long_batch_is_sent_in_rounds_and_kept_step_by_step() -> None:
    clock = Clock()
    names = [f"job-{n:02}" for n in range(20)]
    store = AwayStore()
    scheduler = SlowBroker(make_app(entries(*names)))
    on_clock(scheduler, clock)
    scheduler.clock = clock
    scheduler.open_for = lambda _: Opened(store, MemoryDecisions(), NoReadings(), None)
    assert scheduler.tick() == 0
    first_round = len(scheduler.sent)
    assert first_round == pytest.approx(PUBLISHES_FOR_S / 0.1, abs=1)
    # Of those that were not sent yet nothing says that they were.
    assert sorted(store.load(names)) == sorted(scheduler.names)
    settle(scheduler)
    scheduler.close()
    assert sorted(scheduler.names) == names


def test_beat_ended_in_the_middle_of_a_batch_loses_nothing() -> None:
    clock = Clock()
    store = MemoryStateStore()

    class Ended(Recorder):
        def send_task(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # as above
            if len(self.sent) == 2:
                raise SystemExit
            super().send_task(*args, **kwargs)

    def begin(kind: type[Recorder]) -> Recorder:
        scheduler = kind(make_app(entries("a", "b", "c", "d")))
        on_clock(scheduler, clock)
        scheduler.open_for = lambda _: Opened(store, MemoryDecisions(), NoReadings(), None)
        return scheduler

    ended = begin(Ended)
    with pytest.raises(SystemExit):
        ended.tick()
    ended.close()
    following = begin(Recorder)
    settle(following)
    following.close()
    assert sorted([*ended.names, *following.names]) == ["a", "b", "c", "d"]


def test_the_close_of_a_signal_handler_touches_nothing_that_the_tick_has_in_hand() -> None:
    clock = Clock()
    closed: list[bool] = []

    class Store(MemoryStateStore):
        def save(self, changes: Any) -> None:  # noqa: ANN401  # as the protocol
            assert scheduler.in_handler is False, "this may be the very connection that the tick waits on"
            super().save(changes)

    class Readings(NoReadings):
        def close(self) -> None:
            assert scheduler.in_handler is False
            closed.append(True)

    class Signalled(Recorder):
        in_handler = False

        def send_task(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # Celery's own signature
            super().send_task(*args, **kwargs)
            self.in_handler = True
            self.close()
            self.in_handler = False
            raise SystemExit

    store = Store()
    scheduler = Signalled(make_app(entries("a", "b")))
    on_clock(scheduler, clock)
    scheduler.open_for = lambda _: Opened(store, MemoryDecisions(), Readings(), None)
    with pytest.raises(SystemExit):
        scheduler.tick()
    assert closed == []
    scheduler.close()
    scheduler.close()
    assert closed == [True]
