"""When a queue counts as overloaded, who is throttled first and how far, and how the rates come back."""

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from packages.scheduling.control.backlog import step_queues
from packages.scheduling.control.controllers import QueueControl, WaitBasis
from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.readings import QueueReading
from packages.scheduling.snapshot import Reading
from tests.scheduling.control.readings import ALL, EMPTY, INTERVAL_MS, STALE_MS, Stepped, waiting
from tests.scheduling.jobs import MIDNIGHT

if TYPE_CHECKING:
    from packages.scheduling.model import Criticality

SHEDDABLE, PLUS, CRITICAL, CRITICAL_PLUS = ALL
# A wait above the target must have stood for a minute: the first and twelve more readings.
UNTIL_STANDING = 13
SHARED = frozenset({"trading", "area"})


def test_a_wait_that_stands_for_the_interval_is_an_overload_and_one_that_drains_is_none() -> None:
    burst = Stepped()
    burst.step(UNTIL_STANDING - 1, area=waiting(20_000))
    burst.step(1, area=waiting(4_000))
    burst.step(UNTIL_STANDING - 1, area=waiting(20_000))
    assert not burst.queues["area"].rates
    standing = Stepped()
    standing.step(UNTIL_STANDING - 1, area=waiting(20_000))
    assert not standing.queues["area"].rates
    standing.step(1, area=waiting(20_000))
    assert set(standing.queues["area"].rates) == {SHEDDABLE}


def test_the_least_critical_are_throttled_first_and_come_back_last() -> None:
    control = Stepped(BacklogPolicy(least_rates={SHEDDABLE: 0, PLUS: 100_000, CRITICAL: 500_000}))
    order: list[tuple[Criticality, ...]] = []
    for _ in range(120):
        control.step(1, area=waiting(60_000))
        order.append(tuple(control.queues["area"].rates))
    assert list(dict.fromkeys(order)) == [(), (SHEDDABLE,), (SHEDDABLE, PLUS), (SHEDDABLE, PLUS, CRITICAL)]
    assert dict(control.queues["area"].rates) == {SHEDDABLE: 0, PLUS: 100_000, CRITICAL: 500_000}
    back: list[tuple[Criticality, ...]] = []
    while control.queues["area"].rates:
        control.step(1, area=EMPTY)
        back.append(tuple(control.queues["area"].rates))
    assert list(dict.fromkeys(back)) == [(SHEDDABLE, PLUS, CRITICAL), (SHEDDABLE, PLUS), (SHEDDABLE,), ()]


def test_critical_work_is_left_alone_unless_it_is_told_otherwise() -> None:
    control = Stepped()
    control.step(500, area=waiting(600_000))
    assert dict(control.queues["area"].rates) == {SHEDDABLE: 0, PLUS: 50_000}


def test_a_throttled_queue_is_looked_at_again_sooner_and_cut_a_little_at_a_time() -> None:
    control = Stepped(BacklogPolicy(most_decrease=400_000))
    control.step(UNTIL_STANDING, area=waiting(6_000))
    begun = control.rate(SHEDDABLE)
    assert begun == ONE - control.policy.most_decrease
    again = control.policy.again_ms // INTERVAL_MS
    control.step(again - 1, area=waiting(6_000))
    assert control.rate(SHEDDABLE) == begun
    # What has just begun is not known well yet, and may have to be cut as deep once more.
    control.step(1, area=waiting(6_000))
    assert control.rate(SHEDDABLE) == begun * (ONE - control.policy.most_decrease) // ONE
    control.step(2 * again, area=waiting(6_000))
    later = control.rate(SHEDDABLE)
    control.step(again, area=waiting(6_000))
    assert control.rate(SHEDDABLE) == later * (ONE - control.policy.decrease) // ONE
    later = control.rate(SHEDDABLE)
    control.step(again, area=waiting(6_000 * control.policy.grave))
    assert control.rate(SHEDDABLE) == later * (ONE - control.policy.most_decrease) // ONE


def test_a_queue_that_will_soon_have_drained_is_cut_no_further() -> None:
    control = Stepped()
    control.step(UNTIL_STANDING, area=waiting(10_000, messages=100, completed=50))
    cut = control.rate(SHEDDABLE)
    for messages in range(90, 10, -10):
        control.step(1, area=waiting(10_000, messages=messages, completed=60))
        assert control.rate(SHEDDABLE) == cut


