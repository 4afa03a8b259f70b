"""What a preview has at its edges: what waits at the start and at the end, what was missed, and a job that raises."""

import pytest

from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.explain import explain
from packages.scheduling.instants import DAY_MS, HOUR_MS, SECOND_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import CatchUp, CatchUpMode, GateMode, OverlapMode, Policies, TradingHours
from packages.scheduling.preview import preview
from packages.scheduling.snapshot import Pause, PauseScope, Reading, Run, Snapshot
from packages.scheduling.state import JobState
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.windows import parse_windows
from tests.scheduling.jobs import MIDNIGHT, MINUTE, BrokenTrigger, a_job
from tests.scheduling.markets import a_table

NOTHING_KNOWN = Snapshot(taken_at=MIDNIGHT)
NIGHT = parse_windows("22:00-06:00")


def decisions(job: Job, hours: float, *, snapshot: Snapshot = NOTHING_KNOWN, start: int = MIDNIGHT) -> list[Decision]:
    return list(preview([job], snapshot, start=start, end=start + int(hours * HOUR_MS)).decisions())


def test_start_is_inclusive_and_end_exclusive() -> None:
    job = a_job(every=HOUR_MS)
    assert [decision.at - MIDNIGHT for decision in decisions(job, 3)] == [0, HOUR_MS, 2 * HOUR_MS]


def test_what_waits_for_its_jitter_at_the_start_is_there() -> None:
    job = a_job(every=HOUR_MS, policies=Policies(jitter_ms=HOUR_MS))
    [first, *_] = decisions(job, 2, start=MIDNIGHT + 1)
    assert first.nominal == MIDNIGHT < first.at


@pytest.mark.parametrize("criticality", [Criticality.CRITICAL, Criticality.SHEDDABLE])
def test_what_began_to_wait_before_the_start_ends_when_it_would_have(criticality: Criticality) -> None:
    # Fires wait from 06:00 on, for three hours at most; which ones wait when depends on all of that time.
    job = a_job(every=HOUR_MS, policies=Policies(windows=NIGHT, max_staleness_ms=3 * HOUR_MS), criticality=criticality)
    whole = decisions(job, 24)
    for hour in range(5, 23):
        start = MIDNIGHT + hour * HOUR_MS
        assert decisions(job, 24 - hour, start=start) == [decision for decision in whole if decision.at >= start]


def test_what_still_waits_at_the_end_has_one_row_that_is_not_final() -> None:
    job = a_job(every=HOUR_MS, policies=Policies(windows=NIGHT, catch_up=CatchUp(CatchUpMode.LATEST, DAY_MS)))
    *_, last = decisions(job, 8)
    assert (last.verdict, last.reason, last.until) == (
        Verdict.DEFER,
        Reason.OUTSIDE_WINDOW,
        MIDNIGHT + 22 * HOUR_MS,
    )
    assert last.nominal == MIDNIGHT + 7 * HOUR_MS


