"""One contract for both stores of claims, the one in Redis on a real server; and what only a server can hold."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
import redis

from packages.infra.beat.lease import Lease
from packages.infra.beat.messages.fire_ids import claim_of
from packages.infra.beat.publishers.claims import Claim, ClaimStore, Found, MemoryClaims, Settlement, TermOverError
from packages.infra.beat.publishers.redis_claims import CLAIM, SETTLE, RedisClaims
from packages.infra.beat.redis_lease import KEEP, RedisLease
from packages.infra.beat.redis_state import RedisStateStore
from packages.infra.beat.state_store import MemoryStateStore, StateStore, StoreAwayError
from packages.infra.beat.stored_controllers import controllers_text
from packages.infra.ledger.ledger import Ledger, MemoryLedger
from packages.infra.ledger.redis_ledger import RedisLedger
from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.script_wire import ScriptWire
from packages.scheduling.claims import Shelf
from packages.scheduling.control.controllers import Controllers
from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.instants import HOUR_MS
from packages.scheduling.state import JobState
from tests.beat.own_valkey import client_of, own_valkey

NEW, PENDING, DONE = Found.NEW, Found.PENDING, Found.DONE
SHELF = Shelf("7200000:17", 2 * HOUR_MS)
PERIOD = timedelta(seconds=10)


class OnRedis:
    """A store in Redis with everything around it, whose owner leads."""

    def __init__(self, client: redis.Redis, owner: str = "me", *, length: int = 5_000) -> None:
        self.client = client
        self.redis = BrokerRedis(client, "app", channel=None)
        self.wire = ScriptWire(self.redis, (KEEP, CLAIM, SETTLE), timeout_s=2.0)
        self.lease = Lease(
            RedisLease(self.redis, self.wire), owner=owner, period=PERIOD, monotonic=lambda: 1.0, now=lambda: 1_000
        )
        self.lease.keep()
        self.claims = RedisClaims(self.redis, self.wire, self.lease, ledger_length=length)
        self.states: StateStore = RedisStateStore(self.redis)
        self.ledger: Ledger = RedisLedger(self.redis)


class InMemory:
    def __init__(self) -> None:
        self.states: StateStore = MemoryStateStore()
        self.ledger: Ledger = MemoryLedger()
        self.claims = MemoryClaims(self.states, self.ledger)


@pytest.fixture
def on_redis(redis_url: str) -> Iterator[OnRedis]:
    with redis.Redis.from_url(redis_url) as client:
        opened = OnRedis(client)
        yield opened
        opened.claims.close()


@pytest.fixture(params=["memory", "redis"])
def kept(request: pytest.FixtureRequest) -> "InMemory | OnRedis":
    if request.param == "memory":
        return InMemory()
    opened: OnRedis = request.getfixturevalue("on_redis")
    return opened


def a_claim(n: int, *, shelf: Shelf = SHELF) -> Claim:
    return Claim(claim_of("area.jöb", n, "schedule"), shelf, "area.jöb", n, n + 5, "schedule")


def a_decision(n: int, verdict: Verdict = Verdict.FIRE) -> Decision:
    return Decision(
        job="area.jöb", nominal=n, planned=n + 5, origin="schedule", at=n, verdict=verdict, reason=Reason.ON_TIME
    )


def settled(*numbers: int, **changes: Any) -> Settlement:  # noqa: ANN401  # fields of a settlement
    return Settlement(tick="1.1", done=[(a_claim(n), a_decision(n)) for n in numbers], **changes)


def found(store: ClaimStore, *numbers: int) -> list[Found]:
    return list(store.claim(1, [a_claim(n) for n in numbers]))


def test_a_claim_is_new_then_pending_then_done(kept: InMemory | OnRedis) -> None:
    assert found(kept.claims, 1, 2) == [NEW, NEW]
    assert found(kept.claims, 1, 3) == [PENDING, NEW]

    kept.claims.settle(1, settled(1, 3))

    assert found(kept.claims, 1, 2, 3, 4) == [DONE, PENDING, DONE, NEW]


def test_a_released_claim_is_new_again_and_a_done_one_is_not(kept: InMemory | OnRedis) -> None:
    found(kept.claims, 1, 2)
    kept.claims.settle(1, settled(1))

    kept.claims.settle(1, Settlement(tick="1.2", released=[a_claim(1), a_claim(2), a_claim(3)]))

    assert found(kept.claims, 1, 2) == [DONE, NEW]


def test_unfinished_is_what_is_pending(kept: InMemory | OnRedis) -> None:
    assert list(kept.claims.unfinished()) == []
    found(kept.claims, 1, 2, 3)
    kept.claims.settle(1, settled(1, released=[a_claim(2)]))

    assert list(kept.claims.unfinished()) == [a_claim(3)]


def test_all_is_kept_in_one_step(kept: InMemory | OnRedis) -> None:
    found(kept.claims, 1)
    kept.states.save({"gone": JobState(watermark=1)})
    others = [a_decision(n, Verdict.SKIP) for n in (7, 8)]

    controllers = Controllers(stepped_at=9)
    also = {"controllers": controllers_text(controllers), "forgotten": ["gone"]}
    kept.claims.settle(1, settled(1, decisions=others, states={"a": JobState(watermark=4)}, **also))

    assert kept.states.load_controllers() == controllers
    assert kept.states.load(["a", "gone"]) == {"a": JobState(watermark=4)}
    assert kept.ledger.read(None, 10)[::-1] == [a_decision(1), *others]


def test_more_than_goes_into_one_call(kept: InMemory | OnRedis) -> None:
    numbers = range(1_234)
    assert found(kept.claims, *numbers) == [NEW] * len(numbers)
    states = {f"job-{n}": JobState(watermark=n) for n in numbers}

    kept.claims.settle(1, settled(*numbers, states=states, forgotten=[f"gone-{n}" for n in numbers]))

    assert found(kept.claims, *numbers) == [DONE] * len(numbers)
    assert kept.states.load(list(states)) == states
    assert len(kept.ledger.read(None, 5_000)) == len(numbers)


def test_in_memory_a_lower_term_is_over() -> None:
    kept = InMemory()
    kept.claims.claim(2, [a_claim(1)])

    with pytest.raises(TermOverError):
        kept.claims.claim(1, [a_claim(2)])
    with pytest.raises(TermOverError):
        kept.claims.settle(1, settled(1))
    assert list(kept.claims.unfinished()) == [a_claim(1)]


def test_in_memory_the_newest_are_kept() -> None:
    store = MemoryClaims(MemoryStateStore(), MemoryLedger(), most=2)
    for n in range(4):
        found(store, n)
        store.settle(1, settled(n))

    assert found(store, 0, 1, 2, 3) == [NEW, NEW, DONE, DONE]


def test_in_redis_only_the_holder_of_the_lease_under_its_term_may(on_redis: OnRedis) -> None:
    found(on_redis.claims, 1)
    before = sorted(on_redis.client.keys())
    for holder in ("me:2", "other:1"):
        on_redis.client.set("app:beat:lease", holder)
        with pytest.raises(TermOverError) as refused:
            on_redis.claims.claim(1, [a_claim(2)])
        assert refused.value.leader == holder.partition(":")[0]
        with pytest.raises(TermOverError):
            on_redis.claims.settle(1, settled(1, states={"a": JobState(watermark=4)}))
    assert sorted(on_redis.client.keys()) == before
    assert list(on_redis.claims.unfinished()) == [a_claim(1)]
    on_redis.client.delete("app:beat:lease")
    with pytest.raises(TermOverError) as refused:
        on_redis.claims.claim(1, [a_claim(2)])
    assert refused.value.leader == ""


def test_each_call_renews_the_lease(on_redis: OnRedis) -> None:
    for call in (lambda: found(on_redis.claims, 1), lambda: on_redis.claims.settle(1, settled(1))):
        on_redis.client.pexpire("app:beat:lease", 5_000)
        call()
        assert on_redis.client.pttl("app:beat:lease") > 5_000


def test_an_answer_that_got_lost_records_nothing_twice(kept: InMemory | OnRedis) -> None:
    found(kept.claims, 1)

    for _ in range(2):
        kept.claims.settle(1, settled(1))

    assert kept.ledger.read(None, 10) == [a_decision(1)]


def test_what_was_published_is_counted_once(on_redis: OnRedis) -> None:
    found(on_redis.claims, 1, 2)

    for _ in range(2):
        on_redis.claims.settle(1, settled(1, 2))

    assert on_redis.client.hget("app:beat:counters", "published") == b"2"


def test_sets_end_by_themselves_and_stand_in_the_index(on_redis: OnRedis) -> None:
    day = Shelf("50:1", 50 * HOUR_MS)
    on_redis.claims.claim(1, [a_claim(1), a_claim(2, shelf=day)])

    sets = {b"app:beat:claims:7200000:17": 2 * HOUR_MS, b"app:beat:claims:50:1": 50 * HOUR_MS}
    now = on_redis.client.time()[0] * 1_000
    found_in_index: Any = on_redis.client.zrange("app:beat:claims", 0, -1, withscores=True)
    index = dict(found_in_index)
    assert index.keys() == sets.keys()
    for key, kept_ms in sets.items():
        assert on_redis.client.pttl(key) > kept_ms
        assert abs(index[key] - now - kept_ms) < HOUR_MS


def test_a_pending_claim_whose_set_has_ended_is_dropped(on_redis: OnRedis, caplog: pytest.LogCaptureFixture) -> None:
    on_redis.claims.claim(1, [a_claim(1), a_claim(2, shelf=Shelf("50:1", 50 * HOUR_MS))])
    on_redis.client.hset("app:beat:pending", "foreign", "no claim")
    on_redis.client.delete("app:beat:claims:50:1")

    assert list(on_redis.claims.unfinished()) == [a_claim(1)]

    assert on_redis.client.hkeys("app:beat:pending") == [a_claim(1).key]
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == ["claims_dropped"]


KEYS = (
    "beat:pending",
    "beat:claims",
    "beat:claims:7200000:17",
    "beat:state",
    "ledger",
    "beat:anchors",
    "beat:counters",
    "beat:controllers",
)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_another_kind_is_put_aside(on_redis: OnRedis, caplog: pytest.LogCaptureFixture, key: str) -> None:
    on_redis.client.rpush(f"app:{key}", "foreign")

    assert found(on_redis.claims, 1, 2) == [NEW, NEW]
    on_redis.claims.settle(1, settled(1, released=[a_claim(2)], states={"a": JobState(watermark=1)}, forgotten=["b"]))

    assert found(on_redis.claims, 1, 2) == [DONE, NEW]
    assert on_redis.client.lrange(f"app:{key}:foreign", 0, -1) == [b"foreign"]
    assert "stored_value_quarantined" in [record.getMessage() for record in caplog.records]


def test_counts_that_are_none_are_put_aside(on_redis: OnRedis) -> None:
    on_redis.client.hset("app:beat:counters", "published", "many")

    found(on_redis.claims, 1)
    on_redis.claims.settle(1, settled(1))

    assert found(on_redis.claims, 1) == [DONE]
    assert on_redis.client.hget("app:beat:counters:foreign", "published") == b"many"
    assert on_redis.client.hget("app:beat:counters", "published") == b"1"


def test_unfinished_puts_a_key_of_another_kind_aside_too(on_redis: OnRedis) -> None:
    on_redis.client.set("app:beat:pending", "foreign")

    assert list(on_redis.claims.unfinished()) == []
    assert on_redis.client.get("app:beat:pending:foreign") == b"foreign"


def test_the_ledger_is_bounded_and_has_the_record_of_the_tick(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        kept = OnRedis(client, length=100)
        for n in range(40):
            numbers = range(n * 10, n * 10 + 10)
            found(kept.claims, *numbers)
            kept.claims.settle(1, settled(*numbers, tick_record="the tick" if n == 39 else ""))
        kept.claims.close()
        entries = client.xrange("app:ledger")
    # Trimmed by whole nodes of the stream.
    assert 100 <= len(entries) < 300
    assert [fields for _, fields in entries if b"s" in fields] == [{b"t": b"1.1", b"s": b"the tick"}]


def test_after_the_scripts_are_flushed_one_call_fails_and_the_next_loads_them(on_redis: OnRedis) -> None:
    found(on_redis.claims, 1)
    on_redis.client.script_flush()

    with pytest.raises(StoreAwayError):
        found(on_redis.claims, 2)
    assert found(on_redis.claims, 1, 2) == [PENDING, NEW]


def test_a_full_server_takes_no_claim_and_still_what_went_out() -> None:
    with own_valkey("--maxmemory-policy", "noeviction") as port, ExitStack() as stack:
        client = stack.enter_context(client_of(port))
        kept = OnRedis(client)
        stack.callback(kept.claims.close)
        found(kept.claims, 1)
        client.config_set("maxmemory", "1")

        with pytest.raises(StoreAwayError, match="maxmemory"):
            found(kept.claims, 2)
        kept.claims.settle(1, settled(1, states={"a": JobState(watermark=4)}))

        client.config_set("maxmemory", "0")
        assert found(kept.claims, 1, 2) == [DONE, NEW]
        assert kept.states.load(["a"]) == {"a": JobState(watermark=4)}


def test_a_server_that_is_away_is_told_and_asked_again() -> None:
    with own_valkey() as port:
        client = client_of(port)
        kept = OnRedis(client)
        found(kept.claims, 1)
    with client:
        calls = (
            lambda: found(kept.claims, 2),
            lambda: kept.claims.settle(1, settled(1)),
            kept.claims.unfinished,
        )
        for call in calls:
            with pytest.raises(StoreAwayError):
                call()
        kept.claims.close()
