"""One contract for both ledgers, the one in Redis on a real server; and what only a server can hold."""

import logging
from collections.abc import Callable

import pytest
import redis
from celery import Celery
from celery.exceptions import ImproperlyConfigured

from packages.infra.beat.state_store import StoreAwayError
from packages.infra.ledger.control_record import ControlRecord
from packages.infra.ledger.ledger import Entry, Ledger, MemoryLedger
from packages.infra.ledger.recorded_ticks import RecordedTick, recorded_ticks
from packages.infra.ledger.records import decision_text, tick_of, tick_text
from packages.infra.ledger.redis_ledger import RedisLedger, length_of
from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.control.controllers import Controllers
from packages.scheduling.snapshot import Snapshot
from tests.ledger.decisions import CANCEL, DEFER, SKIP, fire

KEY = "app:ledger"


def redis_at(url: str) -> BrokerRedis:
    return BrokerRedis(redis.Redis.from_url(url), "app", channel=None)


def record(tick: str, at: int) -> str:
    return tick_text(tick=tick, term=1, policies="abc", snapshot=Snapshot(taken_at=at), looked_at=())


@pytest.fixture(params=["memory", "redis"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    if request.param == "memory":
        return MemoryLedger()
    return RedisLedger(redis_at(request.getfixturevalue("redis_url")))


def test_the_newest_stands_first(ledger: Ledger) -> None:
    assert ledger.read("area.job", 20) == []
    ledger.append("1.1", record("1.1", 1_000), [fire(), SKIP, fire("other")])
    ledger.append("1.2", record("1.2", 2_000), [DEFER, CANCEL])
    assert ledger.read("area.job", 20) == [CANCEL, DEFER, SKIP, fire()]
    assert ledger.read("area.job", 2) == [CANCEL, DEFER]
    assert ledger.read("other", 20) == [fire("other")]
    assert ledger.read("area", 20) == []
    assert ledger.read(None, 3) == [CANCEL, DEFER, fire("other")]
    assert ledger.read(None, 0) == []


def test_a_name_that_json_escapes_is_found(ledger: Ledger) -> None:
    odd = fire('ünï "code"\n')
    ledger.append("1.1", "", [fire(), odd])
    assert ledger.read(odd.job, 20) == [odd]


def test_the_oldest_entry_comes_first(ledger: Ledger) -> None:
    ledger.append("1.1", record("1.1", 1_000), [fire(), SKIP])
    ledger.append("1.2", record("1.2", 2_000), [DEFER])
    entries = ledger.entries("", 100)
    assert [(entry.tick, entry.content) for entry in entries] == [
        ("1.1", tick_of(record("1.1", 1_000))),
        ("1.1", fire()),
        ("1.1", SKIP),
        ("1.2", tick_of(record("1.2", 2_000))),
        ("1.2", DEFER),
    ]
    assert ledger.entries("", 2) == entries[:2]
    assert ledger.entries(entries[1].id, 2) == entries[2:4]
    assert ledger.entries(entries[-1].id, 2) == []


def test_a_tick_that_decided_nothing_leaves_no_trace(ledger: Ledger) -> None:
    ledger.append("1.1", record("1.1", 1_000), [])
    assert ledger.entries("", 10) == []


def test_ticks_are_played_again_with_their_decisions(ledger: Ledger) -> None:
    # More than go over the wire, or come in one page, at once.
    made = [fire(nominal=n) for n in range(2_500)]
    ledger.append("1.1", record("1.1", 1_000), made)
    ledger.append("1.2", record("1.2", 2_000), [SKIP])
    ledger.append("2.1", "", [DEFER])
    assert list(recorded_ticks(ledger)) == [
        RecordedTick("1.1", tick_of(record("1.1", 1_000)), tuple(made)),
        RecordedTick("1.2", tick_of(record("1.2", 2_000)), (SKIP,)),
        RecordedTick("2.1", None, (DEFER,)),
    ]
    assert ledger.read("area.job", 2_502) == [DEFER, SKIP, *reversed(made)]


def test_what_the_control_knew_is_carried_to_the_ticks_that_name_its_record(ledger: Ledger) -> None:
    first, second = (ControlRecord(controllers=Controllers(stepped_at=n)) for n in (1, 2))
    written: dict[str, ControlRecord | str | None] = {
        "1.4": "1.1",
        "1.5": first,
        "1.6": "1.5",
        "1.7": None,
        "1.8": "1.5",
        "2.1": second,
        "2.2": "1.5",
        "2.3": "2.1",
    }
    for at, (tick, control) in enumerate(written.items()):
        text = tick_text(tick=tick, term=1, policies="", snapshot=Snapshot(taken_at=at), looked_at=(), control=control)
        ledger.append(tick, text, [fire()])
    found = [
        (tick.number, tick.is_whole, tick.record and tick.record.snapshot.controllers.stepped_at)
        for tick in recorded_ticks(ledger)
    ]
    assert found == [
        ("1.4", False, None),
        ("1.5", True, 1),
        ("1.6", True, 1),
        ("1.7", True, None),
        ("1.8", True, 1),
        ("2.1", True, 2),
        ("2.2", False, None),
        ("2.3", True, 2),
    ]


def test_nothing_is_played_again_of_nothing(ledger: Ledger) -> None:
    assert list(recorded_ticks(ledger)) == []


def bounded(url: str | None) -> Callable[[int], Ledger]:
    return MemoryLedger if url is None else lambda length: RedisLedger(redis_at(url), length=length)


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_the_oldest_are_trimmed(kind: str, request: pytest.FixtureRequest) -> None:
    ledger = bounded(request.getfixturevalue("redis_url") if kind == "redis" else None)(200)
    made = [fire(nominal=n) for n in range(1_000)]
    for decision in made:
        ledger.append("1.1", "", [decision])
    kept = [entry.content for entry in ledger.entries("", 10_000)]
    # The server trims whole nodes of the stream.
    assert 200 <= len(kept) <= 400
    assert kept == made[-len(kept) :]


def test_an_app_says_how_much_is_kept() -> None:
    app = Celery("app", set_as_current=False)
    assert length_of(app) == 100_000
    app.conf.beat_ledger_length = 500
    assert length_of(app) == 500


@pytest.mark.parametrize("length", [0, -1, "500", True, None])
def test_a_length_that_is_none_is_refused(length: object) -> None:
    app = Celery("app", set_as_current=False)
    app.conf.beat_ledger_length = length
    with pytest.raises(ImproperlyConfigured, match="beat_ledger_length must be a whole number above zero"):
        length_of(app)


def test_it_goes_back_no_further_than_it_is_told_to(redis_url: str) -> None:
    RedisLedger(redis_at(redis_url)).append("1.1", "", [fire("rare"), *(fire(nominal=n) for n in range(2_500))])
    assert RedisLedger(redis_at(redis_url), look_at_most=2_500).read("rare", 1) == []
    assert RedisLedger(redis_at(redis_url), look_at_most=2_501).read("rare", 1) == [fire("rare")]


def test_what_is_not_ours_is_left_out_and_told_once(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    ledger = RedisLedger(redis_at(redis_url))
    with redis.Redis.from_url(redis_url) as client:
        for _ in range(1_200):
            client.xadd(KEY, {"t": "1.1", "j": "area.job", "d": '{"v":9}'})
        client.xadd(KEY, {"t": "1.1", "j": b"area.job", "d": b"\xff\xfe"})
        client.xadd(KEY, {"t": "1.1", "s": "nonsense"})
        client.xadd(KEY, {"something": "else"})
    ledger.append("1.2", record("1.2", 2_000), [fire()])
    assert ledger.read("area.job", 20) == ledger.read(None, 20) == [fire()]
    told = [(found.getMessage(), vars(found)["key"], vars(found)["count"]) for found in caplog.records]
    assert told == [("stored_value_left_out", KEY, 1_202)] * 2
    caplog.clear()
    [tick, decided] = ledger.entries("", 2)
    assert (tick.content, decided.content) == (tick_of(record("1.2", 2_000)), fire())
    assert [vars(found)["count"] for found in caplog.records] == [1_203]


def test_what_another_publisher_has_written_is_read(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        id_ = client.xadd(KEY, {"t": "5.12", "j": "area.job", "d": decision_text(fire())})
    assert RedisLedger(redis_at(redis_url)).entries("", 10) == [Entry(id_.decode(), "5.12", fire())]


def test_a_key_of_another_kind_is_moved_aside(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    ledger = RedisLedger(redis_at(redis_url))
    with redis.Redis.from_url(redis_url) as client:
        client.set(KEY, "a string")
        with caplog.at_level(logging.WARNING):
            ledger.append("1.1", "", [fire()])
        assert client.get(f"{KEY}:foreign") == b"a string"
        assert [found.getMessage() for found in caplog.records] == ["stored_value_quarantined"]
        assert ledger.read("area.job", 20) == [fire()]
        for read in (lambda: ledger.read("area.job", 20), lambda: ledger.entries("", 20)):
            client.delete(KEY)
            client.set(KEY, "a string")
            assert read() == []
            assert client.exists(KEY) == 0


def test_a_server_without_room_keeps_what_it_has(redis_url: str) -> None:
    ledger = RedisLedger(redis_at(redis_url))
    ledger.append("1.1", "", [fire()])
    with redis.Redis.from_url(redis_url) as client:
        used: int = client.config_get("maxmemory")["maxmemory"]
        client.config_set("maxmemory", "1kb")
        try:
            with pytest.raises(StoreAwayError):
                ledger.append("1.2", "", [SKIP])
        finally:
            client.config_set("maxmemory", used)
    assert ledger.read("area.job", 20) == [fire()]


def test_a_server_that_is_away_is_said_to_be() -> None:
    ledger = RedisLedger(redis_at("redis://127.0.0.1:1/0"))
    for call in (
        lambda: ledger.append("1.1", "", [fire()]),
        lambda: ledger.read("area.job", 20),
        lambda: ledger.entries("", 20),
    ):
        with pytest.raises(StoreAwayError):
            call()
