"""Whose rates make room when several queues need it, and how far they are cut."""

from itertools import permutations

from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.model import Criticality
from tests.scheduling.control.readings import ALL, EMPTY, UNTIL_STANDING, Stepped, waiting

SHEDDABLE, PLUS, CRITICAL, _ = ALL


def test_who_is_cut_how_far_and_what_fits_do_not_hang_on_the_order_of_the_jobs() -> None:
    present = {"maintenance": (SHEDDABLE, PLUS), "trading": (CRITICAL,), "reports": (SHEDDABLE,)}
    group = frozenset(present)
    found = []
    for order in permutations(present):
        control = Stepped(present={queue: present[queue] for queue in order})
        for messages in range(100, 100 + 10 * 40, 10):
            standing = waiting(15_000, messages=messages, completed=180)._replace(group=group)
            control.step(1, maintenance=standing, trading=standing, reports=EMPTY._replace(group=group))
        found.append(dict(sorted(control.queues.items())))
    assert all(each == found[0] for each in found)


def test_several_queues_in_need_cut_a_rate_once() -> None:
    queues = {"one": (SHEDDABLE,), "two": (CRITICAL,), "three": (CRITICAL,)}
    group = frozenset(queues)
    control = Stepped(BacklogPolicy(most_decrease=400_000), present=queues)
    standing = waiting(6_000)._replace(group=group)
    control.step(UNTIL_STANDING, one=standing, two=standing, three=standing)
    assert control.rate(SHEDDABLE, "one") == 600_000


def test_workers_that_serve_several_queues_are_relieved_of_what_matters_least_in_any_of_them() -> None:
    control = Stepped(present={"trading": (CRITICAL,), "area": (SHEDDABLE, CRITICAL), "far": (SHEDDABLE,)})
    group = frozenset({"trading", "area"})
    trading = waiting(60_000)._replace(group=group)
    area = EMPTY._replace(group=group)
    control.step(UNTIL_STANDING + 60, trading=trading, area=area, far=EMPTY)
    assert dict(control.queues["area"].rates) == {SHEDDABLE: 0}
    assert not control.queues["trading"].rates
    assert not control.queues["far"].rates
    # While the neighbour is in need nothing rises, though this queue is empty.
    control.step(5, trading=waiting(6_000)._replace(group=group), area=area)
    assert dict(control.queues["area"].rates) == {SHEDDABLE: 0}
    control.step(1, trading=EMPTY._replace(group=group), area=area)
    # It made room for another one, and can take most of what it took before.
    assert control.rate(SHEDDABLE) == 850_000


def test_what_a_queue_that_does_not_shrink_needs_is_cut_until_it_does_and_then_from_what_matters_more() -> None:
    """Neither grave nor a burst: three targets, for as long as it takes."""
    control = Stepped(present={"trading": (CRITICAL,), "area": (SHEDDABLE, PLUS)})
    group = frozenset(control.present)
    for _ in range(1_440):
        trading = waiting(15_000, messages=50, completed=100)._replace(group=group)
        control.step(1, trading=trading, area=EMPTY._replace(group=group))
    assert control.rate(SHEDDABLE) == 0
    assert control.rate(PLUS) < ONE // 2


def test_a_least_rate_that_is_raised_holds_at_once_and_a_criticality_without_jobs_has_no_rate() -> None:
    lenient = BacklogPolicy(least_rates={SHEDDABLE: 0, PLUS: 50_000, Criticality.CRITICAL: 100_000})
    control = Stepped(lenient)
    control.step(400, area=waiting(60_000))
    assert dict(control.queues["area"].rates) == {SHEDDABLE: 0, PLUS: 50_000, CRITICAL: 100_000}
    control.policy = BacklogPolicy()
    control.present = {"area": (SHEDDABLE, CRITICAL)}
    control.step(1, area=waiting(60_000))
    assert dict(control.queues["area"].rates) == {SHEDDABLE: 0}
    assert set(control.queues["area"].fits) <= {SHEDDABLE, CRITICAL}
