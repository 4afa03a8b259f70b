"""Schedules of which only `is_due` knows, and hooks that somebody overrides or patches: all are called."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import BaseSchedule, crontab, schedstate, schedule

from packages.infra.beat.entries.polled import PollTimes
from packages.infra.beat.readings import NoReadings
from packages.infra.beat.state_store import MemoryStateStore
from packages.infra.beat.wiring import opened_with
from packages.infra.ledger.ledger import MemoryLedger
from packages.scheduling.decision import Reason, Verdict
from tests.beat.stepped import NOON, Clock, Recorder, make_app, on_clock, recorder, run_until, settle


class Says(BaseSchedule):
    """Due when `due` says so; asked again after `again_s`."""

    def __init__(self, *, again_s: Any = 1.0, due: bool = False) -> None:  # noqa: ANN401  # wrong ones, too
        super().__init__()
        self.due = due
        self.again_s = again_s
        self.asked: list[datetime] = []

    def is_due(self, last_run_at: datetime) -> schedstate:
        self.asked.append(last_run_at)
        return schedstate(is_due=self.due, next=self.again_s)


def world(when: BaseSchedule, kind: type[Recorder] = Recorder) -> tuple[Recorder, Clock]:
    clock = Clock()
    scheduler = kind(make_app({"job": {"task": "task.job", "schedule": when}}))
    on_clock(scheduler, clock)
    return scheduler, clock


def test_it_fires_when_it_says_so() -> None:
    when = Says()
    scheduler, clock = world(when)
    run_until(scheduler, clock, NOON + timedelta(seconds=10))
    assert scheduler.sent == []
    when.due = True
    run_until(scheduler, clock, NOON + timedelta(seconds=12))
    when.due = False
    run_until(scheduler, clock, NOON + timedelta(seconds=20))
    assert scheduler.nominals == ["2026-01-05T12:00:11.000Z", "2026-01-05T12:00:12.000Z"]
    assert scheduler.schedule["job"].total_run_count == 2
    assert scheduler._loop is not None
    kept = scheduler._loop._opened.ledger.read("job", 20)
    assert {(decision.verdict, decision.reason) for decision in kept} == {(Verdict.FIRE, Reason.ON_TIME)}
    scheduler.close()


@pytest.mark.parametrize(("again_s", "calls"), [(2, 6), (0.5, 21), (None, 1), ("soon", 1), (600, 1)])
def test_it_is_asked_when_it_wants_to_be(again_s: object, calls: int) -> None:
    when = Says(again_s=again_s)
    scheduler, clock = world(when)
    run_until(scheduler, clock, NOON + timedelta(seconds=10))
    scheduler.close()
    assert len(when.asked) == calls


def test_one_that_is_always_due_does_not_make_the_loop_spin() -> None:
    scheduler, clock = world(Says(due=True, again_s=0))
    run_until(scheduler, clock, NOON + timedelta(seconds=1))
    scheduler.close()
    assert len(scheduler.sent) == 101
    assert len(set(scheduler.nominals)) == 101


def test_an_interval_of_nothing_is_always_due() -> None:
    scheduler, clock = world(schedule(0))
    run_until(scheduler, clock, NOON + timedelta(seconds=0.1))
    scheduler.close()
    assert len(scheduler.sent) == 11


class Elsewhere(schedule):
    """An interval with an `is_due` of its own, as many projects have it."""

    def is_due(self, last_run_at: datetime) -> schedstate:
        del last_run_at
        return schedstate(is_due=True, next=5)


class OwnEntry(ScheduleEntry):
    """An entry that asks somebody else."""

    def is_due(self) -> tuple[bool, float]:
        return True, 5


class OwnEntries(Recorder):
    Entry = OwnEntry


class OwnScheduler(Recorder):
    def is_due(self, entry: ScheduleEntry) -> tuple[bool, float]:
        assert entry.name == "job"
        return True, 5


@pytest.mark.parametrize(
    ("when", "kind"),
    [
        (Elsewhere(3600), Recorder),
        (schedule(3600), OwnEntries),
        (crontab(minute=0, hour=0), OwnEntries),
        (schedule(3600), OwnScheduler),
    ],
)
def test_an_overridden_is_due_is_called(when: BaseSchedule, kind: type[Recorder]) -> None:
    scheduler, clock = world(when, kind)
    run_until(scheduler, clock, NOON + timedelta(seconds=12))
    scheduler.close()
    assert scheduler.nominals == [f"2026-01-05T12:00:{second:02}.000Z" for second in (0, 5, 10)]


def test_is_due_patched_onto_a_running_scheduler_is_called() -> None:
    scheduler, clock = world(schedule(3600))
    run_until(scheduler, clock, NOON + timedelta(seconds=10))
    assert scheduler.sent == []
    vars(scheduler)["is_due"] = lambda _: (True, 60)
    run_until(scheduler, clock, NOON + timedelta(seconds=11))
    assert len(scheduler.sent) == 1
    del vars(scheduler)["is_due"]
    run_until(scheduler, clock, NOON + timedelta(hours=1))
    scheduler.close()
    assert scheduler.nominals[1:] == ["2026-01-05T13:00:00.000Z"]


def test_is_due_patched_onto_a_schedule_is_called() -> None:
    when = schedule(3600)
    vars(when)["is_due"] = lambda _: (True, 60)
    scheduler, clock = world(when)
    run_until(scheduler, clock, NOON + timedelta(seconds=10))
    scheduler.close()
    assert len(scheduler.sent) == 1


def test_a_schedule_on_a_clock_of_its_own_is_asked() -> None:
    # Its clock runs a day ahead of beat's, so its first fire is due at once.
    real = schedule(timedelta(hours=1)).now
    when = schedule(timedelta(hours=1), nowfun=lambda: real() + timedelta(days=1))
    scheduler, clock = world(when)
    scheduler.schedule["job"].last_run_at = real()
    settle(scheduler)
    assert len(scheduler.sent) == 1
    run_until(scheduler, clock, NOON + timedelta(seconds=5))
    scheduler.close()


class Patched(Recorder):
    """Notes which of Celery's methods are called on the way of a message."""

    def __init__(self, app: Celery, **kwargs: object) -> None:
        self.called: list[str] = []
        super().__init__(app, **kwargs)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:  # noqa: ANN401  # Celery's own signature
        self.called.append("apply_entry")
        super().apply_entry(entry, producer=producer)

    def apply_async(self, entry: ScheduleEntry, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # as above
        self.called.append("apply_async")
        return super().apply_async(entry, *args, **kwargs)

    def send_task(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # as above
        self.called.append("send_task")
        super().send_task(*args, **kwargs)

    def reserve(self, entry: ScheduleEntry) -> Any:  # noqa: ANN401  # as above
        self.called.append("reserve")
        return super().reserve(entry)


def test_overridden_ways_of_publishing_are_called() -> None:
    scheduler, clock = world(schedule(60), Patched)
    assert isinstance(scheduler, Patched)
    run_until(scheduler, clock, NOON + timedelta(minutes=1))
    scheduler.close()
    assert scheduler.called == ["apply_entry", "apply_async", "send_task", "reserve"]


@pytest.mark.parametrize("method", ["apply_entry", "apply_async", "send_task"])
def test_patched_ways_of_publishing_are_called(method: str) -> None:
    scheduler, clock = world(schedule(60))
    calls: list[object] = []
    vars(scheduler)[method] = lambda *args, **_: calls.append(args[0])
    run_until(scheduler, clock, NOON + timedelta(minutes=1))
    scheduler.close()
    assert len(calls) == 1
    assert scheduler.sent == []


def open_on(store: MemoryStateStore) -> Any:  # noqa: ANN401  # a function
    return lambda host: opened_with(host, store=store, ledger=MemoryLedger(), readings=NoReadings())


def beats_on(url: str, clock: Clock, whens: list[Says], kind: type[Recorder] = Recorder) -> list[Recorder]:
    """Replicas of one beat that have begun; the first one leads."""
    beats = []
    for when in whens:
        scheduler = kind(make_app({"job": {"task": "task.job", "schedule": when}}, broker=url))
        on_clock(scheduler, clock)
        settle(scheduler)
        beats.append(scheduler)
    return beats


def test_of_two_beats_only_the_leader_asks_and_fires(redis_url: str) -> None:
    clock, whens = Clock(), [Says(again_s=5), Says(again_s=5)]
    beats = beats_on(redis_url, clock, whens)
    clock.step(timedelta(seconds=5))
    for when in whens:
        when.due = True
    for scheduler in beats:
        settle(scheduler)
    assert [scheduler.nominals for scheduler in beats] == [["2026-01-05T12:00:05.000Z"], []]
    assert whens[1].asked == []
    for scheduler in beats:
        scheduler.close()


def test_a_store_that_lost_everything_ends_no_polled_entry() -> None:
    store = MemoryStateStore()
    clock = Clock()
    when = Says(due=True, again_s=60)
    scheduler = recorder(make_app({"job": {"task": "task.job", "schedule": when}}), clock)
    scheduler.open_for = open_on(store)
    settle(scheduler)
    store.forget(["job"])
    run_until(scheduler, clock, NOON + timedelta(minutes=1))
    scheduler.close()
    assert scheduler.nominals == ["2026-01-05T12:00:00.000Z", "2026-01-05T12:01:00.000Z"]
    assert store.load(["job"])["job"].fired == 2


def test_a_beat_that_takes_over_asks_at_once_and_knows_the_last_run(redis_url: str) -> None:
    clock, whens = Clock(), [Says(again_s=60), Says(again_s=60)]
    one, other = beats_on(redis_url, clock, whens)
    clock.step(timedelta(minutes=1))
    whens[0].due = whens[1].due = True
    settle(one)
    settle(other)
    one.close()
    clock.step(timedelta(seconds=30))
    settle(other)
    other.close()
    assert (one.nominals, other.nominals) == (["2026-01-05T12:01:00.000Z"], ["2026-01-05T12:01:30.000Z"])
    assert whens[1].asked == [NOON + timedelta(minutes=1)]


class Ended(Recorder):
    """Is killed while it publishes."""

    def send_task(self, *_: object, **__: object) -> None:
        raise SystemExit


def test_a_fire_of_a_beat_that_was_ended_is_seen_by_the_next_one(redis_url: str) -> None:
    clock, whens = Clock(), [Says(due=True, again_s=600), Says(due=True, again_s=600)]
    [app] = [make_app({"job": {"task": "task.job", "schedule": whens[0]}}, broker=redis_url)]
    ended = Ended(app)
    on_clock(ended, clock)
    with pytest.raises(SystemExit):
        ended.tick()
    ended.close()
    [following] = beats_on(redis_url, clock, whens[1:])
    following.close()
    assert following.nominals == ["2026-01-05T12:00:00.000Z"]


def test_the_last_run_is_known_after_a_restart() -> None:
    store = MemoryStateStore()
    clock = Clock()
    when = Says(due=True, again_s=600)
    for _ in range(2):
        scheduler = recorder(make_app({"job": {"task": "task.job", "schedule": when}}), clock)
        scheduler.open_for = open_on(store)
        settle(scheduler)
        scheduler.close()
        clock.step(timedelta(hours=1))
    assert when.asked[1] == NOON


def test_only_the_last_word_on_when_to_ask_counts() -> None:
    polls = PollTimes()
    polls.ask("a", 5)
    polls.ask("a", 9)
    polls.ask("b", 7)
    polls.ask("c", 1)
    polls.drop("c")
    assert polls.next_wake() == 7
    assert polls.take_due(8) == ["b"]
    assert polls.next_wake() == 9
    polls.ask_all(3)
    assert sorted(polls.take_due(3)) == ["a", "b"]
    assert polls.next_wake() is None
    assert "a" in polls
    assert "c" not in polls
