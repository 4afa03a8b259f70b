"""Beat is ended, or its store is away, while there is something to publish: nothing of it is lost."""

from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from celery.schedules import schedule

from packages.infra.beat.decision_sink import MemoryDecisions
from packages.infra.beat.dispatch import PUBLISHES_FOR_S
from packages.infra.beat.job_schedule import JobSchedule
from packages.infra.beat.readings import NoReadings
from packages.infra.beat.state_store import MemoryStateStore, StoreAwayError
from packages.infra.beat.wiring import Opened
from packages.infra.queue.broker_redis import open_broker_redis
from packages.infra.queue.running import RunningStore
from packages.scheduling.instants import to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import OverlapMode, Policies
from packages.scheduling.triggers.interval import IntervalTrigger
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


def test_beat_ended_in_the_middle_of_a_batch_leaves_no_run_that_holds_the_next_one_back(redis_url: str) -> None:
    clock = Clock(NOON + timedelta(seconds=30))
    app = make_app({name: exclusive(name) for name in ("a", "b", "c")}, broker=redis_url)

    class Ended(Recorder):
        def send_task(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # as above
            if self.sent:
                raise SystemExit
            super().send_task(*args, **kwargs)

    ended = Ended(app)
    on_clock(ended, clock)
    settle(ended)
    a_worker_lives(app, clock)
    clock.to(NOON + timedelta(minutes=1))
    with pytest.raises(SystemExit):
        ended.tick()
    # Killed: nothing more is kept.
    following = recorder(app, clock)
    settle(following)
    assert {*ended.names, *following.names} == {"a", "b", "c"}
    following.close()
    ended.close()


def test_a_run_whose_publish_failed_holds_nothing_back(redis_url: str) -> None:
    clock = Clock(NOON + timedelta(seconds=30))
    app = make_app({"a": exclusive("a")}, broker=redis_url)
    scheduler = recorder(app, clock)
    settle(scheduler)
    a_worker_lives(app, clock)
    scheduler.broken[""] = ValueError("not now")
    clock.to(NOON + timedelta(minutes=1))
    settle(scheduler)
    scheduler.broken.clear()
    clock.to(NOON + timedelta(minutes=2))
    settle(scheduler)
    assert scheduler.names == ["a"]
    scheduler.close()


def exclusive(name: str) -> dict[str, Any]:
    policies = Policies(overlap=OverlapMode.SKIP)
    job = Job(name, f"task.{name}", IntervalTrigger(60_000), "q", Criticality.CRITICAL, policies=policies)
    return {"task": job.task, "schedule": JobSchedule(job)}


def a_worker_lives(app: Celery, clock: Clock) -> None:
    redis = open_broker_redis(app)
    assert redis is not None
    RunningStore(redis).renew({}, now=to_instant(clock.now))
    redis.close()


def test_a_fire_whose_entry_is_gone_is_not_said_to_be_published(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    scheduler = SlowBroker(make_app(entries(*(f"job-{n:02}" for n in range(20)))))
    on_clock(scheduler, clock)
    scheduler.clock = clock
    decisions = MemoryDecisions()
    scheduler.open_for = lambda _: Opened(MemoryStateStore(), decisions, NoReadings(), None)
    scheduler.tick()
    left = {f"job-{n:02}" for n in range(20)} - set(scheduler.names)
    assert left
    for name in left:
        del scheduler.schedule[name]
    with caplog.at_level("INFO"):
        settle(scheduler)
    assert {name for name in left if decisions.read(name)} == set()
    withdrawn = {vars(record)["job"] for record in caplog.records if record.getMessage() == "fire_withdrawn"}
    assert withdrawn == left
    assert left.isdisjoint(scheduler.names)
    scheduler.close()


def test_what_is_left_is_kept_when_beat_ends_although_the_store_was_away(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, _ = world(entries("a"))
    store, decisions = AwayStore(), MemoryDecisions()
    scheduler.open_for = lambda _: Opened(store, decisions, NoReadings(), None)
    store.away = True
    settle(scheduler)
    store.away = False
    scheduler.close()
    assert store.load(["a"])["a"].fired == 1
    assert "errand_failed" in [record.getMessage() for record in caplog.records]


class AwayDecisions(MemoryDecisions):
    """Takes nothing while it is away."""

    away = False

    def record(self, decisions: Any) -> None:  # noqa: ANN401  # as the protocol
        if self.away:
            raise StoreAwayError("gone")
        super().record(decisions)


def test_decisions_are_recorded_later_when_their_store_is_away() -> None:
    scheduler, clock = world(entries("a"))
    decisions = AwayDecisions()
    scheduler.open_for = lambda _: Opened(MemoryStateStore(), decisions, NoReadings(), None)
    decisions.away = True
    run_until(scheduler, clock, clock.now + timedelta(hours=2))
    decisions.away = False
    run_until(scheduler, clock, clock.now + timedelta(hours=1))
    assert len(decisions.read("a")) == 4
    scheduler.close()


def test_a_slow_broker_is_given_less_at_a_time() -> None:
    clock = Clock()
    scheduler = SlowBroker(make_app(entries(*(f"job-{n:03}" for n in range(600)))))
    on_clock(scheduler, clock)
    scheduler.clock = clock
    read_at: list[int] = []

    class Heard(NoReadings):
        def read(self, now: int) -> Any:  # noqa: ANN401  # as the protocol
            read_at.append(len(scheduler.sent))
            return super().read(now)

    scheduler.open_for = lambda _: Opened(MemoryStateStore(), MemoryDecisions(), Heard(), None)
    for _ in range(600):
        scheduler.tick()
    scheduler.close()
    # What an operator says is heard between two batches; the first one was decided before it was known to be slow.
    assert len(scheduler.sent) == 600
    assert read_at[:3] == [0, 250, 275]
