"""What a preview comes to, on jobs whose counts are known by hand; and in what two of them differ."""

from dataclasses import replace

from packages.scheduling.decision import Reason, Verdict
from packages.scheduling.instants import DAY_MS, HOUR_MS, SECOND_MS
from packages.scheduling.job_facts import facts_of
from packages.scheduling.model import Criticality
from packages.scheduling.policies import CatchUp, CatchUpMode, GateMode, OverlapMode, Policies, TradingHours, Windows
from packages.scheduling.preview import preview
from packages.scheduling.preview_columns import Preview
from packages.scheduling.preview_diff import Change, fire_changes, job_changes
from packages.scheduling.preview_summary import Peak, summary_of
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.windows import parse_windows
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job
from tests.scheduling.markets import a_table

TABLE = a_table([("2026-03-02 14:00", "2026-03-02 20:00")], known=("2026-03-01 00:00", "2026-03-04 00:00"))
CLOSED = Snapshot(taken_at=MIDNIGHT, markets={"TEST": TABLE})
HOURLY = a_job("area.hourly", every=HOUR_MS)
GATED = a_job("area.gated", every=HOUR_MS, policies=Policies(trading_hours=TradingHours(("TEST",))))
OBSERVED = replace(
    GATED, name="area.observed", policies=Policies(trading_hours=TradingHours(("TEST",), mode=GateMode.OBSERVE))
)


def a_day(*jobs: object, start: int = MIDNIGHT) -> Preview:
    return preview(jobs, CLOSED, start=start, end=start + DAY_MS)  # type: ignore[arg-type]  # always jobs


def test_counts_by_job_and_queue() -> None:
    other = replace(HOURLY, name="other.hourly", queue="other")
    summary = summary_of(a_day(HOURLY, GATED, OBSERVED, other))
    by_job = {job.job: job for job in summary.jobs}
    assert by_job["area.hourly"].tally.fires == 24
    gated = by_job["area.gated"]
    assert (gated.tally.fires, gated.tally.skips) == (6, {Reason.MARKET_CLOSED: 18})
    assert gated.tally.share_skipped == 0.75
    assert (gated.first_fire, gated.last_fire) == (MIDNIGHT + 14 * HOUR_MS, MIDNIGHT + 19 * HOUR_MS)
    assert (by_job["area.observed"].tally.fires, by_job["area.observed"].tally.would_be_held) == (24, 18)
    assert [(queue.queue, queue.jobs, queue.tally.fires) for queue in summary.queues] == [
        ("area", 3, 54),
        ("other", 1, 24),
    ]
    assert (summary.tally.fires, summary.tally.skipped, summary.tally.would_be_held) == (78, 18, 18)


