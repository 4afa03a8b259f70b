"""Queues that share workers: one object for all that name the same, and who of them has something left to cut."""

from packages.scheduling.control.controllers import QueueControl
from packages.scheduling.control.groups import groups_of
from packages.scheduling.control.shares import ONE
from packages.scheduling.model import Criticality

SHEDDABLE, PLUS = Criticality.SHEDDABLE, Criticality.SHEDDABLE_PLUS
PRESENT = {"a": (SHEDDABLE,), "b": (PLUS, SHEDDABLE), "c": (PLUS,)}


def test_queues_that_name_the_same_have_one_group_of_those_that_have_jobs() -> None:
    names = "a", "b", "without jobs"
    seen = {"a": QueueControl(group=frozenset(names)), "b": QueueControl(group=frozenset(names)), "c": QueueControl()}
    groups = groups_of(seen, PRESENT)
    assert groups["a"] is groups["b"]
    assert groups["a"].queues == {"a", "b"}
    assert groups["c"].queues == {"c"}


def test_a_queue_whose_group_is_without_it_is_alone() -> None:
    assert groups_of({"a": QueueControl(group=frozenset("bc")), "b": QueueControl()}, PRESENT)["a"].queues == {"a"}


def test_who_has_nothing_left_to_cut_is_asked_no_more_in_this_interval() -> None:
    group = groups_of(dict.fromkeys("abc", QueueControl(group=frozenset("abc"))), PRESENT)["a"]
    assert group.having(SHEDDABLE) == ["a", "b"]
    assert (group.has_jobs("a", PLUS), group.has_jobs("b", PLUS)) == (False, True)
    whole, least = QueueControl(), QueueControl(rates={SHEDDABLE: 0})
    assert group.cuttable(SHEDDABLE, 0, {"a": whole, "b": QueueControl(rates={SHEDDABLE: ONE // 2})}) == ["a", "b"]
    assert group.cuttable(SHEDDABLE, 0, {"a": least, "b": whole}) == ["b"]
    assert group.cuttable(SHEDDABLE, 0, {"b": least}) == []
