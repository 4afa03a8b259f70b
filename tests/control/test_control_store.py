"""What a store of the operator's word does."""

import pytest

from packages.infra.control.control import ControlStore
from packages.scheduling.instants import HOUR_MS
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode
from packages.scheduling.requests import BackfillRequest, ResetRequest, TriggerRequest
from packages.scheduling.snapshot import Exemption, Pause, PauseScope, Pin
from tests.control.redis_stores import open_store

NOW = 1_795_330_000_000
EVERYTHING = Pause(PauseScope.ALL, "", since=NOW, until=None, note="")
OF_JOB = Pause(PauseScope.JOB, "a.b", since=NOW, until=NOW + HOUR_MS, note="the “disk” is full")
OF_QUEUE = Pause(PauseScope.QUEUE, "maintenance", since=NOW, until=None, note="")
TRIGGER = TriggerRequest(id="01", job="a.b", requested_at=NOW, forced=True)
BACKFILL = BackfillRequest(id="02", job="a.b", start=NOW - HOUR_MS, end=NOW, every_ms=30_000, requested_at=NOW)
RESET = ResetRequest(id="03", requested_at=NOW, queue="maintenance")
WHOLE = Pin("maintenance", None, 250_000, since=NOW, until=None, note="")
OF_SHEDDABLE = Pin("maintenance", Criticality.SHEDDABLE, 0, since=NOW, until=NOW + HOUR_MS, note="the “disk” is full")
ELSEWHERE = Pin("market_data", Criticality.CRITICAL, 1_000_000, since=NOW, until=None, note="")
EXEMPT = Exemption("a.b", since=NOW, until=NOW + HOUR_MS, note="a release")


@pytest.fixture
def store(redis_url: str) -> ControlStore:
    return open_store(redis_url)


def test_nothing_is_said_at_first(store: ControlStore) -> None:
    control = store.read(NOW)
    assert (control.pauses, control.requests, dict(control.gate_modes)) == ((), (), {})
    assert (control.pins, control.exemptions) == ((), ())


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
    anything = RESET._replace(id="04", queue=None)
    for request in (anything, BACKFILL, RESET, TRIGGER):
        store.request(request)
    assert store.read(NOW).requests == (TRIGGER, BACKFILL, RESET, anything)
    assert store.read(NOW + 500).requests == (TRIGGER, BACKFILL, RESET, anything)
    store.acknowledge([TRIGGER.id, RESET.id, "never seen"])
    assert store.read(NOW + 1000).requests == (BACKFILL, anything)
    store.acknowledge([])
    store.acknowledge([BACKFILL.id, anything.id])
    assert store.read(NOW + 1500).requests == ()


def test_a_word_on_a_gate_is_kept_and_taken_back(store: ControlStore) -> None:
    store.set_gate_mode("trading_hours", GateMode.OFF)
    store.set_gate_mode("windows", GateMode.ENFORCE)
    store.set_gate_mode("trading_hours", GateMode.OBSERVE)
    assert store.read(NOW).gate_modes == {"trading_hours": GateMode.OBSERVE, "windows": GateMode.ENFORCE}
    store.set_gate_mode("trading_hours", None)
    assert store.read(NOW).gate_modes == {"windows": GateMode.ENFORCE}


def test_pins_come_back_as_they_were_the_widest_of_a_queue_first(store: ControlStore) -> None:
    for pin in (OF_SHEDDABLE, ELSEWHERE, WHOLE):
        store.pin(pin)
    assert store.read(NOW).pins == (WHOLE, OF_SHEDDABLE, ELSEWHERE)


def test_pinning_again_replaces_and_unpinning_drops_that_pin_alone(store: ControlStore) -> None:
    store.pin(WHOLE)
    store.pin(OF_SHEDDABLE)
    store.pin(WHOLE._replace(rate=1, note="less"))
    assert [pin.rate for pin in store.read(NOW).pins] == [1, 0]
    assert store.unpin("maintenance", None)
    assert not store.unpin("maintenance", None)
    assert not store.unpin("maintenance", Criticality.CRITICAL)
    assert not store.unpin("market_data", Criticality.SHEDDABLE)
    assert store.read(NOW).pins == (OF_SHEDDABLE,)


def test_exemptions_are_kept_by_job_and_taken_back(store: ControlStore) -> None:
    other = Exemption("a.a", since=NOW, until=None, note="")
    store.exempt(EXEMPT)
    store.exempt(other)
    store.exempt(EXEMPT._replace(note="another"))
    assert store.read(NOW).exemptions == (other, EXEMPT._replace(note="another"))
    assert store.unexempt("a.b")
    assert not store.unexempt("a.b")
    assert store.read(NOW).exemptions == (other,)


@pytest.mark.parametrize(("at", "count"), [(NOW, 1), (NOW + HOUR_MS - 1, 1), (NOW + HOUR_MS, 0)])
def test_pins_and_exemptions_end_also_for_a_reader_who_has_seen_them(store: ControlStore, at: int, count: int) -> None:
    store.pin(OF_SHEDDABLE)
    store.pin(ELSEWHERE)
    store.exempt(EXEMPT)
    assert len(store.read(NOW).pins) == 2
    control = store.read(at)
    assert (len(control.pins), len(control.exemptions)) == (1 + count, count)
