"""A queue that no worker says it serves: held back while messages stand there, and not while somebody takes them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.scheduling.control.backlog import step_queues
from packages.scheduling.control.policy import BacklogPolicy, ControlPolicy
from packages.scheduling.engine import Engine
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.model import Criticality
from packages.scheduling.readings import QueueReading
from packages.scheduling.snapshot import Reading, Snapshot
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.scheduling.control.readings import INTERVAL_MS, STALE_MS, Stepped
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job

# What waits half a minute is no overload here.
POLICY = ControlPolicy(backlog=BacklogPolicy(target_ms=30 * SECOND_MS))
SHEDDABLE = Criticality.SHEDDABLE


def unheard(ready: int | None, oldest_ms: int | None = None) -> QueueReading:
    return QueueReading(ready=ready, oldest_ms=oldest_ms, consumers=0)


def is_unserved(control: Stepped, reading: QueueReading) -> bool:
    return control.step(1, area=reading)["area"].unserved


def test_where_nothing_waits_nobody_is_missed() -> None:
    control = Stepped()
    assert not any(is_unserved(control, unheard(0, 0)) for _ in range(60))


@pytest.mark.parametrize("oldest_known", [True, False])
def test_what_stands_since_nobody_was_heard_is_held_back_at_once_and_for_good(oldest_known: bool) -> None:  # noqa: FBT001  # a parameter
    control = Stepped()
    assert not is_unserved(control, unheard(0, 0))
    for number in range(1, 100):
        assert is_unserved(control, unheard(1 + number // 9, number * INTERVAL_MS if oldest_known else None))
    assert not is_unserved(control, unheard(12)._replace(consumers=1))
    assert is_unserved(control, unheard(12))


def test_a_queue_that_cannot_be_looked_into_is_what_it_was_when_it_could() -> None:
    control = Stepped()
    assert not is_unserved(control, unheard(None))
    assert is_unserved(control, unheard(5))
    assert is_unserved(control, unheard(None))


def test_who_serves_a_queue_is_as_it_was_while_nobody_tells_and_not_for_ever() -> None:
    """As on a broker that can be asked, while the Redis of the workers cannot."""
    control = Stepped()
    assert is_unserved(control, unheard(5))
    untold = QueueReading(ready=5)
    lately = (control.policy.standing_ms + STALE_MS) // INTERVAL_MS
    assert all(is_unserved(control, untold) for _ in range(lately))
    assert not is_unserved(control, untold)


def test_a_clock_that_is_set_back_is_no_proof_that_somebody_takes_messages() -> None:
    control = Stepped()
    assert is_unserved(control, unheard(5, 60_000))
    control.now -= 600_000
    # The messages are from the future now, which a probe tells as an age of nothing.
    assert all(is_unserved(control, unheard(5, 0)) for _ in range(20))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (unheard(5), unheard(4)),
        # As many as before, but others.
        (unheard(5, 20_000), unheard(5, 3_000)),
        (unheard(5, 20_000), unheard(9, 20_000)),
        (unheard(5, 20_000), unheard(0, 0)),
    ],
)
def test_who_takes_messages_serves_the_queue_whether_it_says_so_or_not(first: QueueReading, then: QueueReading) -> None:
    control = Stepped()
    assert is_unserved(control, first)
    assert not is_unserved(control, then)
    # It may be about a long run: what waits is missed by nobody before it has stood for as long as any queue may.
    stands = unheard(10, then.oldest_ms)
    control.step(1, area=stands)
    for number in range(control.policy.standing_ms // INTERVAL_MS + 1):
        last = is_unserved(control, stands._replace(oldest_ms=(then.oldest_ms or 0) + number * INTERVAL_MS))
    assert last


def test_a_reading_that_is_no_newer_shows_nothing() -> None:
    control, old = Stepped(), {"area": Reading(unheard(3, 9_000), MIDNIGHT)}
    for _ in range(3):
        control.now += INTERVAL_MS
        control.queues = step_queues(
            control.queues, old, control.policy, control.present, control.now, stale_ms=STALE_MS
        )
        assert control.queues["area"].unserved


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 30_000))
def test_while_nothing_is_ever_taken_it_is_held_back_whenever_something_waits(more: list[int], age_ms: int) -> None:
    control, ready = Stepped(), 0
    for number, new in enumerate(more):
        ready += new
        reading = unheard(ready, age_ms + number * INTERVAL_MS if ready else 0)
        assert is_unserved(control, reading) is (ready > 0)


class Platform:
    """Sheddable sweeps, one a minute of each job, into a queue that no worker says it serves."""

    def __init__(self, jobs: int = 12) -> None:
        self.engine = Engine()
        for number in range(jobs):
            trigger = IntervalTrigger(MINUTE, phase_ms=number * MINUTE // jobs)
            self.engine.add(a_job(f"area.job_{number}", trigger=trigger, criticality=SHEDDABLE), None, MIDNIGHT - 1)
        self.engine.use_control(POLICY)
        self.waiting: list[tuple[str, int]] = []
        self.published: Counter[str] = Counter()
        self.now = MIDNIGHT

    def go_on(self, ms: int, *, takes_after_ms: int | None = None, consumers: int = 0) -> None:
        """`takes_after_ms`: a worker takes a message that has waited for so long; None: nobody does."""
        for now in range(self.now, self.now + ms, SECOND_MS):
            if takes_after_ms is not None:
                self.waiting = [(job, at) for job, at in self.waiting if now - at < takes_after_ms]
            oldest_ms = now - self.waiting[0][1] if self.waiting else 0
            reading = QueueReading(ready=len(self.waiting), oldest_ms=oldest_ms, consumers=consumers)
            tick = self.engine.tick(Snapshot(now, queues={"area": Reading(reading, now)}), now)
            self.waiting += [(fire.job.name, now) for fire in tick.fires]
            self.published.update(fire.job.name for fire in tick.fires)
        self.now += ms


def test_of_each_sweep_one_message_stands_at_most_while_really_nobody_takes_any() -> None:
    platform = Platform()
    platform.go_on(180 * MINUTE)
    assert max(platform.published.values()) == 1
    # Those that were due before it was seen that something stands.
    assert len(platform.waiting) <= 3


@pytest.mark.parametrize("takes_after_ms", [SECOND_MS, 4 * SECOND_MS, 25 * SECOND_MS])
def test_workers_that_tell_nothing_any_more_get_their_work(takes_after_ms: int) -> None:
    platform = Platform()
    platform.go_on(10 * MINUTE, takes_after_ms=takes_after_ms)
    before = sum(platform.published.values())
    platform.go_on(180 * MINUTE, takes_after_ms=takes_after_ms)
    assert sum(platform.published.values()) - before == 180 * 12
