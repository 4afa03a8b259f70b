"""What a store of the operator's word does."""

import pytest

from packages.infra.control.control import ControlStore
from packages.scheduling.instants import HOUR_MS
from packages.scheduling.policies import GateMode
from packages.scheduling.requests import BackfillRequest, TriggerRequest
from packages.scheduling.snapshot import Pause, PauseScope
from tests.control.redis_stores import open_store

NOW = 1_795_330_000_000
EVERYTHING = Pause(PauseScope.ALL, "", since=NOW, until=None, note="")
OF_JOB = Pause(PauseScope.JOB, "a.b", since=NOW, until=NOW + HOUR_MS, note="the “disk” is full")
OF_QUEUE = Pause(PauseScope.QUEUE, "maintenance", since=NOW, until=None, note="")
TRIGGER = TriggerRequest(id="01", job="a.b", requested_at=NOW, forced=True)
BACKFILL = BackfillRequest(id="02", job="a.b", start=NOW - HOUR_MS, end=NOW, every_ms=30_000, requested_at=NOW)


@pytest.fixture
def store(redis_url: str) -> ControlStore:
    return open_store(redis_url)


def test_nothing_is_said_at_first(store: ControlStore) -> None:
    control = store.read(NOW)
    assert (control.pauses, control.requests, dict(control.gate_modes)) == ((), (), {})


def test_pauses_come_back_as_they_were_the_widest_first(store: ControlStore) -> None:
    for pause in (OF_JOB, OF_QUEUE, EVERYTHING):
        store.pause(pause)
    assert store.read(NOW).pauses == (EVERYTHING, OF_QUEUE, OF_JOB)


def test_pausing_again_replaces(store: ControlStore) -> None:
    store.pause(OF_JOB)
    assert store.read(NOW).pauses == (OF_JOB,)
    later = OF_JOB._replace(until=None, note="for good")
    store.pause(later)
    assert store.read(NOW).pauses == (later,)


def test_resuming_drops_that_pause_alone_and_says_whether_there_was_one(store: ControlStore) -> None:
    store.pause(EVERYTHING)
    store.pause(OF_JOB)
    assert store.resume(PauseScope.JOB, "a.b")
    assert not store.resume(PauseScope.JOB, "a.b")
    assert not store.resume(PauseScope.QUEUE, "a.b")
    assert store.read(NOW).pauses == (EVERYTHING,)


@pytest.mark.parametrize(("at", "count"), [(NOW, 1), (NOW + HOUR_MS - 1, 1), (NOW + HOUR_MS, 0)])
def test_a_pause_that_has_ended_is_not_read(store: ControlStore, at: int, count: int) -> None:
    store.pause(OF_JOB)
    assert len(store.read(at).pauses) == count


def test_a_pause_ends_for_a_reader_who_has_seen_it_too(store: ControlStore) -> None:
    store.pause(OF_JOB._replace(until=NOW + 1000))
    assert store.read(NOW + 500).pauses
    assert not store.read(NOW + 1000).pauses
    # A clock that was set back: it holds again.
    assert store.read(NOW + 500).pauses


def test_a_request_stays_until_it_is_acknowledged(store: ControlStore) -> None:
    store.request(BACKFILL)
    store.request(TRIGGER)
    assert store.read(NOW).requests == (TRIGGER, BACKFILL)
    assert store.read(NOW + 500).requests == (TRIGGER, BACKFILL)
    store.acknowledge([TRIGGER.id, "never seen"])
    assert store.read(NOW + 1000).requests == (BACKFILL,)
    store.acknowledge([])
    store.acknowledge([BACKFILL.id])
    assert store.read(NOW + 1500).requests == ()


def test_a_word_on_a_gate_is_kept_and_taken_back(store: ControlStore) -> None:
    store.set_gate_mode("trading_hours", GateMode.OFF)
    store.set_gate_mode("windows", GateMode.ENFORCE)
    store.set_gate_mode("trading_hours", GateMode.OBSERVE)
    assert store.read(NOW).gate_modes == {"trading_hours": GateMode.OBSERVE, "windows": GateMode.ENFORCE}
    store.set_gate_mode("trading_hours", None)
    assert store.read(NOW).gate_modes == {"windows": GateMode.ENFORCE}
