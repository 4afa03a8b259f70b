"""Beat is ended, or its store is away, while there is something to publish: nothing of it is lost."""

from datetime import timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from celery.schedules import BaseSchedule, schedstate, schedule
from celery.signals import after_task_publish, before_task_publish

from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.beat.readings import NoReadings
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.infra.beat.state_store import MemoryStateStore, StoreAwayError
from packages.infra.beat.wiring import opened_with
from packages.infra.ledger.ledger import MemoryLedger
from packages.infra.queue.broker_redis import open_broker_redis
from packages.infra.queue.running import RunningStore
from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.instants import to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import OverlapMode, Policies, TradingHours, UnknownDates
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.stepped import NOON, Clock, Recorder, make_app, on_clock, recorder, run_until, settle
from tests.beat.test_scheduler import messages

DUE = {"schedule": schedule(timedelta(hours=1)), "last_run_at": NOON - timedelta(hours=1)}


def entries(*names: str) -> dict[str, Any]:
    return {name: {"task": f"task.{name}", **DUE} for name in names}


def world(schedules: dict[str, Any]) -> tuple[Recorder, Clock]:
    clock = Clock()
    return recorder(make_app(schedules), clock), clock


# Nobody knows the calendar, and such a job stays closed then.
SKIPS = Policies(trading_hours=TradingHours(("XNYS",), unknown=UnknownDates.FAIL_CLOSED))


class AwayStore(MemoryStateStore):
    """Takes nothing while it is away."""

    away = False
    writes = 0

    def save(self, changes: Any) -> None:  # noqa: ANN401  # as the protocol
        if self.away:
            raise StoreAwayError("gone")
        self.writes += 1
        super().save(changes)


