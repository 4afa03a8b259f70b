"""Queues that share workers: one object for all that name the same, and who of them has something left to cut."""

from packages.scheduling.control.controllers import QueueControl
from packages.scheduling.control.groups import groups_of
from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.model import Criticality

SHEDDABLE, PLUS = Criticality.SHEDDABLE, Criticality.SHEDDABLE_PLUS
PRESENT = {"a": (SHEDDABLE,), "b": (PLUS, SHEDDABLE), "c": (PLUS,)}
POLICY = BacklogPolicy()
LEAST = {SHEDDABLE: 0, PLUS: 50_000}


def test_queues_that_name_the_same_have_one_group_of_those_that_have_jobs() -> None:
    names = "a", "b", "without jobs"
    seen = {"a": QueueControl(group=frozenset(names)), "b": QueueControl(group=frozenset(names)), "c": QueueControl()}
    groups = groups_of(seen, PRESENT, POLICY)
    assert groups["a"] is groups["b"]
    assert groups["a"].queues == {"a", "b"}
    assert groups["c"].queues == {"c"}


def test_a_queue_whose_group_is_without_it_is_alone() -> None:
    seen = {"a": QueueControl(group=frozenset("bc")), "b": QueueControl()}
    assert groups_of(seen, PRESENT, POLICY)["a"].queues == {"a"}


def test_those_that_have_something_left_to_cut_are_found_once_an_interval() -> None:
    group = frozenset("abc")
    at_its_least = QueueControl(rates=LEAST, group=group)
    seen = {"a": QueueControl(group=group), "b": at_its_least, "c": QueueControl(rates={PLUS: ONE // 2}, group=group)}
    found = groups_of(seen, PRESENT, POLICY)["a"]
    assert [found.having(criticality) for criticality in (SHEDDABLE, PLUS)] == [["a", "b"], ["b", "c"]]
    assert (found.has_jobs("a", PLUS), found.has_jobs("b", PLUS)) == (False, True)
    assert [found.cuttable(criticality) for criticality in (SHEDDABLE, PLUS)] == [["a"], ["c"]]
    assert found.cuttable(PLUS) is found.cuttable(PLUS)
