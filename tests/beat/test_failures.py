"""What goes wrong with one entry, or with the broker, stays there and is made up for."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from celery.beat import BeatLazyFunc, ScheduleEntry
from celery.schedules import BaseSchedule, schedstate, schedule
from kombu.exceptions import OperationalError

from packages.infra.beat.celery_host import CeleryHost
from packages.infra.beat.entries.job_schedule import JobSchedule
from packages.infra.beat.messages.fire_ids import task_id_of
from packages.infra.beat.publisher import Accepted, Commit, Committed, Publisher, nobody
from packages.infra.beat.readings import NoReadings
from packages.infra.beat.state_store import MemoryStateStore
from packages.infra.beat.wiring import Opened, opened_with
from packages.infra.ledger.ledger import MemoryLedger
from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.instants import to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import CatchUp, CatchUpMode, Policies
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.stepped import NOON, Clock, Recorder, make_app, on_clock, recorder, run_until, settle

MINUTE = timedelta(minutes=1)
DUE = {"schedule": schedule(timedelta(hours=1)), "last_run_at": NOON - timedelta(hours=1)}


def entries(*names: str, **more: object) -> dict[str, Any]:
    return {name: {"task": f"task.{name}", **DUE, **more} for name in names}


def world(schedules: dict[str, Any]) -> tuple[Recorder, Clock]:
    clock = Clock()
    return recorder(make_app(schedules), clock), clock


class NoBroker(Recorder):
    """Whose broker cannot be reached again while it is away."""

    tries = 0
    attempts = 0

    def send_task(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # Celery's own signature
        self.attempts += 1
        super().send_task(*args, **kwargs)

    def reconnect(self, after: BaseException) -> bool:
        self.tries += isinstance(after, OperationalError)
        return not self.broken


def without_broker(schedules: dict[str, Any]) -> tuple[NoBroker, Clock]:
    clock = Clock()
    scheduler = NoBroker(make_app(schedules))
    on_clock(scheduler, clock)
    scheduler.broken[""] = OperationalError("the broker is away")
    return scheduler, clock


def test_a_broker_that_is_away_loses_no_fire() -> None:
    scheduler, clock = without_broker(entries("a", "b", "c"))
    assert settle(scheduler) <= 1
    # Only the first one is tried while nobody answers.
    assert (scheduler.sent, scheduler.tries) == ([], 1)
    scheduler.broken.clear()
    run_until(scheduler, clock, clock.now + timedelta(seconds=2))
    scheduler.close()
    assert sorted(scheduler.names) == ["a", "b", "c"]
    assert set(scheduler.nominals) == {"2026-01-05T12:00:00.000Z"}


def test_a_fire_keeps_its_id_over_retries() -> None:
    scheduler, clock = without_broker(entries("a"))
    settle(scheduler)
    assert scheduler._loop is not None
    clock.step(timedelta(minutes=1))
    settle(scheduler)
    scheduler.broken.clear()
    run_until(scheduler, clock, clock.now + MINUTE)
    kept = scheduler._loop._opened.ledger.read("a", 20)
    scheduler.close()
    [sent] = scheduler.sent
    assert sent.headers["scheduled_for"] == "2026-01-05T12:00:00.000Z"
    assert sent.options["task_id"] == task_id_of("a", to_instant(NOON), "schedule")
    # Recorded when the broker was back, and once: that it waited, and that it did not for ever.
    assert [(decision.verdict, decision.reason) for decision in kept] == [
        (Verdict.FIRE, Reason.WAITED),
        (Verdict.DEFER, Reason.PUBLISH_FAILED),
    ]


def test_a_broker_that_is_away_is_asked_every_two_seconds_and_with_little(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, clock = without_broker(entries(*(f"job-{n}" for n in range(50))))
    run_until(scheduler, clock, clock.now + timedelta(minutes=30))
    assert 890 < scheduler.tries < 910
    # One message was tried; all the rest was to ask whether the broker is there again.
    assert scheduler.attempts == 1
    with caplog.at_level(logging.INFO):
        scheduler.broken.clear()
        run_until(scheduler, clock, clock.now + timedelta(seconds=2.1))
    assert len(scheduler.sent) == 50
    said = [record for record in caplog.records if record.getMessage() in {"not_published", "published_again"}]
    assert [(record.getMessage(), vars(record)["trouble"]) for record in said] == [
        ("not_published", "unreachable"),
        ("published_again", "unreachable"),
    ]
    assert "publish_failed" not in names_of(caplog.records)
    scheduler.close()


def test_a_fire_that_fails_alone_is_tried_ever_later(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, clock = world(entries("bad", "fine"))
    scheduler.broken["task.bad"] = ValueError("not this one")
    run_until(scheduler, clock, clock.now + timedelta(minutes=30))
    assert scheduler.names == ["fine"]
    failed = [record for record in caplog.records if record.getMessage() == "publish_failed"]
    assert 30 < len(failed) < 70
    assert {vars(record)["job"] for record in failed} == {"bad"}
    assert "not_published" not in names_of(caplog.records)
    scheduler.close()


def test_a_fire_that_cannot_be_published_ends_at_its_deadline() -> None:
    policies = Policies(catch_up=CatchUp(CatchUpMode.LATEST, 120_000))
    job = Job("job", "task.job", IntervalTrigger(3_600_000), "q", Criticality.SHEDDABLE, policies=policies)
    clock = Clock(NOON - timedelta(seconds=30))
    scheduler = NoBroker(make_app({"job": {"task": job.task, "schedule": JobSchedule(job)}}))
    on_clock(scheduler, clock)
    settle(scheduler)
    scheduler.broken[""] = OperationalError("the broker is away")
    run_until(scheduler, clock, NOON + timedelta(minutes=50))
    scheduler.broken.clear()
    run_until(scheduler, clock, NOON + timedelta(minutes=51))
    assert scheduler.sent == []
    assert scheduler._loop is not None
    kept = scheduler._loop._opened.ledger.read("job", 20)
    assert [(decision.verdict, decision.reason) for decision in kept] == [
        (Verdict.SKIP, Reason.STALE),
        (Verdict.DEFER, Reason.PUBLISH_FAILED),
    ]
    scheduler.close()


def test_pending_fires_outlive_the_process() -> None:
    store = MemoryStateStore()

    def open_for(host: CeleryHost) -> Opened:
        return opened_with(host, store=store, ledger=MemoryLedger(), readings=NoReadings())

    first, clock = without_broker(entries("a"))
    first.open_for = open_for
    settle(first)
    first.close()
    clock.step(timedelta(seconds=5))
    second = recorder(make_app(entries("a")), clock)
    second.open_for = open_for
    run_until(second, clock, clock.now + timedelta(seconds=5))
    second.close()
    assert second.nominals == ["2026-01-05T12:00:00.000Z"]


@pytest.mark.parametrize(
    "bad",
    [
        {"args": (BeatLazyFunc(lambda: 1 // 0),)},
        {"options": {"headers": 5}},
        {"options": 5},
        {"schedule": None},
        {"schedule": schedule(timedelta(hours=1)), "last_run_at": "yesterday"},
    ],
)
def test_a_bad_entry_does_not_hold_back_the_others(bad: dict[str, Any]) -> None:
    scheduler, clock = world({**entries("good"), "bad": {"task": "task.bad", **DUE, **bad}, **entries("fine")})
    for _ in range(3):
        run_until(scheduler, clock, clock.now + MINUTE)
    assert sorted(scheduler.names) == ["fine", "good"]
    scheduler.close()


def test_a_message_that_the_broker_refuses_does_not_hold_back_the_others() -> None:
    scheduler, clock = world(entries("bad", "fine"))
    scheduler.broken["task.bad"] = OperationalError("no exchange of that name")
    for _ in range(3):
        run_until(scheduler, clock, clock.now + MINUTE)
    assert scheduler.names == ["fine"]
    scheduler.broken.clear()
    run_until(scheduler, clock, clock.now + MINUTE)
    scheduler.close()
    assert scheduler.names == ["fine", "bad"]


def test_an_argument_that_cannot_be_serialised_does_not_stop_the_others(redis_url: str) -> None:
    from packages.infra.beat.scheduler import AdaptiveScheduler

    clock = Clock()
    app = make_app({**entries("bad", args=(object(),)), **entries("good")}, broker=redis_url)
    scheduler = AdaptiveScheduler(app)
    on_clock(scheduler, clock)
    run_until(scheduler, clock, clock.now + MINUTE)
    scheduler.close()
    with app.connection_for_read() as connection, connection.SimpleQueue("celery") as waiting:
        message = waiting.get(block=False)
        message.ack()
        assert message.headers["beat_job"] == "good"
        with pytest.raises(waiting.Empty):
            waiting.get(block=False)


class Flaky(schedule):
    """An interval that can be estimated, and raises as long as it is told to."""

    error: Exception | None = None

    def remaining_estimate(self, last_run_at: Any) -> timedelta:  # noqa: ANN401  # Celery's own signature
        if self.error is not None:
            raise self.error
        return super().remaining_estimate(last_run_at)


def test_a_schedule_that_raises_is_put_aside_and_retried(caplog: pytest.LogCaptureFixture) -> None:
    Flaky.error = ValueError("no idea")
    try:
        scheduler, clock = world({**entries("good"), "bad": {**entries("bad")["bad"], "schedule": Flaky(3600)}})
        for _ in range(3):
            run_until(scheduler, clock, clock.now + MINUTE)
        assert scheduler.names == ["good"]
        assert scheduler.quarantined["bad"].error == "ValueError: no idea"
        said = [record for record in caplog.records if record.getMessage() == "entry_quarantined"]
        assert [vars(record)["job"] for record in said] == ["bad"]
    finally:
        Flaky.error = None
    with caplog.at_level(logging.INFO):
        run_until(scheduler, clock, clock.now + 2 * MINUTE)
    assert scheduler.names == ["good", "bad"]
    assert scheduler.quarantined == {}
    assert "entry_recovered" in [record.getMessage() for record in caplog.records]
    scheduler.close()


class Silent(BaseSchedule):
    """Raises when it is asked whether it is due."""

    def is_due(self, last_run_at: object) -> schedstate:
        raise RuntimeError("not today" if last_run_at else "")


def test_a_polled_schedule_that_raises_is_put_aside() -> None:
    scheduler, clock = world({**entries("good"), "bad": {"task": "t", "schedule": Silent()}})
    run_until(scheduler, clock, clock.now + 2 * MINUTE)
    assert scheduler.names == ["good"]
    assert scheduler.quarantined["bad"].error == "RuntimeError: not today"
    scheduler.close()


def test_an_entry_whose_name_cannot_be_stored_is_put_aside(redis_url: str) -> None:
    clock = Clock()
    scheduler = recorder(make_app(entries("good", "bad\ud800"), broker=redis_url), clock)
    run_until(scheduler, clock, clock.now + MINUTE)
    assert scheduler.names == ["good"]
    assert set(scheduler.quarantined) == {"bad\ud800"}
    del scheduler.schedule["bad\ud800"]
    scheduler.sent.clear()
    run_until(scheduler, clock, clock.now + timedelta(hours=1))
    assert scheduler.quarantined == {}
    assert scheduler.names == ["good"]
    scheduler.close()


def test_no_entry_at_all_is_put_aside() -> None:
    scheduler, clock = world(entries("good"))
    scheduler.schedule["bad"] = {"not": "an entry"}
    run_until(scheduler, clock, clock.now + MINUTE)
    assert scheduler.names == ["good"]
    assert "bad" in scheduler.quarantined
    del scheduler.schedule["bad"]
    settle(scheduler)
    assert scheduler.quarantined == {}
    scheduler.close()


class Swallows(Recorder):
    """A user's own `apply_entry`, which raises."""

    def apply_entry(self, entry: ScheduleEntry, producer: object = None) -> None:
        if entry.name == "bad":
            raise ValueError("mine")
        super().apply_entry(entry, producer=producer)


