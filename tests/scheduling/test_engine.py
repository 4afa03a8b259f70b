"""The index of jobs: when to wake, containment, requests, clocks, changes."""

from typing import TYPE_CHECKING

import pytest

from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.engine import QUARANTINE_MS, Engine
from packages.scheduling.policies import CatchUp, CatchUpMode, OverlapMode, Policies, TradingHours, Windows, WindowSpan
from packages.scheduling.requests import BackfillRequest, RequestError, TriggerRequest
from packages.scheduling.snapshot import Reading, Run, Snapshot
from packages.scheduling.state import JobState
from packages.scheduling.tick import Tick
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.scheduling.jobs import MIDNIGHT, MINUTE, BrokenTrigger, a_job
from tests.scheduling.markets import a_table

if TYPE_CHECKING:
    from collections.abc import Mapping


def tick(engine: Engine, now: int, *, limit: int = 1_000) -> Tick:
    return engine.tick(Snapshot(taken_at=now), now, limit=limit)


def fired(ticked: Tick) -> list[tuple[str, int, str]]:
    return [(f.job.name, (f.decision.nominal - MIDNIGHT) // MINUTE, f.decision.origin) for f in ticked.fires]


def test_it_wakes_at_the_next_nominal_of_any_job() -> None:
    engine = Engine()
    assert engine.next_wake() is None
    engine.add(a_job("a.slow", every=10 * MINUTE), None, MIDNIGHT)
    engine.add(a_job("a.fast"), None, MIDNIGHT)
    assert engine.next_wake() == MIDNIGHT + MINUTE
    assert fired(tick(engine, MIDNIGHT + MINUTE)) == [("a.fast", 1, "schedule")]
    assert engine.next_wake() == MIDNIGHT + 2 * MINUTE
    engine.remove("a.fast")
    assert engine.next_wake() == MIDNIGHT + 10 * MINUTE


def test_a_tick_before_its_time_does_nothing() -> None:
    engine = Engine()
    engine.add(a_job(), None, MIDNIGHT)
    assert tick(engine, MIDNIGHT + MINUTE - 1) == Tick()


def test_a_new_job_owes_nothing_for_the_past() -> None:
    engine = Engine()
    engine.add(a_job(), None, MIDNIGHT + 30_000)
    assert engine.next_wake() == MIDNIGHT + MINUTE


def test_a_known_job_goes_on_where_it_was() -> None:
    job = a_job(policies=Policies(catch_up=CatchUp(CatchUpMode.ALL)))
    state = JobState(watermark=MIDNIGHT, trigger=job.trigger.describe())
    engine = Engine()
    engine.add(job, state, MIDNIGHT + 3 * MINUTE)
    assert [nominal for _, nominal, _ in fired(tick(engine, MIDNIGHT + 3 * MINUTE))] == [1, 2, 3]


def test_the_past_of_another_trigger_is_not_made_up_for() -> None:
    state = JobState(watermark=MIDNIGHT, trigger=IntervalTrigger(MINUTE * 60).describe())
    engine = Engine()
    began = engine.add(a_job(), state, MIDNIGHT + 10 * MINUTE)
    assert began.watermark == MIDNIGHT + 10 * MINUTE
    assert engine.next_wake() == MIDNIGHT + 11 * MINUTE


def test_a_tick_takes_so_many_and_says_that_there_are_more() -> None:
    engine = Engine()
    for n in range(5):
        engine.add(a_job(f"a.j{n}"), None, MIDNIGHT)
    now = MIDNIGHT + MINUTE
    taken = [tick(engine, now, limit=2) for _ in range(3)]
    assert [len(ticked.fires) for ticked in taken] == [2, 2, 1]
    assert [ticked.more for ticked in taken] == [True, True, False]
    assert {name for ticked in taken for name, _, _ in fired(ticked)} == {f"a.j{n}" for n in range(5)}


def test_a_broken_trigger_stops_nobody_else_and_is_tried_again() -> None:
    engine = Engine()
    engine.add(a_job("a.broken", trigger=BrokenTrigger()), None, MIDNIGHT)
    engine.add(a_job("a.sound"), None, MIDNIGHT)
    ticked = tick(engine, MIDNIGHT + MINUTE)
    assert fired(ticked) == [("a.sound", 1, "schedule")]
    (failure,) = ticked.failures
    assert (failure.job, str(failure.error)[:10]) == ("a.broken", "the trigge")
    assert failure.until == MIDNIGHT + MINUTE + QUARANTINE_MS
    assert "a.broken" not in ticked.states
    assert tick(engine, failure.until - 1).failures == ()
    assert [again.job for again in tick(engine, failure.until).failures] == ["a.broken"]


def test_a_policy_that_raises_stops_nobody_else_and_loses_no_fire() -> None:
    nowhere = Windows(zone="No/Where", spans=(WindowSpan(frozenset(range(7)), 0, 1440),))
    engine = Engine()
    engine.add(a_job("a.broken", policies=Policies(windows=nowhere)), None, MIDNIGHT)
    engine.add(a_job("a.sound"), None, MIDNIGHT)
    ticked = tick(engine, MIDNIGHT + MINUTE)
    assert fired(ticked) == [("a.sound", 1, "schedule")]
    assert [(failure.job, failure.until) for failure in ticked.failures] == [("a.broken", MIDNIGHT + 2 * MINUTE)]
    assert set(ticked.states) == {"a.sound"}
    engine.add(a_job("a.broken"), engine.state("a.broken"), MIDNIGHT + MINUTE)
    assert fired(tick(engine, MIDNIGHT + MINUTE)) == [("a.broken", 1, "schedule")]


def test_a_job_that_another_machine_left_a_little_ahead_is_waited_for() -> None:
    job = a_job()
    left = JobState(watermark=MIDNIGHT + MINUTE, trigger=job.trigger.describe())
    engine = Engine()
    assert engine.add(job, left, MIDNIGHT + 15_000) == left
    assert engine.next_wake() == MIDNIGHT + 2 * MINUTE
    ahead = JobState(watermark=MIDNIGHT + 10 * MINUTE, trigger=job.trigger.describe())
    assert engine.add(job, ahead, MIDNIGHT).origin == "clock:1"


def test_a_request_is_taken_once() -> None:
    engine = Engine()
    engine.add(a_job(every=60 * MINUTE), None, MIDNIGHT)
    request = TriggerRequest("r1", "area.job", MIDNIGHT + 5)
    assert set(engine.take([request], MIDNIGHT + 9)) == {"area.job"}
    assert fired(tick(engine, MIDNIGHT + 9)) == [("area.job", 0, "trigger:r1")]
    assert engine.take([request], MIDNIGHT + 10) == {}
    assert fired(tick(engine, MIDNIGHT + 10)) == []


def test_a_request_for_nobody_changes_nothing() -> None:
    assert Engine().take([TriggerRequest("r1", "area.job", MIDNIGHT)], MIDNIGHT) == {}


def test_a_backfill_runs_beside_the_schedule() -> None:
    engine = Engine()
    start = MIDNIGHT + 60 * MINUTE
    engine.add(a_job(), None, start)
    engine.take([BackfillRequest("b", "area.job", MIDNIGHT, MIDNIGHT + 3 * MINUTE, 20_000, start)], start)
    seen: list[tuple[str, int, str]] = []
    for now in range(start, start + 2 * MINUTE + 1, 10_000):
        seen += fired(tick(engine, now))
    assert [nominal for _, nominal, origin in seen if origin == "backfill:b"] == [0, 1, 2, 3]
    assert [nominal for _, nominal, origin in seen if origin == "schedule"] == [61, 62]


def test_a_clock_that_was_set_back_neither_silences_nor_repeats_a_fire() -> None:
    engine = Engine()
    engine.add(a_job(), None, MIDNIGHT)
    tick(engine, MIDNIGHT + 10 * MINUTE)
    engine.clock_set_back(MIDNIGHT + 5 * MINUTE)
    assert engine.next_wake() == MIDNIGHT + 6 * MINUTE
    assert fired(tick(engine, MIDNIGHT + 6 * MINUTE)) == [("area.job", 6, "clock:1")]


def test_a_second_of_difference_is_waited_for() -> None:
    engine = Engine()
    engine.add(a_job(), None, MIDNIGHT)
    tick(engine, MIDNIGHT + MINUTE)
    assert engine.clock_set_back(MIDNIGHT + MINUTE - 2_000) == {}
    assert engine.next_wake() == MIDNIGHT + 2 * MINUTE


def test_other_calendars_move_what_they_move_at_once() -> None:
    hours = Policies(jitter_ms=50_000, trading_hours=TradingHours(("TEST",)))
    long, short = (
        {"TEST": a_table([("2026-03-01 00:00", end)], known=("2026-03-01 00:00", "2026-04-01 00:00"))}
        for end in ("2026-03-03 00:00", "2026-03-02 00:01:02")
    )
    engine = Engine(long)
    engine.add(a_job(policies=hours), None, MIDNIGHT)
    before = engine.next_wake() or 0
    assert before - MIDNIGHT - MINUTE > 2_000, "or this shows nothing"
    engine.use_markets(short)
    after = engine.next_wake() or 0
    assert 0 <= after - MIDNIGHT - MINUTE < 2_000


def test_the_index_does_not_grow_with_what_is_taken_in_again() -> None:
    engine = Engine()
    for _ in range(5_000):
        engine.add(a_job(), None, MIDNIGHT)
    assert engine.indexed <= 1_100
    assert fired(tick(engine, MIDNIGHT + MINUTE)) == [("area.job", 1, "schedule")]


def test_a_request_of_a_machine_whose_clock_is_ahead_goes_out_at_once() -> None:
    engine = Engine()
    engine.add(a_job(every=60 * MINUTE), None, MIDNIGHT)
    engine.take([TriggerRequest("r1", "area.job", MIDNIGHT + MINUTE)], MIDNIGHT)
    (fire,) = tick(engine, MIDNIGHT).fires
    # Its nominal is that of the request, whoever takes it over and when: its identity depends on nothing else.
    assert (fire.decision.at, fire.decision.nominal) == (MIDNIGHT, MIDNIGHT + MINUTE)


def test_a_backfill_does_not_run_ahead_of_the_clock() -> None:
    engine = Engine()
    engine.add(a_job(), None, MIDNIGHT)
    engine.take([BackfillRequest("b", "area.job", MIDNIGHT, MIDNIGHT + 9 * MINUTE, 1_000, MIDNIGHT)], MIDNIGHT)
    seen = [entry for now in range(MIDNIGHT, MIDNIGHT + 30_000, 1_000) for entry in fired(tick(engine, now))]
    assert seen == [("area.job", 0, "backfill:b")]


@pytest.mark.parametrize(("end", "every_ms"), [(MIDNIGHT - 1, 1_000), (MIDNIGHT, 0), (MIDNIGHT, -1)])
def test_a_backfill_of_nothing_or_at_no_pace_is_refused(end: int, every_ms: int) -> None:
    with pytest.raises(RequestError, match="backfill"):
        BackfillRequest("b", "area.job", MIDNIGHT, end, every_ms, MIDNIGHT)


def test_what_failed_to_be_published_is_due_again() -> None:
    engine = Engine()
    engine.add(a_job(every=60 * MINUTE), None, MIDNIGHT)
    (fire,) = tick(engine, MIDNIGHT + 60 * MINUTE).fires
    engine.publish_failed(fire, MIDNIGHT + 60 * MINUTE)
    wake = engine.next_wake()
    assert wake is not None
    assert wake > MIDNIGHT + 60 * MINUTE
    again = tick(engine, wake)
    assert [f.decision.reason for f in again.fires] == [Reason.WAITED]
    assert again.fires[0].decision.nominal == fire.decision.nominal
    assert all(decision.verdict is Verdict.FIRE for decision in again.decisions)


def test_newer_fires_do_not_put_the_end_of_a_wait_off_for_ever() -> None:
    job = a_job(policies=Policies(overlap=OverlapMode.BUFFER_ONE, max_staleness_ms=10 * MINUTE))
    runs: Reading[Mapping[str, tuple[Run, ...]]] = Reading(
        {job.name: (Run("id", MIDNIGHT, MIDNIGHT + 9_999 * MINUTE),)}, MIDNIGHT
    )
    engine = Engine()
    engine.add(job, None, MIDNIGHT)
    stale = []
    while (now := engine.next_wake() or 0) < MIDNIGHT + 35 * MINUTE:
        ticked = engine.tick(Snapshot(taken_at=now, running=runs), now)
        stale += [(now - MIDNIGHT) // MINUTE for fire in ticked.fires if fire.decision.reason is Reason.STALE]
    # The first waits from minute 1 on; the next wait begins with the nominal after the one that went out.
    assert stale == [11, 22, 33]


def test_when_the_broker_is_back_what_it_did_not_take_is_due_at_once() -> None:
    engine = Engine()
    night = Policies(windows=Windows(spans=(WindowSpan(frozenset(range(7)), 120, 360),)))
    for name, own in (("a.failed", Policies()), ("b.fine", Policies()), ("c.waits", night)):
        engine.add(a_job(name, every=60 * MINUTE, policies=own), None, MIDNIGHT)
    now = MIDNIGHT + 60 * MINUTE
    fires = {fire.job.name: fire for fire in tick(engine, now).fires}
    assert set(fires) == {"a.failed", "b.fine"}
    engine.publish_failed(fires["a.failed"], now)
    assert engine.open_fires == 2
    later = now + 500
    assert fired(tick(engine, later)) == []
    assert engine.retry_now(later) == {"a.failed": engine.state("a.failed")}
    assert engine.next_wake() == later
    assert engine.retry_now(later) == {}
    again = tick(engine, later)
    assert [(fire.job.name, fire.attempts, fire.decision.nominal) for fire in again.fires] == [("a.failed", 1, now)]
    assert engine.open_fires == 1


def test_a_retry_that_is_overdue_is_not_put_off() -> None:
    engine = Engine()
    engine.add(a_job(every=60 * MINUTE), None, MIDNIGHT)
    (fire,) = tick(engine, MIDNIGHT + 60 * MINUTE).fires
    failed = engine.publish_failed(fire, MIDNIGHT + 60 * MINUTE)
    assert engine.retry_now(failed.open[0].retry_at + 1) == {}
    assert engine.next_wake() == failed.open[0].retry_at


def test_it_counts_what_waits() -> None:
    engine = Engine()
    for name in ("a.one", "a.two"):
        engine.add(a_job(name), None, MIDNIGHT)
    fires = tick(engine, MIDNIGHT + MINUTE).fires
    assert engine.open_fires == 0
    for fire in fires:
        engine.publish_failed(fire, MIDNIGHT + MINUTE)
    assert engine.open_fires == 2
    engine.remove("a.one")
    assert engine.open_fires == 1
    engine.add(a_job("a.two"), None, MIDNIGHT + MINUTE)
    assert engine.open_fires == 0
    engine.take([TriggerRequest("r", "a.two", MIDNIGHT + MINUTE)], MIDNIGHT + MINUTE)
    assert engine.open_fires == 1
    tick(engine, MIDNIGHT + MINUTE)
    assert engine.open_fires == 0


def test_a_job_goes_on_with_what_another_engine_left() -> None:
    job = a_job(policies=Policies(catch_up=CatchUp(CatchUpMode.ALL)))
    follower, leader = Engine(), Engine()
    for engine in (follower, leader):
        engine.add(job, None, MIDNIGHT)
    tick(leader, MIDNIGHT + MINUTE)
    (fire,) = tick(leader, MIDNIGHT + 2 * MINUTE).fires
    leader.publish_failed(fire, MIDNIGHT + 2 * MINUTE)
    now = MIDNIGHT + 3 * MINUTE
    began = follower.put_state(job.name, leader.state(job.name), now)
    assert began == follower.state(job.name) == Engine().add(job, leader.state(job.name), now)
    assert follower.job(job.name) is job
    assert follower.open_fires == 1
    assert (
        fired(tick(follower, now)) == fired(tick(leader, now)) == [(job.name, 2, "schedule"), (job.name, 3, "schedule")]
    )
    with pytest.raises(KeyError):
        follower.put_state("no.such", began, now)
