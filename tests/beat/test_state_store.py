"""One contract for both stores, the one in Redis on a real server; and what only a server can hold."""

import logging
from collections.abc import Callable

import pytest
import redis
from celery import Celery

from packages.infra.beat.redis_state import RedisStateStore
from packages.infra.beat.state_store import ABSENT_FOR_MS, MemoryStateStore, StateStore, StoreAwayError
from packages.infra.beat.stored_controllers import controllers_text
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.queue.namespace import namespace_of
from packages.scheduling.control.controllers import NEUTRAL, Controllers, QueueControl, WaitBasis
from packages.scheduling.decision import Reason
from packages.scheduling.model import Criticality
from packages.scheduling.state import Backfill, JobState, OpenFire

THROTTLED = Controllers(
    stepped_at=1_700_000_000_000,
    queues={
        "q": QueueControl(
            9_000, WaitBasis.OLDEST, 4, 5, rates={Criticality.SHEDDABLE: 0}, since=7, group=frozenset({"q", "r"})
        )
    },
)
PLAIN = JobState(watermark=1_700_000_000_000, trigger="every 0:01:00")
FULL = JobState(
    watermark=1,
    trigger="ünïcode",
    open=(OpenFire(1, 2, "clock:3", 4, Reason.PUBLISH_FAILED, since=1, attempts=2, forced=True),),
    backfills=(Backfill("b1", 1, 2, 3, 4),),
    clock=3,
    fired=9,
    taken=("t1",),
)


def redis_at(url: str, prefix: str = "app") -> BrokerRedis:
    return BrokerRedis(redis.Redis.from_url(url), prefix, channel=None)


@pytest.fixture(params=["memory", "redis"])
def make_store(request: pytest.FixtureRequest) -> Callable[[], StateStore]:
    if request.param == "memory":
        return MemoryStateStore
    url: str = request.getfixturevalue("redis_url")
    return lambda: RedisStateStore(redis_at(url))


def test_what_is_saved_is_loaded(make_store: Callable[[], StateStore]) -> None:
    store = make_store()
    assert store.load(["a", "b"]) == {}
    store.save({"a": PLAIN, "b": FULL})
    store.save({})
    assert store.load(["a", "b", "c"]) == {"a": PLAIN, "b": FULL}
    assert store.load(["b"]) == {"b": FULL}
    assert store.load([]) == {}
    store.save({"a": FULL})
    assert store.load(["a"]) == {"a": FULL}


def test_many_are_saved_and_loaded(make_store: Callable[[], StateStore]) -> None:
    store = make_store()
    states = {f"job-{n}": JobState(watermark=n) for n in range(12_000)}
    store.save({**states, "other": PLAIN})
    assert store.load(states.keys()) == states


def test_what_is_forgotten_is_gone_with_its_anchor(make_store: Callable[[], StateStore]) -> None:
    store = make_store()
    store.save({"a": PLAIN, "b": PLAIN, "c": PLAIN})
    store.anchors({"a": 1, "b": 2, "d": 3})
    store.forget(["a", "never"])
    assert store.load("abc") == {"b": PLAIN, "c": PLAIN}
    assert store.anchors({"a": 10, "b": 20, "d": 30}) == {"a": 10, "b": 2, "d": 3}
    store.forget([])


def test_the_first_anchor_stays(make_store: Callable[[], StateStore]) -> None:
    store = make_store()
    assert store.anchors({"a": 7, "b": -8}) == {"a": 7, "b": -8}
    assert store.anchors({"a": 9, "c": 1}) == {"a": 7, "c": 1}
    assert store.anchors({}) == {}


def test_the_control_goes_on_with_what_was_kept_last(make_store: Callable[[], StateStore]) -> None:
    store = make_store()
    assert store.load_controllers() is None
    for controllers in (THROTTLED, NEUTRAL._replace(stepped_at=7), THROTTLED):
        store.save_controllers(controllers_text(controllers))
        assert store.load_controllers() == controllers
    store.save({"a": PLAIN})
    store.forget(["a"])
    assert store.load_controllers() == THROTTLED


