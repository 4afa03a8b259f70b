"""A queue of which nobody tells more than its length: when that is an overload, how far it is cut, and what ends it."""

from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.scheduling.candidate import Candidate
from packages.scheduling.control.controllers import Controllers, WaitBasis
from packages.scheduling.control.policy import BacklogPolicy
from packages.scheduling.control.shares import ONE
from packages.scheduling.decision import SCHEDULE
from packages.scheduling.gates.backlog import opinion
from packages.scheduling.policies import PolicyError
from packages.scheduling.readings import QueueReading
from packages.scheduling.snapshot import Snapshot
from tests.scheduling.control.readings import ALL, EMPTY, INTERVAL_MS, UNTIL_STANDING, Stepped, waiting
from tests.scheduling.jobs import a_job

SHEDDABLE, PLUS, CRITICAL, _ = ALL
LIMIT = BacklogPolicy().target_messages
# What the deepest cut leaves: further nobody is cut by a length alone.
LEAST = ONE - BacklogPolicy().most_decrease
LATELY = (BacklogPolicy().standing_ms + 30_000) // INTERVAL_MS


def length(messages: int) -> QueueReading:
    """As a passive declaration tells it: nothing waits, or nobody knows for how long."""
    return QueueReading(ready=messages, oldest_ms=None if messages else 0)


