"""The operator's word in Redis: across processes, cheaply, and whatever else lies in the same database."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import RedisError

from packages.infra.control.records import (
    RecordError,
    decode_exemption,
    decode_gate_mode,
    decode_pause,
    decode_pin,
    decode_request,
    encode_pause,
)
from packages.infra.control.redis_control import ENDED_KEPT_MS, FULL_READ_AFTER_MS
from packages.infra.embedded.services import EmbeddedServices
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode
from packages.scheduling.requests import TriggerRequest
from packages.scheduling.snapshot import Exemption, Pause, PauseScope, Pin
from tests.control.redis_stores import open_store

NOW = 1_795_330_000_000
PAUSE = Pause(PauseScope.JOB, "a.b", since=NOW, until=None, note="")
PIN = Pin("q:1", None, 500_000, since=NOW, until=None, note="")
EXEMPT = Exemption("a.b", since=NOW, until=None, note="")
ENDING = Pause(PauseScope.QUEUE, "q", since=NOW, until=NOW + 1, note="")


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def commands_of(client: "redis.Redis", name: str) -> int:
    statistics: Any = client.info("commandstats")
    return int(statistics.get(f"cmdstat_{name}", {"calls": 0})["calls"])


def test_what_one_process_says_another_reads_at_once(redis_url: str) -> None:
    beat, command = open_store(redis_url), open_store(redis_url)
    assert beat.read(NOW).pauses == ()
    command.pause(PAUSE)
    assert beat.read(NOW + 500).pauses == (PAUSE,)
    assert command.resume(PauseScope.JOB, "a.b")
    assert beat.read(NOW + 1000).pauses == ()


def test_a_reader_of_an_unchanged_state_asks_for_one_short_value(client: "redis.Redis", redis_url: str) -> None:
    store = open_store(redis_url)
    store.pause(PAUSE)
    store.read(NOW)
    client.config_resetstat()
    for later_ms in range(500, 5000, 500):
        assert store.read(NOW + later_ms).pauses == (PAUSE,)
    assert (commands_of(client, "get"), commands_of(client, "hgetall")) == (9, 0)


def test_what_was_changed_by_hand_is_seen_a_little_later(client: "redis.Redis", redis_url: str) -> None:
    store = open_store(redis_url)
    assert store.read(NOW).pauses == ()
    client.hset("minsy:control:pauses", "job:a.b", encode_pause(PAUSE))
    assert store.read(NOW + FULL_READ_AFTER_MS - 1).pauses == ()
    assert store.read(NOW + FULL_READ_AFTER_MS).pauses == (PAUSE,)


def test_a_server_that_lost_its_data_is_noticed(client: "redis.Redis", redis_url: str) -> None:
    store = open_store(redis_url)
    store.pause(PAUSE)
    assert store.read(NOW).pauses == (PAUSE,)
    client.flushall()
    assert store.read(NOW + 1).pauses == ()


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        ("pauses", "job:x", "not json"),
        ("pauses", "job:x", "[]"),
        ("pauses", "job:x", '{"v":2,"scope":"job","target":"x","since":0,"until":null,"note":""}'),
        ("pauses", "job:y", '{"v":1,"scope":"job","target":"x","since":0,"until":null,"note":""}'),
        ("pauses", "job:x", '{"v":1,"scope":"world","target":"x","since":0,"until":null,"note":""}'),
        ("pauses", "job:x", '{"v":1,"scope":"job","target":"x","since":true,"until":null,"note":""}'),
        ("pauses", "job:x", '{"v":1,"scope":"job","target":"x","since":-1,"until":null,"note":""}'),
        ("requests", "01", '{"v":1,"kind":"trigger","id":"02","job":"a","requested_at":0}'),
        ("requests", "01", '{"v":1,"kind":"wish","id":"01","job":"a","requested_at":0}'),
        (
            "requests",
            "01",
            '{"v":1,"kind":"backfill","id":"01","job":"a","requested_at":0,"start":5,"end":4,"every_ms":1}',
        ),
        ("requests", "01", '{"v":1,"kind":"trigger","id":"01","requested_at":0}'),
        ("requests", "01", '{"v":1,"kind":"reset","id":"01","requested_at":0,"queue":7}'),
        ("requests", "01", '{"v":1,"kind":"reset","id":"01","queue":"q"}'),
        ("pins", "*:q", '{"v":1,"queue":"q","criticality":null,"rate":1000001,"since":0,"until":null,"note":""}'),
        ("pins", "*:q", '{"v":1,"queue":"q","criticality":null,"rate":0.5,"since":0,"until":null,"note":""}'),
        ("pins", "*:q", '{"v":1,"queue":"q","criticality":null,"rate":-1,"since":0,"until":null,"note":""}'),
        ("pins", "*:q", '{"v":1,"queue":"q","criticality":"vital","rate":1,"since":0,"until":null,"note":""}'),
        ("pins", "*:q", '{"v":1,"queue":"q","criticality":"critical","rate":1,"since":0,"until":null,"note":""}'),
        ("exemptions", "a", '{"v":1,"job":"b","since":0,"until":null,"note":""}'),
        ("exemptions", "a", '{"v":1,"job":"a","since":0,"until":"soon","note":""}'),
        ("gate_modes", "windows", '{"v":1,"mode":"perhaps"}'),
        ("gate_modes", "windows", "[" * 100_000),
        ("gate_modes", b"\xff\xfe", '{"v":1,"mode":"off"}'),
    ],
)
def test_what_cannot_be_read_is_put_aside_and_the_rest_holds(
    client: "redis.Redis", redis_url: str, key: str, field: str | bytes, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(redis_url)
    store.pause(PAUSE)
    store.request(TriggerRequest(id="00", job="a.b", requested_at=NOW))
    store.set_gate_mode("overlap", GateMode.OFF)
    store.pin(PIN)
    store.exempt(EXEMPT)
    client.hset(f"minsy:control:{key}", field, value)
    control = store.read(NOW)
    assert (control.pauses, len(control.requests), len(control.gate_modes)) == ((PAUSE,), 1, 1)
    assert (control.pins, control.exemptions) == ((PIN,), (EXEMPT,))
    shown = field if isinstance(field, str) else field.decode(errors="replace")
    assert client.hgetall("minsy:control:quarantine") == {f"minsy:control:{key}:{shown}".encode(): value.encode()}
    assert not client.hexists(f"minsy:control:{key}", field)
    [warning] = [record for record in caplog.records if record.message == "control_value_quarantined"]
    assert (vars(warning)["key"], vars(warning)["field"]) == (f"minsy:control:{key}", shown)
    caplog.clear()
    assert store.read(NOW + FULL_READ_AFTER_MS).pauses == (PAUSE,)
    assert not caplog.records


@pytest.mark.parametrize("key", ["version", "pauses", "requests", "gate_modes", "pins", "exemptions"])
def test_a_key_that_another_program_made_something_of_is_put_aside(
    client: "redis.Redis", redis_url: str, key: str
) -> None:
    client.rpush(f"minsy:control:{key}", "a list")
    store = open_store(redis_url)
    assert store.read(NOW).pauses == ()
    assert client.lrange(f"minsy:control:quarantine:minsy:control:{key}", 0, -1) == [b"a list"]
    store.pause(PAUSE)
    assert store.read(NOW).pauses == (PAUSE,)


def test_what_ended_long_ago_is_dropped_from_the_store(client: "redis.Redis", redis_url: str) -> None:
    store = open_store(redis_url)
    store.pause(PAUSE)
    store.pause(ENDING)
    store.pin(PIN)
    store.pin(PIN._replace(criticality=Criticality.SHEDDABLE, until=NOW + 1))
    store.exempt(EXEMPT)
    store.exempt(Exemption("c.d", since=NOW, until=NOW + 1, note=""))
    store.read(NOW + ENDED_KEPT_MS)
    keys = ("pauses", "pins", "exemptions")
    assert [client.hlen(f"minsy:control:{key}") for key in keys] == [2, 2, 2]
    store.read(NOW + 1 + ENDED_KEPT_MS + FULL_READ_AFTER_MS)
    assert [client.hkeys(f"minsy:control:{key}") for key in keys] == [[b"job:a.b"], [b"*:q:1"], [b"a.b"]]


def test_two_apps_on_one_server_do_not_meet(client: "redis.Redis", redis_url: str) -> None:
    ours, theirs = open_store(redis_url), open_store(redis_url, global_keyprefix="other:")
    theirs.pause(PAUSE)
    assert theirs.read(NOW).pauses == (PAUSE,)
    assert ours.read(NOW).pauses == ()
    assert sorted(client.keys("*control*")) == [b"other:minsy:control:pauses", b"other:minsy:control:version"]


def test_what_was_said_outlives_the_server(tmp_path: Path) -> None:
    services = EmbeddedServices(tmp_path / "var")
    with services.hold(want={"valkey"}) as endpoints:
        assert endpoints.redis_url is not None
        open_store(endpoints.redis_url).pause(PAUSE)
    with services.hold(want={"valkey"}) as endpoints:
        assert endpoints.redis_url is not None
        assert open_store(endpoints.redis_url).read(NOW).pauses == (PAUSE,)
    services.delete_data()


def test_a_server_that_is_away_is_an_error_and_then_no_more(tmp_path: Path) -> None:
    services = EmbeddedServices(tmp_path / "var", durable=False)
    with services.hold(want={"valkey"}) as endpoints:
        assert endpoints.redis_url is not None
        store = open_store(endpoints.redis_url)
        with redis.Redis.from_url(endpoints.redis_url) as client:
            client.shutdown(nosave=True)
        with pytest.raises(RedisError):
            store.read(NOW)
        services.revive()
        assert store.read(NOW).pauses == ()
    services.delete_data()


@pytest.mark.parametrize("decode", [decode_pause, decode_request, decode_gate_mode, decode_pin, decode_exemption])
def test_a_refusal_does_not_quote_what_it_refuses(decode: Any) -> None:  # noqa: ANN401 - one of three functions
    secret = "hunter2"
    for text in (secret, json.dumps(secret), json.dumps({"v": 1, "kind": secret, "scope": secret, "mode": secret})):
        with pytest.raises(RecordError) as refused:
            decode(text.encode())
        assert secret not in str(refused.value)
