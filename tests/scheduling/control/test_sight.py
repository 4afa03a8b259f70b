"""What is known of a queue in a control interval: how long messages wait, and who serves it; now, lately, or not."""

from hypothesis import given
from hypothesis import strategies as st

from packages.scheduling.control.backlog import step_queues
from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.readings import QueueReading
from packages.scheduling.snapshot import Reading
from tests.scheduling.control.readings import (
    ALL,
    EMPTY,
    INTERVAL_MS,
    STALE_MS,
    UNTIL_STANDING,
    Stepped,
    histories,
    waiting,
)
from tests.scheduling.jobs import MIDNIGHT

SHEDDABLE, _, _, CRITICAL_PLUS = ALL


def test_an_absent_reading_holds_what_was_decided_and_lets_go_in_the_end() -> None:
    control = Stepped()
    control.step(UNTIL_STANDING + 5, area=waiting(60_000))
    held = control.rate(SHEDDABLE)
    last = Reading(EMPTY, control.now - INTERVAL_MS)
    while control.now + INTERVAL_MS <= last.taken_at + control.policy.standing_ms:
        control.step_on({"area": last})
        assert control.rate(SHEDDABLE) == held
        assert control.queues["area"].wait_ms is None
    control.step_on({"area": last})
    assert control.rate(SHEDDABLE) == held + control.policy.increase


def test_a_reading_that_does_not_tell_the_wait_or_none_at_all_holds_what_was_decided() -> None:
    untold = waiting(0)._replace(ready=40, oldest_ms=None, completed=None, consumers=None)
    for readings in ({"area": untold}, {}):
        control = Stepped(present={"area": (SHEDDABLE,)})
        control.step(UNTIL_STANDING + 20, area=waiting(60_000))
        held = control.queues["area"]
        control.step(3, **readings)
        after = control.queues["area"]
        assert (after.rates, after.fits, after.above_since) == (held.rates, held.fits, held.above_since)
        assert after.wait_ms is None
        # And not for ever.
        control.step(control.policy.standing_ms * 2 // INTERVAL_MS, **readings)
        assert control.rate(SHEDDABLE) > held.rates[SHEDDABLE]


def test_an_overload_that_is_read_now_and_then_is_one_all_the_same() -> None:
    control = Stepped()
    old: dict[str, Reading[QueueReading]] = {}
    for number in range(40):
        if number % 10 == 0:
            old = {"area": Reading(waiting(600_000, messages=100 + number), control.now)}
        control.now += INTERVAL_MS
        control.queues = step_queues(
            control.queues, old, control.policy, control.present, control.now, stale_ms=STALE_MS
        )
    assert control.rate(SHEDDABLE) < ONE


def test_a_clock_that_is_set_back_does_not_put_the_next_look_off() -> None:
    control = Stepped(BacklogPolicy(most_decrease=400_000))
    control.step(UNTIL_STANDING + 20, area=waiting(60_000))
    before = control.rate(SHEDDABLE)
    control.now -= 3_600_000
    control.step(2 + control.policy.again_ms // INTERVAL_MS, area=waiting(60_000))
    assert control.rate(SHEDDABLE) < before


def test_a_queue_that_nobody_serves_is_no_overload_but_is_said_to_be_unserved() -> None:
    control = Stepped()
    for number in range(60):
        control.step(1, area=waiting(900_000 + number * INTERVAL_MS, consumers=0))
    served = control.queues["area"]
    assert (served.unserved, dict(served.rates), served.since) == (True, {}, MIDNIGHT)
    control.step(1, area=waiting(900_000, consumers=1))
    assert (control.queues["area"].unserved, control.queues["area"].since) == (False, None)


def test_since_when_nobody_serves_a_queue_is_told_apart_from_since_when_it_is_throttled() -> None:
    control = Stepped()
    control.step(UNTIL_STANDING + 5, area=waiting(60_000))
    throttled_since = control.queues["area"].since
    served_until = control.now
    for number in range(3):
        control.step(1, area=waiting(60_000 + number * INTERVAL_MS, consumers=0))
    area = control.queues["area"]
    assert (area.since, area.unserved_since) == (throttled_since, served_until)
    control.step(1, area=waiting(60_000))
    area = control.queues["area"]
    assert (area.since, area.unserved_since) == (throttled_since, None)


def test_who_serves_a_queue_may_be_unknown_and_is_not_nobody_then() -> None:
    control = Stepped()
    control.step(1, area=waiting(1_000, consumers=None))
    assert not control.queues["area"].unserved


def test_nobody_serves_a_queue_only_as_long_as_that_is_known() -> None:
    control = Stepped()
    control.step(1, area=waiting(1_000, consumers=0))
    last = {"area": Reading(waiting(1_000, consumers=0), control.now)}
    control.step_on(last)
    assert control.queues["area"].unserved
    control.now += control.policy.standing_ms
    control.step_on(last)
    assert not control.queues["area"].unserved


@given(histories, st.integers(1, 5))
def test_an_absent_reading_never_reads_as_zero(history: list[dict[str, QueueReading]], absent: int) -> None:
    """What is not read neither throttles nor sets free: for as long as it was read lately, the rates stay."""
    control = Stepped(present={"area": ALL, "other": (SHEDDABLE, CRITICAL_PLUS)})
    for readings in history:
        control.step(1, **readings)
    control.step(1, area=waiting(60_000), other=waiting(60_000))
    before = dict(control.queues)
    last = {queue: Reading(EMPTY._replace(ready=None), control.now - INTERVAL_MS) for queue in before}
    for _ in range(absent):
        control.step_on(last)
    assert {queue: each.rates for queue, each in control.queues.items()} == {
        queue: each.rates for queue, each in before.items()
    }
