"""Not known is not zero: a reading that is left out neither throttles nor lets go, for as long as is promised.

Promised is: of a queue, its rates and whether anybody serves it, for the time of an overload and that after which a
reading is stale, since it was told last; of an objective, its level, for an hour since the last reading, or where there
is none since the level began; of a task, that its rate wears off by the same little at a time.
"""

from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.scheduling.control.burn import UNSEEN_MS
from packages.scheduling.control.controllers import NEUTRAL, Controllers
from packages.scheduling.control.failing import WEARS_OFF
from packages.scheduling.control.shares import ONE
from packages.scheduling.control.step import step
from packages.scheduling.instants import MINUTE_MS
from packages.scheduling.model import Criticality
from packages.scheduling.readings import QueueReading, TaskReading
from packages.scheduling.snapshot import Reading, Snapshot
from tests.scheduling.control.histories import NAMES, OBJECTIVES, POLICY, QUEUES, histories, read_objective
from tests.scheduling.jobs import MIDNIGHT

PRESENT: Final = dict.fromkeys(QUEUES, tuple(Criticality))
# For as long as a queue is known as it was told last.
LATELY_MS: Final = POLICY.backlog.standing_ms + POLICY.stale_ms
# What would set everything free, if it were true now.
NOTHING_WAITS: Final = dict.fromkeys(QUEUES, QueueReading(ready=0, completed=9, over_ms=9, consumers=1))
ALL_WELL: Final[Mapping[str, Mapping[str, Any]]] = {
    "queues": NOTHING_WAITS,
    "objectives": {each.name: read_objective(0) for each in OBJECTIVES},
    "tasks": {name: TaskReading(100, 100) for name in NAMES},
}


def stepped(controllers: Controllers, snapshot: Snapshot) -> Controllers:
    return step(controllers, snapshot, POLICY, PRESENT, snapshot.taken_at)


def played(history: list[Snapshot]) -> Controllers:
    controllers = NEUTRAL
    for snapshot in history:
        controllers = stepped(controllers, snapshot)
    return controllers


def left_out(last: Snapshot, now: int, old: Mapping[str, Mapping[str, Any]], old_at: int) -> Snapshot:
    """The last snapshot at another instant, without its readings, and with old ones."""
    readings: dict[str, Any] = {
        kind: {name: Reading(value, old_at) for name, value in values.items()} for kind, values in old.items()
    }
    return last._replace(taken_at=now, **{"queues": {}, "objectives": {}, "tasks": {}, **readings})


@given(history=histories, intervals=st.integers(1, 400), is_old=st.booleans())
def test_what_is_left_out_neither_throttles_nor_lets_go_for_as_long_as_is_promised(
    history: list[Snapshot], intervals: int, *, is_old: bool
) -> None:
    before = controllers = played(history)
    end = history[-1].taken_at
    old_at = end - POLICY.stale_ms - 1
    for number in range(1, intervals + 1):
        now = end + number * POLICY.interval_ms
        controllers = stepped(controllers, left_out(history[-1], now, ALL_WELL if is_old else {}, old_at))
        for name, queue in before.queues.items():
            after = controllers.queues[name]
            if queue.told_at is not None and now - queue.told_at <= LATELY_MS:
                assert (after.rates, after.fits) == (queue.rates, queue.fits)
            if queue.unheard is None:
                assert not after.unserved
            elif queue.unheard.told_at is not None and now - queue.unheard.told_at <= LATELY_MS:
                assert after.unserved_since == queue.unserved_since
        assert controllers.levels.keys() <= before.levels.keys()
        for name, level in before.levels.items():
            if now - (old_at if is_old else level.since) < UNSEEN_MS:
                assert controllers.levels[name] == level
        for task in {*before.targets, *controllers.targets}:
            rate = before.targets[task].rate + number * WEARS_OFF
            assert (controllers.targets[task].rate if task in controllers.targets else ONE) == min(ONE, rate)


@given(history=histories)
def test_who_cannot_be_seen_is_not_held_for_ever(history: list[Snapshot]) -> None:
    controllers = played(history)
    for number in range(1, 400):
        now = history[-1].taken_at + number * MINUTE_MS
        controllers = stepped(controllers, left_out(history[-1], now, {}, now))
    assert not controllers.throttles


@given(history=histories, data=st.data())
def test_a_message_that_waits_is_none_of_a_queue_without_workers_while_nobody_tells_who_serves_it(
    history: list[Snapshot], data: st.DataObject
) -> None:
    """As on a broker that can be asked, while the Redis of the workers cannot."""
    controllers = before = played(history)
    end = history[-1].taken_at
    for number, ready in enumerate(data.draw(st.lists(st.integers(0, 500), min_size=1, max_size=30)), 1):
        now = end + number * POLICY.interval_ms
        snapshot = left_out(history[-1], now, {"queues": dict.fromkeys(QUEUES, QueueReading(ready=ready))}, now)
        controllers = stepped(controllers, snapshot)
        for name, queue in before.queues.items():
            told_at = None if queue.unheard is None else queue.unheard.told_at
            is_kept = told_at is not None and now - told_at <= LATELY_MS
            assert controllers.queues[name].unserved_since == (queue.unserved_since if is_kept else None)


@pytest.mark.parametrize("is_left_out", [True, False])
def test_zero_would_let_go_of_what_is_not_known(is_left_out: bool) -> None:  # noqa: FBT001  # a column
    """The difference that all of this is about, once for each kind of reading."""
    now = MIDNIGHT + 5 * MINUTE_MS
    controllers = NEUTRAL
    for at in range(MIDNIGHT, now, POLICY.interval_ms):
        waits = {"area": Reading(QueueReading(ready=5, oldest_ms=1_000 + at - MIDNIGHT, consumers=0), at)}
        fails = {"area.job": Reading(TaskReading(100, 0), at)}
        burns = {"orders": Reading(read_objective(100), at)}
        controllers = stepped(controllers, Snapshot(at, queues=waits, tasks=fails, objectives=burns))
    snapshot = Snapshot(now)
    if not is_left_out:
        zero = {"orders": Reading(read_objective(None), now)}
        well = {"area.job": Reading(TaskReading(100, 100), now)}
        empty = {"area": Reading(NOTHING_WAITS["area"], now)}
        snapshot = Snapshot(now, queues=empty, tasks=well, objectives=zero)
    after = stepped(controllers, snapshot)
    assert after.queues["area"].unserved is is_left_out
    assert (after.levels["orders"].calm_since is None) is is_left_out
    assert (after.targets["area.job"].rate == controllers.targets["area.job"].rate + WEARS_OFF) is is_left_out