def test_the_first_of_the_fullest_seconds_and_minutes() -> None:
    half = a_job("area.half", trigger=IntervalTrigger(HOUR_MS, HOUR_MS // 2))
    later = a_job("area.later", trigger=IntervalTrigger(HOUR_MS, HOUR_MS // 2 + 2 * SECOND_MS))
    summary = summary_of(a_day(HOURLY, half, later))
    assert summary.peak_second == Peak(MIDNIGHT, 1)
    assert summary.peak_minute == Peak(MIDNIGHT + HOUR_MS // 2, 2)
    assert summary.queues[0].peak_minute == summary.peak_minute


def test_fires_per_hour_are_those_of_full_hours() -> None:
    every_ten = a_job(every=10 * MINUTE)
    summary = summary_of(a_day(every_ten, start=MIDNIGHT + 35 * MINUTE))
    assert summary.first_hour == MIDNIGHT
    assert summary.fires_per_hour == (2, *[6] * 23, 4)


def test_nothing_is_counted_where_nothing_is() -> None:
    for found in (a_day(), a_day(GATED, start=MIDNIGHT + DAY_MS)):
        summary = summary_of(found)
        assert (summary.tally.fires, summary.peak_second, sum(summary.fires_per_hour)) == (0, None, 0)
    assert summary_of(a_day()).tally.share_skipped == 0.0


def test_what_waits_at_the_end_is_neither_a_fire_nor_a_skip() -> None:
    waiting = a_job(every=DAY_MS, policies=Policies(windows=parse_windows("22:00-23:00")))
    found = preview([waiting], CLOSED, start=MIDNIGHT, end=MIDNIGHT + HOUR_MS)
    [job] = summary_of(found).jobs
    assert (job.tally.fires, job.tally.skipped, job.tally.waiting) == (0, 0, 1)


def test_jobs_that_differ() -> None:
    slower = replace(HOURLY, trigger=IntervalTrigger(2 * HOUR_MS))
    before, after = a_day(HOURLY, GATED), a_day(slower, OBSERVED)
    changes = {change.job: change for change in job_changes(before, after)}
    assert [(job, change.change) for job, change in changes.items()] == [
        ("area.hourly", Change.CHANGED),
        ("area.gated", Change.REMOVED),
        ("area.observed", Change.ADDED),
    ]
    [fact] = changes["area.hourly"].facts
    assert (fact.fact, fact.before, fact.after) == ("trigger", "every 1:00:00", "every 2:00:00")
    hourly = changes["area.hourly"]
    assert hourly.before is not None
    assert hourly.after is not None
    assert (hourly.before.fires, hourly.after.fires) == (24, 12)
    assert (changes["area.gated"].after, changes["area.observed"].before) == (None, None)


def test_fires_that_differ() -> None:
    slower = replace(HOURLY, trigger=IntervalTrigger(2 * HOUR_MS))
    open_door = replace(GATED, policies=OBSERVED.policies)
    changes = list(fire_changes(a_day(HOURLY, GATED), a_day(slower, open_door)))
    moved = [change for change in changes if change.change is Change.MOVED]
    assert {change.job for change in moved} == {"area.gated"}
    assert len(moved) == 18
    assert moved[0].before is not None
    assert moved[0].after is not None
    assert (moved[0].before.verdict, moved[0].after.verdict) == (Verdict.SKIP, Verdict.FIRE)
    removed = [change for change in changes if change.change is Change.REMOVED]
    assert [(change.job, change.nominal % (2 * HOUR_MS)) for change in removed] == [("area.hourly", HOUR_MS)] * 12
    assert len(changes) == 30


def test_the_same_has_no_changes() -> None:
    assert list(fire_changes(a_day(HOURLY, GATED), a_day(HOURLY, GATED))) == []
    assert {change.change for change in job_changes(a_day(HOURLY), a_day(HOURLY))} == {Change.SAME}


def test_every_property_shows_when_it_changes() -> None:
    windows = Windows(outside_sessions_of=("TEST",))
    variants = [
        replace(HOURLY, queue="other"),
        replace(HOURLY, task="area.other"),
        replace(HOURLY, criticality=Criticality.SHEDDABLE),
        replace(HOURLY, expires_ms=1),
        replace(HOURLY, trigger=IntervalTrigger(HOUR_MS, 1)),
        *(
            replace(HOURLY, policies=policies)
            for policies in (
                Policies(jitter_ms=1),
                Policies(catch_up=CatchUp(CatchUpMode.SKIP)),
                Policies(catch_up=CatchUp(CatchUpMode.ALL)),
                Policies(catch_up=CatchUp(CatchUpMode.ALL, limit=7)),
                Policies(catch_up=CatchUp(CatchUpMode.LATEST, 90_061_001)),
                Policies(overlap=OverlapMode.SKIP),
                Policies(trading_hours=TradingHours(("TEST",))),
                Policies(trading_hours=TradingHours(("TEST",), before_ms=1)),
                Policies(trading_hours=TradingHours(("TEST",), mode=GateMode.OBSERVE)),
                Policies(windows=windows),
                Policies(windows=replace(windows, mode=GateMode.OBSERVE)),
                Policies(max_staleness_ms=1),
            )
        ),
    ]
    texts = [tuple(facts_of(job).items()) for job in (HOURLY, *variants)]
    assert len(set(texts)) == len(texts)
    assert facts_of(variants[9])["catch_up"] == "latest, within 1d1h1m1s1ms"
