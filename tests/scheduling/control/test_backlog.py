"""When a queue counts as overloaded, who is throttled first and how far, and how the rates come back."""

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given

from packages.scheduling.control.controllers import QueueControl, WaitBasis
from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.readings import QueueReading
from tests.scheduling.control.readings import ALL, EMPTY, INTERVAL_MS, UNTIL_STANDING, Stepped, histories, waiting

if TYPE_CHECKING:
    from packages.scheduling.model import Criticality

SHEDDABLE, PLUS, CRITICAL, CRITICAL_PLUS = ALL


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
    # Later a look takes in more, where it is not grave.
    standing = control.policy.standing_ms // INTERVAL_MS
    control.step(standing, area=waiting(6_000))
    later = control.rate(SHEDDABLE)
    control.step(standing - 1, area=waiting(6_000))
    assert control.rate(SHEDDABLE) == later
    control.step(1, area=waiting(6_000))
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
    assert all(0.95 < after / before < 1 for before, after in pairwise([first, *learnt]))
    assert 900 <= lowest < 1_000


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
