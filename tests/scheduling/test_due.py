"""Which fires are due, and which of the missed ones are made up for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.due import MOST_COUNTED, Due, due_alone, due_of
from packages.scheduling.instants import LAST_INSTANT
from packages.scheduling.jitter import offset_ms
from packages.scheduling.planned import upcoming_of
from packages.scheduling.policies import CatchUp, CatchUpMode, Policies
from packages.scheduling.slot import Slot
from packages.scheduling.state import Backfill, JobState, OpenFire
from packages.scheduling.triggers.base import Trigger
from tests.scheduling.generated import instants, policies, triggers
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job

HOUR = 60 * MINUTE


def due(now: int, *, catch_up: CatchUp | None = None, every: int = MINUTE, state: JobState | None = None) -> Due:
    job = a_job(every=every, policies=Policies(catch_up=catch_up or CatchUp()))
    return due_of(job, state or JobState(watermark=MIDNIGHT), now, {})


def nominals(found: Due) -> list[int]:
    return [(candidate.nominal - MIDNIGHT) // MINUTE for candidate in found.candidates]


def test_nothing_is_due_before_the_next_nominal() -> None:
    found = due(MIDNIGHT + MINUTE - 1)
    assert found == Due((), (), JobState(watermark=MIDNIGHT), upcoming=MIDNIGHT + MINUTE)


def test_a_nominal_is_due_at_its_instant() -> None:
    found = due(MIDNIGHT + MINUTE)
    assert nominals(found) == [1]
    assert found.missed == ()
    assert found.state.watermark == MIDNIGHT + MINUTE


@pytest.mark.parametrize("late_ms", [0, 1, 499, 1_000])
def test_one_that_is_found_on_time_is_decided_as_of_its_planned_instant(late_ms: int) -> None:
    (candidate,) = due(MIDNIGHT + MINUTE + late_ms).candidates
    assert candidate.at == candidate.planned == MIDNIGHT + MINUTE


def test_one_that_is_found_late_is_decided_as_of_now() -> None:
    (candidate,) = due(MIDNIGHT + MINUTE + 1_001).candidates
    assert candidate.at == MIDNIGHT + MINUTE + 1_001


@pytest.mark.parametrize(
    ("catch_up", "fired", "skipped", "reason"),
    [
        # Down for an hour and a half minute: 60 nominals were missed.
        (CatchUp(CatchUpMode.SKIP), [], 60, Reason.MISSED),
        (CatchUp(CatchUpMode.LATEST), [60], 59, Reason.SUPERSEDED),
        (CatchUp(CatchUpMode.LATEST, window_ms=20_000), [], 60, Reason.MISSED),
        (CatchUp(CatchUpMode.ALL, limit=3), [58, 59, 60], 57, Reason.SUPERSEDED),
        (CatchUp(CatchUpMode.ALL, limit=100), list(range(1, 61)), 0, None),
        (CatchUp(CatchUpMode.ALL, window_ms=5 * MINUTE), [56, 57, 58, 59, 60], 55, Reason.SUPERSEDED),
    ],
)
def test_what_was_missed_follows_the_policy(
    catch_up: CatchUp, fired: list[int], skipped: int, reason: Reason | None
) -> None:
    found = due(MIDNIGHT + HOUR + MINUTE // 2, catch_up=catch_up)
    assert nominals(found) == fired
    assert sum(decision.count for decision in found.missed) == skipped
    assert [decision.reason for decision in found.missed] == ([reason] if reason else [])
    assert (found.state.watermark, found.upcoming) == (MIDNIGHT + HOUR, MIDNIGHT + HOUR + MINUTE)
    for decision in found.missed:
        assert decision.verdict is Verdict.SKIP
        assert decision.first_nominal == MIDNIGHT + MINUTE
        assert decision.nominal == MIDNIGHT + skipped * MINUTE


@pytest.mark.parametrize("mode", CatchUpMode)
def test_the_one_on_time_fires_whatever_the_policy(mode: CatchUpMode) -> None:
    found = due(MIDNIGHT + HOUR, catch_up=CatchUp(mode, limit=1))
    assert nominals(found)[-1] == 60
    assert found.candidates[-1].at == MIDNIGHT + HOUR


def test_a_short_absence_is_no_miss_under_skip() -> None:
    assert nominals(due(MIDNIGHT + MINUTE + 5_000, catch_up=CatchUp(CatchUpMode.SKIP))) == [1]
    assert nominals(due(MIDNIGHT + MINUTE + 5_001, catch_up=CatchUp(CatchUpMode.SKIP))) == []


def test_many_years_of_milliseconds_are_settled_by_a_bounded_count() -> None:
    found = due(MIDNIGHT + 10**11, every=1)
    assert found.candidates[-1].nominal == MIDNIGHT + 10**11
    assert found.state.watermark == MIDNIGHT + 10**11
    (missed,) = found.missed
    assert 0 < missed.count <= MOST_COUNTED


def test_the_last_nominal_waits_for_its_jitter() -> None:
    job = a_job(policies=Policies(jitter_ms=30_000))
    offset = offset_ms(job.name, MIDNIGHT + MINUTE, 30_000)
    assert offset > 0
    state = JobState(watermark=MIDNIGHT)
    assert due_of(job, state, MIDNIGHT + MINUTE + offset - 1, {}).candidates == ()
    (candidate,) = due_of(job, state, MIDNIGHT + MINUTE + offset, {}).candidates
    assert (candidate.nominal, candidate.planned) == (MIDNIGHT + MINUTE, MIDNIGHT + MINUTE + offset)


def test_what_was_missed_has_the_planned_instant_that_it_had() -> None:
    job = a_job(policies=Policies(jitter_ms=30_000, catch_up=CatchUp(CatchUpMode.SKIP)))
    (missed,) = due_of(job, JobState(watermark=MIDNIGHT), MIDNIGHT + 2 * MINUTE - 1, {}).missed
    assert missed.nominal == MIDNIGHT + MINUTE
    assert missed.planned == missed.nominal + offset_ms(job.name, missed.nominal, 30_000)


def test_an_open_fire_comes_back_at_its_time() -> None:
    fire = OpenFire(
        nominal=MIDNIGHT - HOUR,
        planned=MIDNIGHT - HOUR,
        origin="schedule",
        retry_at=MIDNIGHT + 5,
        reason=Reason.OUTSIDE_WINDOW,
        since=MIDNIGHT - HOUR,
    )
    state = JobState(watermark=MIDNIGHT, open=(fire,))
    assert due(MIDNIGHT + 4, state=state).state == state
    found = due(MIDNIGHT + 5, state=state)
    assert [(c.nominal, c.at, c.waited) for c in found.candidates] == [
        (MIDNIGHT - HOUR, MIDNIGHT + 5, Reason.OUTSIDE_WINDOW)
    ]
    assert found.state.open == ()


def test_a_backfill_goes_at_its_own_pace_and_ends() -> None:
    state = JobState(
        watermark=MIDNIGHT + HOUR,
        backfills=(Backfill("x", cursor=MIDNIGHT - 1, end=MIDNIGHT + 2 * MINUTE, every_ms=10_000, next_at=MIDNIGHT),),
    )
    seen = []
    now = MIDNIGHT
    while state.backfills:
        found = due(now, state=state)
        seen += [(c.nominal - MIDNIGHT, c.at - MIDNIGHT, c.origin) for c in found.candidates]
        state, now = found.state, now + 10_000
    assert seen == [(n * MINUTE, n * 10_000, "backfill:x") for n in range(3)]
    assert state.watermark == MIDNIGHT + HOUR


def test_a_backfill_does_not_hurry_after_an_outage() -> None:
    backfill = Backfill("x", cursor=MIDNIGHT - 1, end=MIDNIGHT + HOUR, every_ms=10_000, next_at=MIDNIGHT)
    state = JobState(watermark=MIDNIGHT + 2 * HOUR, backfills=(backfill,))
    found = due(MIDNIGHT + HOUR, state=state)
    assert len(found.candidates) == 1
    assert found.state.backfills[0].next_at == MIDNIGHT + HOUR + 10_000


@given(
    every=st.integers(1, 10_000_000),
    jitter=st.integers(0, 5_000_000),
    down_ms=st.integers(0, 400_000_000),
    mode=st.sampled_from(CatchUpMode),
    limit=st.integers(1, 20),
    window=st.integers(1, 500_000_000),
)
@settings(max_examples=200, deadline=None)
def test_every_nominal_is_taken_or_counted_as_missed_exactly_once(
    *, every: int, jitter: int, down_ms: int, mode: CatchUpMode, limit: int, window: int
) -> None:
    job = a_job(every=every, policies=Policies(jitter_ms=jitter, catch_up=CatchUp(mode, window, limit)))
    now = MIDNIGHT + down_ms
    found = due_of(job, JobState(watermark=MIDNIGHT), now, {})
    settled = len(found.candidates) + sum(decision.count for decision in found.missed)
    expected = (found.state.watermark - found.state.watermark % every) // every - MIDNIGHT // every
    if settled <= MOST_COUNTED // 2:
        assert settled == expected
    assert found.upcoming == job.trigger.next_after(found.state.watermark)
    for candidate in found.candidates:
        assert candidate.nominal <= candidate.planned < candidate.nominal + every
        assert candidate.planned <= now
    assert due_of(job, found.state, now, {}).candidates == ()


OPEN_FIRE = OpenFire(MIDNIGHT, MIDNIGHT, "schedule", MIDNIGHT, Reason.PUBLISH_FAILED, since=MIDNIGHT)
# Not due before the end of all triggers.
OPEN_LATER = OpenFire(MIDNIGHT, MIDNIGHT, "schedule", LAST_INSTANT, Reason.THROTTLED, since=MIDNIGHT)
BACKFILL_NOW = Backfill("b", MIDNIGHT - HOUR, MIDNIGHT, MINUTE, MIDNIGHT)


@settings(max_examples=400, deadline=None)
@given(
    trigger=triggers(),
    own=policies(),
    late_ms=st.sampled_from([-1, 0, 1, 999, 1_000, 1_001, MINUTE, 26 * HOUR]),
    start=instants(),
    clock=st.integers(0, 2),
    waiting=st.sampled_from(
        [
            ((), ()),
            ((), ()),
            ((OPEN_FIRE,), ()),
            ((OPEN_LATER,), ()),
            ((OPEN_LATER, OPEN_FIRE), ()),
            ((), (BACKFILL_NOW,)),
        ]
    ),
)
def test_the_short_way_says_the_same_as_the_long_one_or_nothing(
    trigger: Trigger,
    own: Policies,
    late_ms: int,
    start: int,
    clock: int,
    waiting: tuple[tuple[OpenFire, ...], tuple[Backfill, ...]],
) -> None:
    job = a_job(trigger=trigger, policies=own)
    state = JobState(start, "as described", *waiting, clock=clock, fired=3, taken=("r",))
    nominal = trigger.next_after(start)
    if nominal is None:
        return
    upcoming = upcoming_of(job, nominal, {})
    now = upcoming[1] + late_ms
    alone = due_alone(Slot(job, state, *upcoming), now)
    found = None if alone is None else Due((alone[0],), (), state.settled_to(alone[0].nominal), alone[1])
    assert found in (None, due_of(job, state, now, {}))
    following = trigger.next_after(nominal)
    is_alone = waiting in {((), ()), ((OPEN_LATER,), ())} and (following is None or following > now)
    assert (found is not None) == (is_alone and 0 <= late_ms <= 1_000)


def test_the_short_way_leaves_several_to_the_long_one() -> None:
    job = a_job(every=500)
    state = JobState(MIDNIGHT)
    assert due_alone(Slot(job, state, MIDNIGHT + 500, MIDNIGHT + 500), MIDNIGHT + 999) is not None
    assert due_alone(Slot(job, state, MIDNIGHT + 500, MIDNIGHT + 500), MIDNIGHT + 1_000) is None
    assert len(due_of(job, state, MIDNIGHT + 1_000, {}).candidates) == 2
