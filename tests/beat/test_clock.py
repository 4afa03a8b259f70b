"""Clocks that jump, in either direction: no storm, and no silence."""

import logging
from datetime import timedelta

import pytest
from celery.schedules import crontab, schedule

from packages.infra.beat.celery_host import CeleryHost
from packages.infra.beat.clock_watch import TOLERANCE_S, ClockWatch
from packages.infra.beat.readings import NoReadings
from packages.infra.beat.state_store import MemoryStateStore
from packages.infra.beat.wiring import Opened, opened_with
from packages.infra.ledger.ledger import MemoryLedger
from tests.beat.stepped import NOON, Clock, Recorder, make_app, recorder, run_until, settle
from tests.beat.test_polled import Says

SCHEDULES = {
    "interval": {"task": "t", "schedule": schedule(timedelta(minutes=10))},
    "cron": {"task": "t", "schedule": crontab(minute="*/10")},
}


def running() -> tuple[Recorder, Clock]:
    clock = Clock()
    scheduler = recorder(make_app(SCHEDULES), clock)
    run_until(scheduler, clock, NOON + timedelta(minutes=31))
    scheduler.sent.clear()
    return scheduler, clock


def jump(clock: Clock, duration: timedelta) -> None:
    clock.now += duration
    clock.monotonic_s += 0.5


def test_a_clock_that_is_set_back_goes_on_at_its_new_time(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, clock = running()
    jump(clock, -timedelta(hours=5))
    settle(scheduler)
    assert scheduler.sent == []
    run_until(scheduler, clock, clock.now + timedelta(minutes=10))
    scheduler.close()
    assert sorted(scheduler.names) == ["cron", "interval"]
    assert set(scheduler.nominals) == {"2026-01-05T07:40:00.000Z"}
    # Fires that the same nominals had before are others.
    assert {sent.headers["beat_origin"] for sent in scheduler.sent} == {"clock:1"}
    said = [record for record in caplog.records if record.getMessage() == "clock_set_back"]
    assert [vars(record)["seconds"] for record in said] == [18000.5]


def test_a_clock_that_is_set_forward_fires_once(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, clock = running()
    jump(clock, timedelta(hours=5))
    settle(scheduler)
    assert sorted(scheduler.names) == ["cron", "interval"]
    assert set(scheduler.nominals) == {"2026-01-05T17:30:00.000Z"}
    run_until(scheduler, clock, clock.now + timedelta(minutes=9))
    scheduler.close()
    assert len(scheduler.sent) == 4
    assert "clock_set_forward" in [record.getMessage() for record in caplog.records]


def test_a_clock_that_is_set_back_while_no_beat_runs() -> None:
    clock, store = Clock(), MemoryStateStore()

    def open_for(host: CeleryHost) -> Opened:
        return opened_with(host, store=store, ledger=MemoryLedger(), readings=NoReadings())

    scheduler = recorder(make_app(SCHEDULES), clock)
    scheduler.open_for = open_for
    run_until(scheduler, clock, NOON + timedelta(minutes=31))
    scheduler.close()
    clock.now -= timedelta(hours=5)
    following = recorder(make_app(SCHEDULES), clock)
    following.open_for = open_for
    run_until(following, clock, clock.now + timedelta(minutes=10))
    following.close()
    assert set(following.nominals) == {"2026-01-05T07:40:00.000Z"}
    assert {sent.headers["beat_origin"] for sent in following.sent} == {"clock:1"}


def test_a_polled_schedule_is_asked_at_once_after_the_clock_was_set_back() -> None:
    clock, when = Clock(), Says(again_s=60)
    scheduler = recorder(make_app({"job": {"task": "t", "schedule": when}}), clock)
    settle(scheduler)
    jump(clock, -timedelta(hours=1))
    settle(scheduler)
    scheduler.close()
    assert len(when.asked) == 2


@pytest.mark.parametrize(
    ("wall_s", "monotonic_s", "jump_s"),
    [(60, 60, 0), (60.9, 60, 0), (59.1, 60, 0), (62, 60, 2), (58, 60, -2), (-3540, 60, -3600), (3660, 60, 3600)],
)
def test_a_jump_is_what_the_two_clocks_differ_by(wall_s: float, monotonic_s: float, jump_s: float) -> None:
    watch = ClockWatch()
    assert watch.jump_s(1_000_000.0, 50.0) == 0
    assert watch.jump_s(1_000_000.0 + wall_s, 50.0 + monotonic_s) == pytest.approx(jump_s)
    # It is said once.
    assert watch.jump_s(1_000_001.0 + wall_s, 51.0 + monotonic_s) == 0


def test_a_clock_that_creeps_is_no_jump(caplog: pytest.LogCaptureFixture) -> None:
    watch = ClockWatch()
    with caplog.at_level(logging.INFO):
        assert {watch.jump_s(n * (1 + TOLERANCE_S / 2), float(n)) for n in range(100)} == {0.0}