def test_what_went_out_is_kept_later_when_the_store_is_away(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, clock = world(entries("a"))
    store = AwayStore()
    scheduler.open_for = lambda host: opened_with(host, store=store, ledger=MemoryLedger(), readings=NoReadings())
    store.away = True
    run_until(scheduler, clock, clock.now + timedelta(hours=2))
    # What cannot be noted is not published: nobody would know whether it was.
    assert scheduler.nominals == ["2026-01-05T12:00:00.000Z"]
    assert store.load(["a"]) == {}
    store.away = False
    run_until(scheduler, clock, clock.now + timedelta(hours=1))
    # As Celery does, of what was missed the last one is made up for; the one that went out is not sent again.
    assert scheduler.nominals[1:] == ["2026-01-05T14:00:00.000Z", "2026-01-05T15:00:00.000Z"]
    state = store.load(["a"])["a"]
    assert (state.watermark, state.open) == (to_instant(NOON + timedelta(hours=3)), ())
    assert [record.getMessage() for record in caplog.records].count("not_published") == 1
    scheduler.close()


class SlowBroker(Recorder):
    """Takes a tenth of a second for each message."""

    clock: Clock

    def send_task(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # Celery's own signature
        super().send_task(*args, **kwargs)
        self.clock.step(timedelta(seconds=0.1))


def test_a_long_batch_is_kept_step_by_step() -> None:
    clock = Clock()
    names = [f"job-{n:02}" for n in range(20)]
    store = AwayStore()
    kept: list[tuple[int, int]] = []

    class Slow(Recorder):
        def send_task(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # as above
            kept.append((len(store.load(names)), len(self.sent)))
            super().send_task(*args, **kwargs)
            clock.step(timedelta(seconds=1))

    scheduler = Slow(make_app(entries(*names)))
    on_clock(scheduler, clock)
    scheduler.open_for = lambda host: opened_with(host, store=store, ledger=MemoryLedger(), readings=NoReadings())
    settle(scheduler)
    scheduler.close()
    assert sorted(scheduler.names) == names
    # Of those that were not sent yet nothing says that they were, and of those that were little is left to be said.
    assert all(sent - 3 <= done <= sent for done, sent in kept)


def on_redis(kind: type[AdaptiveScheduler], app: Celery, clock: Clock) -> AdaptiveScheduler:
    scheduler = kind(app)
    on_clock(scheduler, clock)
    return scheduler


class EndedBeforeTheCommit(AdaptiveScheduler):
    """Is ended while its third message is made."""

    made = 0

    def send_task(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # Celery's own signature
        self.made += 1
        if self.made == 3:
            raise SystemExit
        return super().send_task(*args, **kwargs)


class EndedAfterTheCommit(AdaptiveScheduler):
    """Is ended when it tells the first of those who want to hear of a published message."""

    def __init__(self, app: Celery, **kwargs: object) -> None:
        super().__init__(app, **kwargs)
        after_task_publish.connect(self._end)

    def _end(self, **_: object) -> None:
        after_task_publish.disconnect(self._end)
        raise SystemExit


@pytest.mark.parametrize("kind", [EndedBeforeTheCommit, EndedAfterTheCommit])
def test_beat_ended_in_the_middle_of_a_batch_loses_nothing_and_sends_nothing_twice(
    redis_url: str, kind: type[AdaptiveScheduler]
) -> None:
    clock = Clock()
    app = make_app(entries("a", "b", "c", "d"), broker=redis_url)
    ended = on_redis(kind, app, clock)
    with pytest.raises(SystemExit):
        ended.tick()
    # Without the last of it, as when it is killed; the lease ends by itself.
    with redis.Redis.from_url(redis_url) as client:
        client.delete("test:beat:lease")
    following = on_redis(AdaptiveScheduler, app, clock)
    settle(following)
    following.close()
    ended.close()
    assert sorted(headers["beat_job"] for headers in messages(app, "celery")) == ["a", "b", "c", "d"]


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
    scheduler.open_for = lambda host: opened_with(host, store=store, ledger=MemoryLedger(), readings=Readings())
    with pytest.raises(SystemExit):
        scheduler.tick()
    assert closed == []
    scheduler.close()
    scheduler.close()
    assert closed == [True]


@pytest.mark.parametrize("kind", [EndedBeforeTheCommit, EndedAfterTheCommit])
def test_beat_ended_in_the_middle_of_a_batch_leaves_no_run_that_holds_the_next_one_back(
    redis_url: str, kind: type[AdaptiveScheduler]
) -> None:
    clock = Clock(NOON + timedelta(seconds=30))
    app = make_app({name: exclusive(name) for name in ("a", "b", "c")}, broker=redis_url)
    ended = on_redis(kind, app, clock)
    settle(ended)
    a_worker_lives(app, clock)
    clock.to(NOON + timedelta(minutes=1))
    with pytest.raises(SystemExit):
        ended.tick()
    with redis.Redis.from_url(redis_url) as client:
        client.delete("test:beat:lease")
    following = on_redis(AdaptiveScheduler, app, clock)
    settle(following)
    assert sorted(headers["beat_job"] for headers in messages(app, "celery")) == ["a", "b", "c"]
    # And each that was published counts, whoever published it.
    clock.to(NOON + timedelta(minutes=2))
    settle(following)
    assert messages(app, "celery") == []
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


class Removes(BaseSchedule):
    """Takes another entry out of the schedule when it is asked whether it is due."""

    scheduler: Recorder | None = None

    def is_due(self, last_run_at: object) -> schedstate:
        if self.scheduler is not None and last_run_at is not None:
            self.scheduler.schedule.pop("gone", None)
        return schedstate(is_due=False, next=60)


def test_a_fire_whose_entry_is_gone_is_withdrawn(caplog: pytest.LogCaptureFixture) -> None:
    when = Removes()
    scheduler, clock = world({**entries("gone", "kept"), "removes": {"task": "t", "schedule": when}})
    decisions = MemoryLedger()
    scheduler.open_for = lambda host: opened_with(
        host, store=MemoryStateStore(), ledger=decisions, readings=NoReadings()
    )
    when.scheduler = scheduler
    with caplog.at_level("INFO"):
        settle(scheduler)
    assert scheduler.names == ["kept"]
    [decision] = decisions.read("gone", 20)
    assert (decision.verdict, decision.reason) == (Verdict.SKIP, Reason.WITHDRAWN)
    said = [vars(record) for record in caplog.records if record.getMessage() == "decision"]
    assert sorted((line["job"], line["reason"]) for line in said) == [("gone", "withdrawn"), ("kept", "on_time")]
    run_until(scheduler, clock, clock.now + timedelta(hours=2))
    assert "gone" not in scheduler.names
    scheduler.close()


def test_what_is_left_is_kept_when_beat_ends_although_the_store_was_away(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, _ = world(entries("a"))
    store, decisions = AwayStore(), MemoryLedger()
    scheduler.open_for = lambda host: opened_with(host, store=store, ledger=decisions, readings=NoReadings())
    store.away = True
    settle(scheduler)
    store.away = False
    scheduler.close()
    assert store.load(["a"])["a"].fired == 1
    assert [decision.verdict for decision in decisions.read("a", 20)] == [Verdict.FIRE]
    assert "not_published" in [record.getMessage() for record in caplog.records]


class Syncing(AdaptiveScheduler):
    """Celery calls `sync` from within `apply_async` now and then; here each time."""

    def should_sync(self) -> bool:
        return True


def test_a_sync_in_the_middle_of_a_commit_leaves_it_alone(redis_url: str) -> None:
    clock = Clock()
    job = Job("skips", "t", IntervalTrigger(60_000), "q", Criticality.CRITICAL, policies=SKIPS)
    whole = {**entries("a", "b"), "skips": {"task": "t", "schedule": JobSchedule(job)}}
    app = make_app(whole, broker=redis_url)
    # Somebody wants a word in each message, so Celery makes all of them.
    before_task_publish.connect(_heard)
    try:
        scheduler = on_redis(Syncing, app, clock)
        settle(scheduler)
        clock.step(timedelta(hours=1))
        settle(scheduler)
        assert scheduler._loop is not None
        kept = scheduler._loop._opened.ledger.read(None, 50)
        scheduler.close()
    finally:
        before_task_publish.disconnect(_heard)
    assert sorted(headers["beat_job"] for headers in messages(app, "celery")) == ["a", "a", "b", "b"]
    fires = [(decision.job, decision.nominal, decision.verdict) for decision in kept]
    assert {verdict for _, _, verdict in fires} == {Verdict.FIRE, Verdict.SKIP}
    assert len(set(fires)) == len(fires)


def _heard(**_: object) -> None:
    """Hears of each message."""


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

    scheduler.open_for = lambda host: opened_with(
        host, store=MemoryStateStore(), ledger=MemoryLedger(), readings=Heard()
    )
    for _ in range(600):
        scheduler.tick()
    scheduler.close()
    # What an operator says is heard between two batches; the first one was decided before it was known to be slow.
    assert len(scheduler.sent) == 600
    assert read_at[:6] == [0, 250, 375, 437, 468, 493]


def test_long_messages_go_out_a_few_at_a_time(redis_url: str) -> None:
    clock = Clock()
    long = {
        name: {**entry, "args": ("x" * 700_000,)} for name, entry in entries(*(f"job-{n}" for n in range(12))).items()
    }
    app = make_app(long, broker=redis_url)
    scheduler = on_redis(AdaptiveScheduler, app, clock)
    settle(scheduler)
    scheduler.close()
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("celery") == 12
        # Of about a million characters each.
        assert int(client.hget("test:beat:counters", "commits")) >= 3
