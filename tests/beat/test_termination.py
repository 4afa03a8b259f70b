"""A signal that comes in the middle of a tick ends beat, and leaves everything in order."""

import signal
from typing import Any

import pytest
import redis
from celery.apps.beat import Beat
from celery.beat import Service

from packages.infra.beat.scheduler import AdaptiveScheduler
from tests.beat.stepped import Clock, make_app, on_clock, settle
from tests.beat.test_interruptions import entries
from tests.beat.test_scheduler import messages


class Interrupted(AdaptiveScheduler):
    """Gets a SIGTERM while its second message is made: Celery's handler closes the scheduler, and raises."""

    is_lost = False
    made = 0

    def send_task(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # Celery's own signature
        made = super().send_task(*args, **kwargs)
        self.made += 1
        if self.made == 2:
            self.close()
            if not self.is_lost:
                raise SystemExit
        return made


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_signal_in_the_middle_of_a_tick_ends_beat_and_leaves_everything_in_order(
    redis_url: str, *, is_lost: bool
) -> None:
    clock, app = Clock(), make_app(entries("a", "b", "c"), broker=redis_url)
    scheduler = Interrupted(app)
    scheduler.is_lost = is_lost
    on_clock(scheduler, clock)
    with pytest.raises(SystemExit):
        scheduler.tick()
    with redis.Redis.from_url(redis_url) as client:
        # Given back by the handler itself, so that nobody waits for the rest of it.
        assert client.exists("test:beat:lease") == 0
        # Whoever leads now decides what the tick had in hand.
        assert client.llen("celery") == 0
    following = AdaptiveScheduler(app)
    on_clock(following, clock)
    settle(following)
    # As Celery does on its way out.
    scheduler.close()
    assert scheduler._loop is None
    following.close()
    assert sorted(headers["beat_job"] for headers in messages(app, "celery")) == ["a", "b", "c"]


def test_an_end_that_was_lost_between_two_ticks_comes_with_the_next_one(redis_url: str) -> None:
    clock, app = Clock(), make_app(entries("a"), broker=redis_url)
    service = Service(app, scheduler_cls=AdaptiveScheduler)
    scheduler = service.scheduler
    assert isinstance(scheduler, AdaptiveScheduler)
    on_clock(scheduler, clock)
    settle(scheduler)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    Beat(app=app).install_sync_handler(service)
    try:
        handler = signal.getsignal(signal.SIGTERM)
        assert callable(handler)
        # As in a destructor, where Python drops it.
        with pytest.raises(SystemExit):
            handler(signal.SIGTERM, None)
    finally:
        for number, was in before.items():
            signal.signal(number, was)
    with pytest.raises(SystemExit):
        scheduler.tick()
    assert scheduler._loop is None
    scheduler.close()


def test_a_signal_between_two_ticks_keeps_what_is_left_and_gives_the_lease_back(redis_url: str) -> None:
    clock, app = Clock(), make_app(entries("a"), broker=redis_url)
    scheduler = AdaptiveScheduler(app)
    on_clock(scheduler, clock)
    settle(scheduler)
    scheduler.close()
    scheduler.close()
    with redis.Redis.from_url(redis_url) as client:
        assert client.exists("test:beat:lease") == 0
        assert client.hexists("test:beat:state", "a")
    assert len(messages(app, "celery")) == 1
