"""The adaptive control goes on where it was: at a takeover, at a restart, and when the server has forgotten it."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import redis

from packages.infra.beat.keeping_control import still_says_something
from packages.infra.beat.lease import ASKED_EVERY_S
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.infra.beat.stored_controllers import controllers_of
from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.telemetry.beat_metrics import NO_CONTROL
from packages.scheduling.control.controllers import NEUTRAL, Controllers
from packages.scheduling.instants import HOUR_MS, to_instant
from packages.scheduling.model import Criticality
from tests.beat.controlled import DRAINS, POLICY, QUEUE, STANDS, Told, controlled, controlled_app, job
from tests.beat.stepped import NOON, Clock, run_until, settle

KEY = "test:beat:controllers"
MINUTE = timedelta(minutes=1)

Begin = Callable[[], AdaptiveScheduler]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as opened:
        yield opened


@pytest.fixture
def begin(redis_url: str, clock: Clock, told: Told) -> Iterator[Begin]:
    """Begins a replica, and closes it when all is over."""
    app = controlled_app(redis_url)
    begun: list[AdaptiveScheduler] = []

    def beginning() -> AdaptiveScheduler:
        scheduler = controlled(app, clock, told)
        settle(scheduler)
        begun.append(scheduler)
        return scheduler

    yield beginning
    for scheduler in begun:
        scheduler.close()


def state_of(scheduler: AdaptiveScheduler) -> Controllers:
    assert scheduler._loop is not None
    return scheduler._loop._engine.controllers


def kept(client: redis.Redis) -> Controllers | None:
    text = client.get(KEY)
    assert text is None or isinstance(text, bytes)
    return None if text is None else controllers_of(text)


def sheddable_rate(controllers: Controllers) -> int | None:
    control = controllers.queues.get(QUEUE)
    return None if control is None else control.rates.get(Criticality.SHEDDABLE)


def throttled(begin: Begin, clock: Clock) -> AdaptiveScheduler:
    scheduler = begin()
    run_until(scheduler, clock, NOON + 2 * MINUTE)
    assert state_of(scheduler).throttles
    return scheduler


def test_a_follower_that_takes_over_goes_on_with_the_rates_of_the_leader(
    begin: Begin, clock: Clock, client: redis.Redis
) -> None:
    leader, follower = throttled(begin, clock), begin()
    left = state_of(leader)
    assert kept(client) == left
    assert state_of(follower) == NEUTRAL
    leader.close()
    clock.step(timedelta(seconds=ASKED_EVERY_S))
    settle(follower)
    # Within the same interval it has learnt nothing of its own yet.
    assert state_of(follower) == left
    run_until(follower, clock, NOON + 2 * MINUTE + timedelta(seconds=60))
    rate, before = sheddable_rate(state_of(follower)), sheddable_rate(left)
    assert rate is not None
    assert before is not None
    assert rate < before
    assert kept(client) == state_of(follower)


def test_a_restart_goes_on_with_the_rates_and_the_turns(begin: Begin, clock: Clock) -> None:
    first = throttled(begin, clock)
    left, credits_left = state_of(first), credits_of(first)
    assert any(credit is not None for credit in credits_left.values())
    first.close()
    clock.step(timedelta(seconds=1))
    second = begin()
    assert (state_of(second), credits_of(second)) == (left, credits_left)


def test_only_who_goes_on_with_something_asks_before_its_first_tick(begin: Begin, clock: Clock, told: Told) -> None:
    told.reading = DRAINS
    begin().close()
    clock.step(timedelta(seconds=1))
    calm = begin()
    assert state_of(calm).queues
    calm.close()
    assert told.looked_at == []
    told.reading = STANDS
    standing = begin()
    run_until(standing, clock, NOON + timedelta(seconds=30))
    assert not state_of(standing).throttles
    standing.close()
    begin()
    assert told.looked_at == [to_instant(clock.now)]


def credits_of(scheduler: AdaptiveScheduler) -> dict[str, int | None]:
    assert scheduler._loop is not None
    engine = scheduler._loop._engine
    return {name: engine.state(name).credit for name in engine.names}


def test_what_was_learnt_long_ago_says_nothing_now(begin: Begin, clock: Clock, told: Told) -> None:
    throttled(begin, clock).close()
    clock.step(timedelta(minutes=11))
    told.reading = DRAINS
    later = begin()
    assert not state_of(later).throttles


MOST_MS = 10 * POLICY.backlog.standing_ms


@pytest.mark.parametrize("away_ms", [0, 200_000, -200_000, MOST_MS, -MOST_MS])
def test_it_says_something_for_ten_times_as_long_as_a_wait_has_to_stand(away_ms: int) -> None:
    assert still_says_something(Controllers(stepped_at=1_000_000), POLICY, 1_000_000 + away_ms)


@pytest.mark.parametrize("stepped_at", [None, 1_000_000 - MOST_MS - 1, 1_000_000 + MOST_MS + 1])
def test_it_says_nothing_after_that_or_without_a_time(stepped_at: int | None) -> None:
    assert not still_says_something(Controllers(stepped_at=stepped_at), POLICY, 1_000_000)


@pytest.mark.parametrize("text", [b"not ours", b'{"v":99}', b'{"v":1,"queues":{"q":{"rates":{"sheddable":"half"}}}}'])
def test_a_text_that_is_not_ours_is_put_aside_and_the_control_begins_afresh(
    begin: Begin, clock: Clock, client: redis.Redis, caplog: pytest.LogCaptureFixture, text: bytes
) -> None:
    client.set(KEY, text)
    with caplog.at_level(logging.WARNING):
        scheduler = begin()
    assert not state_of(scheduler).throttles
    assert client.get(f"{KEY}:quarantine") == text
    assert [vars(r)["key"] for r in caplog.records if r.getMessage() == "stored_value_quarantined"] == [KEY]
    run_until(scheduler, clock, NOON + 2 * MINUTE)
    assert state_of(scheduler).throttles
    assert kept(client) == state_of(scheduler)


def test_a_server_that_forgot_everything_is_told_anew_by_the_one_that_leads_on(
    begin: Begin, clock: Clock, client: redis.Redis
) -> None:
    leader = throttled(begin, clock)
    client.flushall()
    clock.step(timedelta(seconds=3))
    run_until(leader, clock, NOON + 2 * MINUTE + timedelta(seconds=10))
    assert kept(client) == state_of(leader)
    assert state_of(leader).throttles


def test_a_follower_on_a_server_that_forgot_everything_begins_afresh(
    begin: Begin, clock: Clock, client: redis.Redis
) -> None:
    leader, follower = throttled(begin, clock), begin()
    client.flushall()
    clock.step(timedelta(seconds=ASKED_EVERY_S))
    settle(follower)
    assert not state_of(follower).throttles
    settle(leader)


def test_while_nothing_is_due_what_is_throttled_is_kept_and_what_is_not_waits_for_a_fire(
    redis_url: str, clock: Clock, told: Told, client: redis.Redis
) -> None:
    hourly = job("hourly", Criticality.SHEDDABLE, period_ms=HOUR_MS)
    scheduler = controlled(controlled_app(redis_url, jobs={"hourly": hourly}), clock, told)
    clock.step(timedelta(seconds=1))
    settle(scheduler)
    begun = kept(client)
    for _ in range(24):
        clock.step(timedelta(seconds=5))
        settle(scheduler)
        assert kept(client) == (state_of(scheduler) if state_of(scheduler).throttles else begun)
    assert state_of(scheduler).throttles
    scheduler.close()


def test_a_policy_that_is_taken_away_leaves_nothing_throttled(
    redis_url: str, clock: Clock, told: Told, client: redis.Redis
) -> None:
    app = controlled_app(redis_url)
    scheduler = controlled(app, clock, told)
    run_until(scheduler, clock, NOON + 2 * MINUTE)
    assert state_of(scheduler).throttles
    app.conf.beat_control.policy = None
    clock.step(timedelta(seconds=1))
    settle(scheduler)
    scheduler.close()
    assert kept(client) == NEUTRAL


def test_without_a_control_nothing_is_asked_for_and_nothing_kept(
    redis_url: str, clock: Clock, told: Told, client: redis.Redis
) -> None:
    client.set(KEY, "whatever")
    scheduler = controlled(controlled_app(redis_url, policy=None), clock, told)
    run_until(scheduler, clock, NOON + MINUTE)
    scheduler.close()
    assert client.get(KEY) == b"whatever"


def test_what_it_does_is_told_by_the_leader_alone(begin: Begin, clock: Clock, redis_url: str) -> None:
    leader, follower = throttled(begin, clock), begin()
    clock.step(timedelta(seconds=5))
    settle(leader)
    settle(follower)
    facts = leader.metrics.facts.control
    rate = sheddable_rate(state_of(leader))
    assert rate is not None
    assert facts.rates[QUEUE, Criticality.SHEDDABLE] == rate / 1_000_000
    assert facts.rates[QUEUE, Criticality.CRITICAL_PLUS] == 1
    assert facts.waits_s == {QUEUE: 90.0}
    assert sum(facts.owed.values()) > 0
    assert follower.metrics.facts.control == NO_CONTROL
    redis_ = BrokerRedis(redis.Redis.from_url(redis_url), "test", channel=None)
    said = {each["standing"]: each for each in map(json.loads, redis_.client.hgetall("test:beat:replicas").values())}
    assert said["leading"]["control"] == dict.fromkeys(("backlog", "slo", "failing_target"), "enforce")
    assert {tuple(kind) for *kind, _ in said["leading"]["owed"]} == {
        (queue, criticality.value) for queue, criticality in facts.owed
    }
    assert not {"control", "owed"} & said["following"].keys()
    redis_.close()