def test_between_calm_and_overload_hardly_anything_changes() -> None:
    control = Stepped()
    control.step(UNTIL_STANDING, area=waiting(60_000))
    cut = control.rate(SHEDDABLE)
    control.step(100, area=waiting(control.policy.target_ms))
    # Or next to nothing: a queue that is never calm must not be throttled for ever.
    near = control.rate(SHEDDABLE) - cut
    control.step(100, area=waiting(control.policy.target_ms // 2))
    half_way = control.rate(SHEDDABLE) - cut - near
    assert 0 < near < half_way <= 100 * control.policy.increase // 8
    cut = control.rate(SHEDDABLE)
    control.step(1, area=waiting(control.policy.calm_ms_of("area")))
    assert control.rate(SHEDDABLE) > cut


def test_once_it_has_drained_the_rate_goes_back_to_what_fitted_and_slowly_on() -> None:
    """Three of four arrivals are completed, so a rate of three quarters fits; to drain it is cut to less."""
    control = Stepped()
    for messages in range(100, 100 + 10 * UNTIL_STANDING, 10):
        control.step(1, area=waiting(15_000, messages=messages, completed=180))
    fits = control.queues["area"].fits[SHEDDABLE]
    assert 720_000 < fits < 750_000
    assert control.rate(SHEDDABLE) < fits
    control.step(1, area=EMPTY)
    assert control.rate(SHEDDABLE) == fits
    control.step(5, area=EMPTY)
    assert control.rate(SHEDDABLE) == fits + 5 * control.policy.increase
    control.step(1_000, area=EMPTY)
    assert not control.queues["area"].rates
    assert not control.queues["area"].fits


def test_what_is_grave_and_grows_is_not_waited_for_and_both_kinds_of_sheddable_work_make_room() -> None:
    control = Stepped()
    again = control.policy.again_ms // INTERVAL_MS
    for messages in range(100, 100 + 10 * (again + 1), 10):
        assert not control.queues.get("area", QueueControl()).rates
        control.step(1, area=waiting(30_000, messages=messages, completed=180))
    assert set(control.queues["area"].rates) == {SHEDDABLE, PLUS}
    # Once it has drained who was cut along with the others is first to come back, and nearly at once.
    control.step(1, area=EMPTY)
    assert control.rate(PLUS) == 850_000


def test_a_queue_that_shrinks_is_no_reason_to_cut_into_what_matters_more() -> None:
    control = Stepped()
    control.step(600, area=waiting(19_000, messages=2_000))
    assert control.rate(SHEDDABLE) == 0
    before = control.rate(PLUS)
    for messages in range(1_999, 1_800, -1):
        control.step(1, area=waiting(19_000, messages=messages, completed=10))
    assert control.rate(PLUS) == before


def test_what_fits_is_learnt_from_every_look_a_little_and_a_queue_that_drains_is_not_cut_far_below_it() -> None:
    control = Stepped(present={"area": (SHEDDABLE,)})
    for messages in range(100, 100 + 10 * UNTIL_STANDING, 10):
        control.step(1, area=waiting(15_000, messages=messages, completed=180))
    # Long enough for the overload not to be a new one any more.
    control.step(6, area=EMPTY)
    first = control.queues["area"].fits[SHEDDABLE]
    fits, lowest = [first], ONE
    # Whatever the rate, a twentieth more arrives than is completed.
    for messages in range(100, 400, 3):
        control.step(1, area=waiting(6_000, messages=messages, completed=180))
        fits.append(control.queues["area"].fits[SHEDDABLE])
        lowest = min(lowest, control.rate(SHEDDABLE) * 1_000 // fits[-1])
    learnt = [after for before, after in pairwise(fits) if after != before]
    assert all(0.97 < after / before < 1 for before, after in pairwise([first, *learnt]))
    assert 945 <= lowest < 1_000


def test_a_rate_rises_faster_the_longer_it_is_calm() -> None:
    control = Stepped(present={"area": (SHEDDABLE,)})
    control.step(200, area=waiting(600_000))
    rates = [control.rate(SHEDDABLE)]
    while control.rate(SHEDDABLE) < ONE:
        control.step(1, area=EMPTY)
        rates.append(control.rate(SHEDDABLE))
    steps = [after - before for before, after in pairwise(rates[:-1])]
    a_minute = control.policy.standing_ms // INTERVAL_MS
    first = control.policy.increase
    assert steps[: 3 * a_minute] == [first] * a_minute + [2 * first] * a_minute + [4 * first] * a_minute
    assert set(steps[3 * a_minute :]) == {first << control.policy.most_doubled}


def test_workers_that_serve_several_queues_are_relieved_of_what_matters_least_in_any_of_them() -> None:
    control = Stepped(present={"trading": (CRITICAL,), "area": (SHEDDABLE, CRITICAL), "far": (SHEDDABLE,)})
    trading = waiting(60_000)._replace(group=SHARED)
    area = EMPTY._replace(group=SHARED)
    control.step(UNTIL_STANDING + 60, trading=trading, area=area, far=EMPTY)
    assert dict(control.queues["area"].rates) == {SHEDDABLE: 0}
    assert not control.queues["trading"].rates
    assert not control.queues["far"].rates
    # While the neighbour is in need nothing rises, though this queue is empty.
    control.step(5, trading=waiting(6_000)._replace(group=SHARED), area=area)
    assert dict(control.queues["area"].rates) == {SHEDDABLE: 0}
    control.step(1, trading=EMPTY._replace(group=SHARED), area=area)
    # It made room for another one, and can take most of what it took before.
    assert control.rate(SHEDDABLE) == 850_000


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


def test_a_wait_without_end_counts_as_one_above_any_target() -> None:
    control = Stepped()
    control.step(UNTIL_STANDING, area=QueueReading(ready=3, completed=0, over_ms=30_000))
    assert control.queues["area"].basis is WaitBasis.STUCK
    assert control.rate(SHEDDABLE) < ONE


def test_a_queue_may_have_a_target_of_its_own() -> None:
    control = Stepped(BacklogPolicy(targets_ms={"area": 30 * SECOND_MS}))
    control.step(60, area=waiting(29_000))
    assert not control.queues["area"].rates


def test_a_queue_that_is_well_but_never_calm_is_whole_again_in_the_end() -> None:
    control = Stepped(present={"area": (SHEDDABLE,)})
    control.step(300, area=waiting(600_000))
    assert control.rate(SHEDDABLE) == 0
    control.step(5_000, area=waiting(700))
    assert not control.queues["area"].rates


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


def test_nobody_serves_a_queue_only_as_long_as_that_is_known() -> None:
    control = Stepped()
    control.step(1, area=waiting(1_000, consumers=0))
    last = {"area": Reading(waiting(1_000, consumers=0), control.now)}
    control.step_on(last)
    assert control.queues["area"].unserved
    control.now += control.policy.standing_ms
    control.step_on(last)
    assert not control.queues["area"].unserved


def test_a_clock_that_is_set_back_does_not_put_the_next_look_off() -> None:
    control = Stepped(BacklogPolicy(most_decrease=400_000))
    control.step(UNTIL_STANDING + 20, area=waiting(60_000))
    before = control.rate(SHEDDABLE)
    control.now -= 3_600_000
    control.step(2 + control.policy.again_ms // INTERVAL_MS, area=waiting(60_000))
    assert control.rate(SHEDDABLE) < before


maybe = st.none() | st.integers(0, 10**6)
queue_readings = st.builds(
    QueueReading,
    ready=maybe,
    oldest_ms=maybe,
    reserved=maybe,
    running=maybe,
    completed=maybe,
    over_ms=st.sampled_from([0, 30_000]),
    consumers=st.none() | st.integers(0, 3),
    group=st.sampled_from([frozenset(), frozenset({"area", "other"}), frozenset({"area", "other", "gone"})]),
)
histories = st.lists(
    st.dictionaries(st.sampled_from(["area", "other", "unknown"]), queue_readings, max_size=3), max_size=60
)


@given(histories)
def test_whatever_is_read_no_rate_leaves_its_bounds_and_critical_plus_is_never_throttled(
    history: list[dict[str, QueueReading]],
) -> None:
    control = Stepped(present={"area": ALL, "other": (SHEDDABLE, CRITICAL_PLUS)})
    again = Stepped(present={"area": ALL, "other": (SHEDDABLE, CRITICAL_PLUS)})
    for readings in history:
        queues = control.step(1, **readings)
        assert queues == again.step(1, **readings)
        assert set(queues) == {"area", "other"}
        for each in queues.values():
            assert CRITICAL_PLUS not in each.rates
            assert CRITICAL not in each.rates
            assert all(control.policy.least_rates[c] <= rate < ONE for c, rate in each.rates.items())


@given(histories, st.integers(1, 5))
def test_an_absent_reading_never_reads_as_zero(history: list[dict[str, QueueReading]], absent: int) -> None:
    """What is not read neither throttles nor sets free: for as long as it was read lately, the rates stay."""
    control = Stepped(present={"area": ALL, "other": (SHEDDABLE, CRITICAL_PLUS)})
    for readings in history:
        control.step(1, **readings)
    control.step(1, area=waiting(60_000), other=waiting(60_000))
    before: dict[str, QueueControl] = dict(control.queues)
    last = {queue: Reading(EMPTY._replace(ready=None), control.now - INTERVAL_MS) for queue in before}
    for _ in range(absent):
        control.step_on(last)
    assert {queue: each.rates for queue, each in control.queues.items()} == {
        queue: each.rates for queue, each in before.items()
    }