def test_a_job_is_forgotten_after_an_hour_of_absence(redis_url: str) -> None:
    store = RedisStateStore(redis_at(redis_url))
    store.save({"a": PLAIN, "b": PLAIN, "c": PLAIN})
    store.anchors({"a": 1, "b": 2, "d": 3})
    store.forget_absent(["a"], 1_000)
    # One that is known again meanwhile was not absent all the time.
    store.forget_absent(["a", "c"], 2_000)
    store.forget_absent(["a"], 3_000)
    store.forget_absent(["a"], 999 + ABSENT_FOR_MS)
    assert store.load("abc") == {"a": PLAIN, "b": PLAIN, "c": PLAIN}
    store.forget_absent(["a"], 1_000 + ABSENT_FOR_MS)
    assert store.load("abc") == {"a": PLAIN, "c": PLAIN}
    assert store.anchors({"a": 10, "b": 20, "d": 30}) == {"a": 1, "b": 20, "d": 30}
    store.forget_absent(["a"], 3_000 + ABSENT_FOR_MS)
    assert store.load("abc") == {"a": PLAIN}


def test_in_the_process_nobody_else_knows_a_job_that_is_absent() -> None:
    store = MemoryStateStore()
    store.save({"a": PLAIN, "b": PLAIN})
    store.anchors({"a": 1, "c": 3})
    store.forget_absent(["a"], 1_000)
    assert store.load("ab") == {"a": PLAIN}
    assert store.anchors({"a": 10, "c": 30}) == {"a": 1, "c": 30}


def test_since_when_a_job_is_absent_in_another_form_counts_from_the_start(redis_url: str) -> None:
    store = RedisStateStore(redis_at(redis_url))
    store.save({"a": PLAIN, "b": PLAIN})
    with redis.Redis.from_url(redis_url) as client:
        client.hset("app:beat:absent", "a", "yesterday")
        store.forget_absent([], 10 * ABSENT_FOR_MS)
        assert store.load("ab") == {"a": PLAIN, "b": PLAIN}
        client.delete("app:beat:absent")
        client.set("app:beat:absent", "a string")
    store.forget_absent([], 1_000)
    store.forget_absent([], 1_000 + ABSENT_FOR_MS)
    assert store.load("ab") == {}


def test_of_two_beats_the_first_anchor_stays(redis_url: str) -> None:
    one, other = RedisStateStore(redis_at(redis_url)), RedisStateStore(redis_at(redis_url))
    assert one.anchors({"a": 1}) == other.anchors({"a": 2}) == {"a": 1}


def test_two_apps_do_not_mix(redis_url: str) -> None:
    one, other = RedisStateStore(redis_at(redis_url, "one")), RedisStateStore(redis_at(redis_url, "other"))
    one.save({"a": PLAIN})
    assert other.load(["a"]) == {}
    other.forget(["a"])
    for now in (0, ABSENT_FOR_MS):
        other.forget_absent([], now)
    assert one.load(["a"]) == {"a": PLAIN}