def test_an_error_of_a_users_own_hook_is_its_entrys_alone() -> None:
    clock = Clock()
    scheduler = Swallows(make_app(entries("bad", "good")))
    on_clock(scheduler, clock)
    settle(scheduler)
    assert scheduler.names == ["good"]
    scheduler.close()


def names_of(records: Sequence[logging.LogRecord]) -> list[str]:
    return [record.getMessage() for record in records]


def test_an_unforeseen_error_does_not_end_beat(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, _ = world(entries("a"))

    class Broken(NoReadings):
        def read(self, now: int) -> Any:  # noqa: ANN401  # never returns
            raise RuntimeError(f"out of order at {now}")

    scheduler.open_for = lambda host: opened_with(
        host, store=MemoryStateStore(), ledger=MemoryLedger(), readings=Broken()
    )
    assert scheduler.tick() == 1
    assert names_of(caplog.records) == ["tick_failed"]
    scheduler.close()


class Faulty:
    """A publisher with a fault of its own, as long as it is told to."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.is_broken = True

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever a publisher has
        return getattr(self._publisher, name)

    def commit(self, commit: Commit, accepted: Accepted = nobody) -> Committed:
        if self.is_broken:
            raise LookupError("a fault")
        return self._publisher.commit(commit, accepted)


def publish_by(scheduler: Recorder, faulty: type[Faulty]) -> None:
    """Have it publish by a publisher with faults."""

    def open_for(host: CeleryHost) -> Opened:
        opened = opened_with(host, store=MemoryStateStore(), ledger=MemoryLedger(), readings=NoReadings())
        return opened._replace(publisher=faulty(opened.publisher))

    scheduler.open_for = open_for


class FaultyLater(Faulty):
    """Publishes all and tells of the first one, before it fails."""

    def commit(self, commit: Commit, accepted: Accepted = nobody) -> Committed:
        done = self._publisher.commit(commit)
        if self.is_broken and commit.fires:
            accepted([0], done.settled[0].at or 0)
            raise LookupError("a fault")
        return done


def test_what_was_accepted_before_a_fault_stays_so() -> None:
    scheduler, clock = world(entries("a", "b"))
    publish_by(scheduler, FaultyLater)
    settle(scheduler)
    assert scheduler._loop is not None
    assert scheduler._loop.pending == 1
    assert scheduler.metrics.messages == {"accepted": 1, "claimed": 0, "refused": 0, "failed": 1}
    publisher: Any = scheduler._loop._opened.publisher
    publisher.is_broken = False
    run_until(scheduler, clock, clock.now + MINUTE)
    assert scheduler.metrics.messages == {"accepted": 1, "claimed": 1, "refused": 0, "failed": 1}
    assert [scheduler.schedule[name].total_run_count for name in ("a", "b")] == [1, 1]
    scheduler.close()
    assert sorted(scheduler.names) == ["a", "b"]


def test_a_fault_of_the_publisher_loses_no_fire(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, clock = world(entries("a", "b"))
    publish_by(scheduler, Faulty)
    settle(scheduler)
    assert scheduler.sent == []
    assert "commit_failed" in names_of(caplog.records)
    assert scheduler._loop is not None
    publisher: Any = scheduler._loop._opened.publisher
    publisher.is_broken = False
    run_until(scheduler, clock, clock.now + MINUTE)
    scheduler.close()
    assert sorted(scheduler.names) == ["a", "b"]
