"""What is kept of the decisions, in both sinks, and what the log says of them."""

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest
import redis

from packages.infra.beat.decision_sink import KEPT_PER_JOB, DecisionLog, DecisionSink, MemoryDecisions, Outcome
from packages.infra.beat.redis_decisions import RedisDecisions
from packages.infra.beat.state_store import StoreAwayError
from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.decision import Decision, Opinion, Reason, Verdict
from packages.scheduling.policies import GateMode

FIRE = Decision("area.job", 1_000, 1_500, "schedule", 1_700, Verdict.FIRE, Reason.ON_TIME)
CLOSED = Opinion("trading_hours", Verdict.SKIP, Reason.MARKET_CLOSED, facts=(("XNYS", "closed"), ("n", 3)))
PAUSED = Opinion("pause", Verdict.DEFER, Reason.PAUSED, until=9_000, holds_until=9_000, mode=GateMode.OBSERVE)
SKIP = replace(
    FIRE,
    verdict=Verdict.SKIP,
    reason=Reason.MARKET_CLOSED,
    opinions=(CLOSED, PAUSED),
    holds_until=2_000,
    count=3,
    first_nominal=500,
    arm="b",
)
DEFER = replace(FIRE, verdict=Verdict.DEFER, reason=Reason.STILL_RUNNING, until=3_000)
CANCEL = replace(FIRE, cancels=("one", "two"))


def redis_at(url: str) -> BrokerRedis:
    return BrokerRedis(redis.Redis.from_url(url), "app", channel=None)


@pytest.fixture(params=["memory", "redis"])
def make_sink(request: pytest.FixtureRequest) -> Callable[[], DecisionSink]:
    if request.param == "memory":
        return MemoryDecisions
    url: str = request.getfixturevalue("redis_url")
    return lambda: RedisDecisions(redis_at(url))


def test_the_newest_stands_first(make_sink: Callable[[], DecisionSink]) -> None:
    sink = make_sink()
    assert sink.read("area.job") == []
    sink.record([FIRE, SKIP, replace(FIRE, job="other")])
    sink.record([DEFER, CANCEL])
    sink.record([])
    assert sink.read("area.job") == [CANCEL, DEFER, SKIP, FIRE]
    assert sink.read("other") == [replace(FIRE, job="other")]


def test_only_the_last_few_are_kept(make_sink: Callable[[], DecisionSink]) -> None:
    sink = make_sink()
    made = [replace(FIRE, nominal=n) for n in range(3 * KEPT_PER_JOB)]
    sink.record(made[:1])
    sink.record(made[1:])
    assert sink.read("area.job") == made[: -KEPT_PER_JOB - 1 : -1]


def test_what_is_no_decision_is_left_out(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    sink = RedisDecisions(redis_at(redis_url))
    sink.record([FIRE])
    with redis.Redis.from_url(redis_url) as client:
        client.lpush("app:beat:decisions:area.job", "nonsense", '{"v":9}', '{"v":1,"job":"area.job"}')
    assert sink.read("area.job") == [FIRE]
    assert {record.getMessage() for record in caplog.records} == {"stored_value_left_out"}


def test_a_key_of_another_kind_is_moved_aside(redis_url: str) -> None:
    sink = RedisDecisions(redis_at(redis_url))
    with redis.Redis.from_url(redis_url) as client:
        client.set("app:beat:decisions:area.job", "a string")
        client.set("app:beat:decisions:other", "a string")
    sink.record([FIRE])
    sink.record([FIRE])
    assert sink.read("area.job") == [FIRE]
    assert sink.read("other") == []


def test_a_server_that_is_away_is_said_to_be() -> None:
    sink = RedisDecisions(redis_at("redis://127.0.0.1:1/0"))
    with pytest.raises(StoreAwayError):
        sink.record([FIRE])
    with pytest.raises(StoreAwayError):
        sink.read("area.job")


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[object, ...]]:
    return [
        tuple(vars(record).get(field) for field in ("job", "verdict", "reason", "late_ms")) for record in caplog.records
    ]


def test_each_decision_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        DecisionLog().say([Outcome(FIRE, published_at=FIRE.planned + 1_234), Outcome(SKIP)])
    assert {record.getMessage() for record in caplog.records} == {"decision"}
    assert said(caplog) == [("area.job", "fire", "on_time", 1_234), ("area.job", "skip", "market_closed", None)]
    fields = vars(caplog.records[1])
    assert fields["nominal"] == "1970-01-01T00:00:01.000Z"
    assert (fields["count"], fields["arm"]) == (3, "b")
    assert (fields["held_by"], fields["would_hold"]) == ("trading_hours:market_closed", "pause:paused")


def test_a_fire_that_waits_on_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    lines = DecisionLog()
    with caplog.at_level(logging.INFO):
        lines.say([Outcome(DEFER), Outcome(DEFER)])
        lines.say([Outcome(replace(DEFER, until=4_000))])
        lines.say([Outcome(replace(DEFER, reason=Reason.PUBLISH_FAILED))])
        lines.say([Outcome(replace(DEFER, nominal=2_000))])
        lines.say([Outcome(FIRE)])
        lines.say([Outcome(DEFER)])
    assert [verdict for _, verdict, _, _ in said(caplog)] == ["defer", "defer", "defer", "fire", "defer"]