def test_a_state_of_long_ago_is_made_up_for_at_the_start() -> None:
    job = a_job(every=HOUR_MS, policies=Policies(catch_up=CatchUp(CatchUpMode.ALL, 2 * HOUR_MS)))
    start = MIDNIGHT + HOUR_MS // 2
    states = {job.name: JobState(watermark=MIDNIGHT - 9 * HOUR_MS)}
    found = list(preview([job], NOTHING_KNOWN, start=start, end=start + HOUR_MS, states=states).decisions())
    assert [(d.reason, d.at - MIDNIGHT, d.count) for d in found] == [
        (Reason.SUPERSEDED, HOUR_MS // 2, 7),
        (Reason.CAUGHT_UP, HOUR_MS // 2, 1),
        (Reason.CAUGHT_UP, HOUR_MS // 2, 1),
        (Reason.ON_TIME, HOUR_MS, 1),
    ]


def test_only_the_one_that_was_late_was_late() -> None:
    job = a_job(every=HOUR_MS)
    states = {job.name: JobState(watermark=MIDNIGHT - HOUR_MS)}
    found = preview([job], NOTHING_KNOWN, start=MIDNIGHT + MINUTE, end=MIDNIGHT + 4 * HOUR_MS, states=states)
    assert [decision.reason for decision in found.decisions()] == [Reason.CAUGHT_UP, *[Reason.ON_TIME] * 3]


def test_a_pause_holds_until_it_ends() -> None:
    pause = Pause(PauseScope.ALL, "", MIDNIGHT, MIDNIGHT + 90 * MINUTE, "a release")
    found = decisions(a_job(every=HOUR_MS), 3, snapshot=NOTHING_KNOWN._replace(pauses=Reading((pause,), MIDNIGHT)))
    assert [decision.verdict for decision in found] == [Verdict.SKIP, Verdict.SKIP, Verdict.FIRE]


def test_a_buffered_fire_goes_out_when_the_run_ends() -> None:
    job = a_job(every=HOUR_MS, policies=Policies(overlap=OverlapMode.BUFFER_ONE))
    run = Run("a-task", MIDNIGHT - MINUTE, MIDNIGHT + 2 * SECOND_MS)
    found = decisions(job, 1, snapshot=NOTHING_KNOWN._replace(running=Reading({job.name: (run,)}, MIDNIGHT)))
    assert [(decision.reason, decision.at - MIDNIGHT) for decision in found] == [(Reason.WAITED, 2 * SECOND_MS)]


def test_the_share_of_open_time_is_the_share_of_fires() -> None:
    table = a_table([("2026-03-02 14:30", "2026-03-02 21:00")], known=("2026-03-01 00:00", "2026-03-04 00:00"))
    job = a_job(policies=Policies(jitter_ms=MINUTE // 2, trading_hours=TradingHours(("TEST",))))
    found = decisions(job, 24, snapshot=NOTHING_KNOWN._replace(markets={"TEST": table}))
    fires = [decision for decision in found if decision.verdict is Verdict.FIRE]
    assert (len(fires), len(found)) == (390, 1440)
    assert min(fires, key=lambda fire: fire.at).at >= MIDNIGHT + 14 * HOUR_MS + 30 * MINUTE
    assert max(fires, key=lambda fire: fire.at).at < MIDNIGHT + 21 * HOUR_MS


def test_many_rows_share_what_they_say() -> None:
    found = preview([a_job(every=SECOND_MS)], NOTHING_KNOWN, start=MIDNIGHT, end=MIDNIGHT + DAY_MS)
    # One for each array that the trigger gives.
    assert (len(found), len(found.kinds)) == (86_400, 2)


def test_a_job_that_raises_is_named_and_spoils_nothing() -> None:
    jobs = [a_job("area.broken", trigger=BrokenTrigger()), a_job("area.sound", every=HOUR_MS)]
    found = preview(jobs, NOTHING_KNOWN, start=MIDNIGHT, end=MIDNIGHT + DAY_MS)
    assert {decision.job for decision in found.decisions()} == {"area.sound"}
    assert list(found.failures) == ["area.broken"]
    assert "the trigger is broken" in str(found.failures["area.broken"])


def test_nothing_is_a_preview_too() -> None:
    found = preview([], NOTHING_KNOWN, start=MIDNIGHT, end=MIDNIGHT + DAY_MS)
    assert (len(found), list(found.decisions())) == (0, [])


def test_explain_looks_for_the_next_fire_beyond_what_is_skipped() -> None:
    table = a_table([("2026-03-05 14:30", "2026-03-05 21:00")], known=("2026-03-01 00:00", "2026-03-07 00:00"))
    job = a_job(every=10 * MINUTE, policies=Policies(trading_hours=TradingHours(("TEST",))))
    said = explain(job, NOTHING_KNOWN._replace(markets={"TEST": table}), MIDNIGHT, fires=3)
    assert (said.decision.verdict, said.decision.reason) == (Verdict.SKIP, Reason.MARKET_CLOSED)
    assert [decision.verdict for decision in said.upcoming] == [Verdict.SKIP] * 3
    assert said.next_fire is not None
    assert said.next_fire.at == MIDNIGHT + 3 * DAY_MS + 14 * HOUR_MS + 30 * MINUTE


def test_explain_says_that_there_is_no_fire() -> None:
    forever = Pause(PauseScope.ALL, "", MIDNIGHT, None, "")
    snapshot = NOTHING_KNOWN._replace(pauses=Reading((forever,), MIDNIGHT))
    said = explain(a_job(every=DAY_MS), snapshot, MIDNIGHT, fires=1)
    assert said.next_fire is None
    assert said.searched_until == MIDNIGHT + 400 * DAY_MS


def test_explain_tells_what_an_observing_gate_would_have_done() -> None:
    table = a_table([("2026-03-05 14:30", "2026-03-05 21:00")], known=("2026-03-01 00:00", "2026-03-07 00:00"))
    job = a_job(policies=Policies(trading_hours=TradingHours(("TEST",), mode=GateMode.OBSERVE)))
    said = explain(job, NOTHING_KNOWN._replace(markets={"TEST": table}), MIDNIGHT)
    assert said.decision.verdict is Verdict.FIRE
    assert [(opinion.verdict, opinion.mode) for opinion in said.decision.opinions] == [(Verdict.SKIP, GateMode.OBSERVE)]


@pytest.mark.parametrize("known", [True, False])
def test_explain_goes_on_from_the_state_unless_it_is_of_another_trigger(*, known: bool) -> None:
    job = a_job(every=HOUR_MS)
    trigger = job.trigger if known else IntervalTrigger(MINUTE)
    state = JobState(watermark=MIDNIGHT - HOUR_MS, trigger=trigger.describe())
    said = explain(job, NOTHING_KNOWN, MIDNIGHT + MINUTE, state=state)
    assert said.upcoming[0].reason is (Reason.CAUGHT_UP if known else Reason.ON_TIME)


def test_explain_passes_on_what_a_job_raises() -> None:
    with pytest.raises(RuntimeError, match="broken"):
        explain(a_job(trigger=BrokenTrigger()), NOTHING_KNOWN, MIDNIGHT)