@pytest.mark.parametrize(
    "text",
    [
        b"not json",
        b"[1]",
        b"\xff\xfe",
        b'{"v":2,"watermark":1}',
        b'{"v":1}',
        b'{"v":1,"watermark":"soon"}',
        b'{"v":1,"watermark":1,"unknown":2}',
        b'{"v":1,"watermark":1,"open":[{"nominal":1}]}',
        b'{"v":1,"watermark":1,"open":5}',
    ],
)
def test_a_value_that_cannot_be_read_is_moved_aside(
    redis_url: str, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = RedisStateStore(redis_at(redis_url))
    store.save({"good": PLAIN})
    with redis.Redis.from_url(redis_url) as client:
        client.hset("app:beat:state", "bad", text)
        with caplog.at_level(logging.WARNING):
            assert store.load(["good", "bad"]) == {"good": PLAIN}
        assert client.hkeys("app:beat:state") == [b"good"]
        assert client.hkeys("app:beat:state:quarantine") == [b"bad"]
    [record] = caplog.records
    assert (record.getMessage(), vars(record)["key"], vars(record)["field"]) == (
        "stored_value_quarantined",
        "app:beat:state",
        "bad",
    )
    store.save({"bad": PLAIN})
    assert store.load(["bad"]) == {"bad": PLAIN}


def test_a_foreign_anchor_is_moved_aside(redis_url: str) -> None:
    store = RedisStateStore(redis_at(redis_url))
    with redis.Redis.from_url(redis_url) as client:
        client.hset("app:beat:anchors", "a", "yesterday")
    assert store.anchors({"a": 5}) == {"a": 5}


def test_a_key_of_another_kind_is_moved_aside(redis_url: str) -> None:
    store = RedisStateStore(redis_at(redis_url))
    with redis.Redis.from_url(redis_url) as client:
        client.set("app:beat:state", "a string")
        assert store.load(["a"]) == {}
        store.save({"a": PLAIN})
        assert store.load(["a"]) == {"a": PLAIN}
        assert client.get("app:beat:state:foreign") == b"a string"


@pytest.mark.parametrize(
    "text", [b"", b"not json", b"\xff\xfe", b'{"v":2}', b'{"v":1,"queues":{"q":{"rates":{"none":5}}}}']
)
def test_controllers_that_cannot_be_read_are_moved_aside(
    redis_url: str, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = RedisStateStore(redis_at(redis_url))
    with redis.Redis.from_url(redis_url) as client:
        client.set("app:beat:controllers", text)
        assert store.load_controllers() is None
        assert store.load_controllers() is None
        assert client.get("app:beat:controllers:quarantine") == text
    [record] = caplog.records
    assert (record.getMessage(), vars(record)["key"]) == ("stored_value_quarantined", "app:beat:controllers")
    store.save_controllers(controllers_text(THROTTLED))
    assert store.load_controllers() == THROTTLED


def test_controllers_of_another_kind_are_moved_aside(redis_url: str) -> None:
    store = RedisStateStore(redis_at(redis_url))
    with redis.Redis.from_url(redis_url) as client:
        client.rpush("app:beat:controllers", "a list")
        assert store.load_controllers() is None
        assert client.lrange("app:beat:controllers:quarantine", 0, -1) == [b"a list"]
        assert client.exists("app:beat:controllers") == 0


def test_a_server_that_is_away_is_said_to_be() -> None:
    store = RedisStateStore(redis_at("redis://127.0.0.1:1/0"))
    for call in (
        lambda: store.load(["a"]),
        lambda: store.save({"a": PLAIN}),
        lambda: store.forget(["a"]),
        lambda: store.forget_absent([], 1),
        lambda: store.anchors({"a": 1}),
        store.load_controllers,
        lambda: store.save_controllers(controllers_text(THROTTLED)),
    ):
        with pytest.raises(StoreAwayError):
            call()


@pytest.mark.parametrize(
    ("main", "namespace", "prefix", "key"),
    [
        ("minsy", None, "", "minsy:beat:state"),
        ("minsy", "mine", "", "mine:beat:state"),
        (None, None, "", "celery:beat:state"),
        ("minsy", None, "team-", "team-minsy:beat:state"),
    ],
)
def test_keys_stand_under_the_app_and_the_prefix(
    redis_url: str, main: str | None, namespace: str | None, prefix: str, key: str
) -> None:
    app = Celery(main, broker=redis_url, set_as_current=False)
    app.conf.broker_transport_options = {"global_keyprefix": prefix}
    if namespace:
        app.conf.beat_state_namespace = namespace
    found = open_broker_redis(app, namespace=namespace_of(app))
    assert found is not None
    RedisStateStore(found).save({"a": PLAIN})
    found.close()
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys("*beat:state") == [key.encode()]