def test_a_queue_that_only_grows_is_throttled_and_said_to_be_so_by_its_length() -> None:
    """As it was seen: ten messages more each second, for a hundred minutes."""
    control = Stepped()
    control.step(1, area=length(0))
    throttled_at = None
    for messages in range(50, 60_000, 10 * INTERVAL_MS // 1_000):
        control.step(1, area=length(messages))
        if throttled_at is None and control.queues["area"].rates:
            throttled_at = messages
    area = control.queues["area"]
    assert (area.wait_ms, area.basis, area.messages, area.by_length) == (None, WaitBasis.LENGTH, 59_950, True)
    # A minute above the target, from an empty queue on.
    assert throttled_at is not None
    assert throttled_at <= LIMIT + 50 * (UNTIL_STANDING + 1)
    assert dict(area.rates) == {SHEDDABLE: LEAST, PLUS: LEAST}


@pytest.mark.parametrize(
    "lengths",
    [
        pytest.param([3] * 200, id="a few messages"),
        pytest.param([LIMIT] * 200, id="the target"),
        pytest.param([*range(0, 50_000, 10_000), *range(50_000, 0, -50)], id="a burst that drains for hours"),
        pytest.param([0, 40_000, 30_000, 20_000, 10_000] * 40, id="a burst every so often"),
        pytest.param(([5_000] * (UNTIL_STANDING - 1) + [LIMIT]) * 10, id="it does not stand for long enough"),
    ],
)
def test_what_drains_or_is_short_is_no_overload(lengths: list[int]) -> None:
    control = Stepped()
    for messages in lengths:
        control.step(1, area=length(messages))
        assert not control.queues["area"].rates


def test_a_growing_burst_is_waited_for_however_long_the_queue_is() -> None:
    control = Stepped()
    for number in range(UNTIL_STANDING - 1):
        control.step(1, area=length(10_000 * (number + 1)))
        assert not control.queues["area"].rates
    control.step(1, area=length(10_000 * UNTIL_STANDING))
    assert control.queues["area"].rates


def test_the_target_is_a_setting() -> None:
    control = Stepped(BacklogPolicy(target_messages=7))
    control.step(UNTIL_STANDING + 1, area=length(7))
    assert not control.queues["area"].rates
    control.step(UNTIL_STANDING, area=length(8))
    assert control.queues["area"].rates
    with pytest.raises(PolicyError, match="at least one message"):
        BacklogPolicy(target_messages=0)


def test_nobody_is_starved_by_a_length_that_never_changes() -> None:
    """It may be that of a fast queue which somebody else fills: one in ten goes out, and critical work as ever."""
    control = Stepped(BacklogPolicy(least_rates={SHEDDABLE: 0, PLUS: 50_000, CRITICAL: 500_000}))
    control.step(2_000, area=length(1_000))
    assert dict(control.queues["area"].rates) == {SHEDDABLE: LEAST, PLUS: LEAST, CRITICAL: 500_000}


def test_a_rate_that_was_measured_is_not_raised_by_a_length() -> None:
    control = Stepped(present={"area": (SHEDDABLE,)})
    control.step(UNTIL_STANDING + 20, area=waiting(600_000))
    assert control.rate(SHEDDABLE) == 0
    control.step(LATELY + 100, area=length(1_000))
    assert control.rate(SHEDDABLE) == 0
    control.step(1, area=length(LIMIT))
    assert control.rate(SHEDDABLE) > 0


def test_a_throttled_queue_that_shrinks_is_cut_no_further_and_let_go_once_it_is_short() -> None:
    control = Stepped(present={"area": (SHEDDABLE,)})
    control.step(UNTIL_STANDING, area=length(5_000))
    cut = control.rate(SHEDDABLE)
    for messages in range(4_990, LIMIT, -10):
        control.step(1, area=length(messages))
        assert control.rate(SHEDDABLE) == cut
    control.step(1, area=length(LIMIT))
    assert control.rate(SHEDDABLE) == cut + control.policy.increase
    # Within half an hour.
    control.step(30 * 60_000 // INTERVAL_MS, area=length(LIMIT // 2))
    assert not control.queues["area"].rates


def test_what_is_only_a_little_too_much_is_cut_a_little() -> None:
    control = Stepped(present={"area": (SHEDDABLE,)})
    control.step(UNTIL_STANDING, area=length(LIMIT + 1))
    control.step(30, area=length(0))
    risen = control.rate(SHEDDABLE)
    again = control.policy.again_ms // INTERVAL_MS
    control.step(UNTIL_STANDING, area=length(LIMIT + 1))
    assert control.rate(SHEDDABLE) == risen * (ONE - control.policy.decrease) // ONE
    control.step(again, area=length(LIMIT * control.policy.grave))
    assert control.rate(SHEDDABLE) == LEAST


@pytest.mark.parametrize("telling", [waiting(1_000, messages=9_000), EMPTY._replace(ready=5_000, completed=90_000)])
def test_a_reading_that_tells_more_is_gone_by_as_long_as_it_is_not_old(telling: QueueReading) -> None:
    control = Stepped()
    # Growing, and overloaded by its length; but messages wait for a second.
    control.step(10 * UNTIL_STANDING, area=telling)
    area = control.queues["area"]
    assert (dict(area.rates), area.by_length) == ({}, False)
    control.step(LATELY, area=length(9_000))
    assert (control.queues["area"].basis, dict(control.queues["area"].rates)) == (None, {})
    control.step(UNTIL_STANDING + 1, area=length(9_000))
    assert control.queues["area"].basis is WaitBasis.LENGTH
    assert control.queues["area"].rates
    control.step(1, area=telling)
    assert (control.queues["area"].basis is WaitBasis.LENGTH, control.queues["area"].by_length) == (False, False)


def test_how_long_a_queue_was_too_long_says_nothing_about_how_long_messages_have_waited() -> None:
    control = Stepped()
    control.step(UNTIL_STANDING - 1, area=length(9_000))
    control.step(UNTIL_STANDING - 1, area=waiting(10_000, messages=9_000))
    assert not control.queues["area"].rates
    control.step(1, area=waiting(10_000, messages=9_000))
    assert control.queues["area"].rates


def test_a_length_that_is_not_told_for_a_while_holds_what_was_decided() -> None:
    control = Stepped(present={"area": (SHEDDABLE,)})
    control.step(UNTIL_STANDING, area=length(5_000))
    cut = control.rate(SHEDDABLE)
    control.step(LATELY)
    assert control.rate(SHEDDABLE) == cut
    control.step(1, area=length(5_000))
    area = control.queues["area"]
    assert (area.basis, area.rates[SHEDDABLE]) == (WaitBasis.LENGTH, cut)
    control.step(LATELY + 2)
    assert control.rate(SHEDDABLE) > cut


def test_nobody_serves_it_is_known_beside_a_length() -> None:
    control = Stepped()
    control.step(50, area=length(5_000)._replace(consumers=0))
    area = control.queues["area"]
    assert (area.unserved, dict(area.rates)) == (True, {})
    control.step(1, area=length(5_000)._replace(consumers=2))
    assert not control.queues["area"].unserved


@given(st.lists(st.integers(0, LIMIT), min_size=1, max_size=60), st.integers(1, UNTIL_STANDING - 1))
def test_what_is_at_its_target_once_in_an_interval_is_never_throttled(lows: list[int], apart: int) -> None:
    control = Stepped()
    for messages in chain.from_iterable(chain([low], repeat(100_000, apart)) for low in lows):
        control.step(1, area=length(messages))
        assert not control.queues["area"].rates


def test_the_gate_says_how_many_messages_stand_there() -> None:
    control = Stepped()
    control.step(UNTIL_STANDING, area=length(5_000))
    fire = Candidate(a_job(criticality=SHEDDABLE), control.now, control.now, SCHEDULE, control.now)
    said = opinion(fire, Snapshot(control.now, controllers=Controllers(queues=control.queues)))
    assert said is not None
    facts = dict(said.facts)
    assert (facts["messages"], facts.get("wait_ms")) == (5_000, None)
