"""What holds for every trigger, whatever it names."""

from itertools import pairwise

from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT
from packages.scheduling.triggers.base import CHUNK, Trigger


def named(trigger: Trigger, start: int, end: int) -> list[int]:
    """All of `between`, with the shape of its arrays checked."""
    found: list[int] = []
    for array in trigger.between(start, end):
        assert array.dtype == "int64"
        assert 1 <= len(array) <= CHUNK
        found.extend(array.tolist())
    return found


def by_single_steps(trigger: Trigger, start: int, end: int) -> list[int]:
    found = []
    at = trigger.next_after(start)
    while at is not None and at <= end:
        assert at > start
        found.append(at)
        start, at = at, trigger.next_after(at)
    return found


def check_laws(trigger: Trigger, start: int, end: int, middle: int) -> None:
    found = named(trigger, start, end)
    assert all(earlier < later for earlier, later in pairwise(found))
    assert all(start < nominal <= end for nominal in found)
    assert all(FIRST_INSTANT <= nominal <= LAST_INSTANT for nominal in found)
    assert found == by_single_steps(trigger, start, end)
    assert found == named(trigger, start, middle) + named(trigger, middle, end)
    assert named(trigger, end, start) == []
