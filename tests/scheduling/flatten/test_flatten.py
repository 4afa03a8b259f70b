"""A plan keeps what it promises: the preview of what it moved has the peaks that it says."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.decision import SCHEDULE, Decision, Reason, Verdict
from packages.scheduling.flatten.extremes import meetings, queue_loads
from packages.scheduling.flatten.flatten import Freedom, flatten, loads_of
from packages.scheduling.flatten.load import Slots
from packages.scheduling.flatten.observed import published_of
from packages.scheduling.flatten.placing import Peak
from packages.scheduling.flatten.variants import OffPeak, OffPeakTimes
from packages.scheduling.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.policies import Policies
from packages.scheduling.preview import preview
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.windows import parse_windows
from tests.scheduling.jobs import MIDNIGHT, BrokenTrigger, a_job

DAY = Slots(MIDNIGHT, MINUTE_MS, 1440)
NO_READINGS = Snapshot(taken_at=MIDNIGHT)
WINDOW = parse_windows("08:00-18:00")

drawn_jobs = st.lists(
    st.builds(
        lambda number, minutes, phase, jitter, queue, windows: Job(
            f"area.job_{number}",
            "area.job",
            IntervalTrigger(minutes * MINUTE_MS, phase * SECOND_MS),
            queue,
            Criticality.CRITICAL,
            policies=Policies(jitter_ms=jitter * SECOND_MS, windows=windows),
        ),
        st.integers(0, 10_000),
        st.sampled_from([5, 7, 10, 60, 90]),
        st.integers(0, 600),
        st.sampled_from([0, 20, 240]),
        st.sampled_from(["first", "second"]),
        st.sampled_from([None, None, WINDOW]),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda job: job.name,
)


def freedom(*jobs: Job, windowed: tuple[str, ...] = ()) -> Freedom:
    return Freedom([job.name for job in jobs], windowed, OffPeakTimes(OffPeak(), {}, MIDNIGHT), 5)


def peaks_of(jobs: list[Job], work_ms: dict[str, int]) -> dict[str, Peak]:
    found = preview(jobs, NO_READINGS, start=DAY.start, end=DAY.end)
    return {each.queue: each.peak for each in queue_loads(jobs, loads_of(found, DAY, work_ms), DAY)}


@settings(max_examples=20, deadline=None)
@given(drawn_jobs, st.lists(st.integers(1, 400), min_size=5, max_size=5))
def test_the_preview_of_the_moved_jobs_has_the_promised_peaks(jobs: list[Job], seconds: list[int]) -> None:
    work_ms = {job.name: each * SECOND_MS for job, each in zip(jobs, seconds, strict=False)}
    found = flatten(jobs, NO_READINGS, DAY, work_ms=work_ms, freedom=freedom(*jobs))
    moved = {job.name: job for job in found.moved}
    assert peaks_of(jobs, work_ms) == {each.queue: each.before for each in found.placing.queues}
    after = [moved.get(job.name, job) for job in jobs]
    assert peaks_of(after, work_ms) == {each.queue: each.after for each in found.placing.queues}
    assert moved.keys() == found.placing.moves.keys()


def test_only_what_may_be_moved_is() -> None:
    jobs = [a_job("area.a", every=HOUR_MS), a_job("area.b", every=HOUR_MS)]
    work_ms = {"area.a": 5_000, "area.b": 5_000}
    for movable in ([], [jobs[1]]):
        found = flatten(jobs, NO_READINGS, DAY, work_ms=work_ms, freedom=freedom(*movable))
        assert [job.name for job in found.moved] == [job.name for job in movable]


def test_a_job_that_cannot_be_previewed_stays_and_harms_nobody() -> None:
    jobs = [a_job("area.a", every=HOUR_MS), a_job("area.b", every=HOUR_MS), a_job("area.c", trigger=BrokenTrigger())]
    work_ms = dict.fromkeys(("area.a", "area.b", "area.c"), 5_000)
    found = flatten(jobs, NO_READINGS, DAY, work_ms=work_ms, freedom=freedom(*jobs))
    assert found.placing.together.after.work_ms == 5_000


def test_a_window_takes_an_interval_out_of_the_busy_hours() -> None:
    # Beyond the reach of phases: the afternoon has work in each minute, and the heavy one always fills some minute.
    busy = replace(a_job("area.busy", every=MINUTE_MS), policies=Policies(windows=parse_windows("12:00-20:00; skip")))
    heavy = a_job("area.heavy", every=HOUR_MS)
    work_ms = {"area.busy": 20_000, "area.heavy": 120_000}
    found = flatten([busy, heavy], NO_READINGS, DAY, work_ms=work_ms, freedom=freedom(heavy, windowed=("area.heavy",)))
    [moved] = found.moved
    assert moved.trigger == heavy.trigger
    assert moved.policies.windows is not None
    assert found.placing.together.after.work_ms == 60_000
    assert flatten([busy, heavy], NO_READINGS, DAY, work_ms=work_ms, freedom=freedom(heavy)).moved == ()


def test_a_daily_job_goes_into_the_valley() -> None:
    busy = replace(a_job("area.busy", every=MINUTE_MS), policies=Policies(windows=parse_windows("02:00-22:00; skip")))
    nightly = a_job("area.nightly", trigger=CronTrigger.of_sets(hours={12}, minutes={0}))
    work_ms = {"area.busy": 30_000, "area.nightly": 90_000}
    [moved] = flatten([busy, nightly], NO_READINGS, DAY, work_ms=work_ms, freedom=freedom(busy, nightly)).moved
    at = moved.trigger.next_after(MIDNIGHT - 1)
    assert at is not None
    assert not 2 * HOUR_MS - 90_000 < at - MIDNIGHT < 22 * HOUR_MS


def test_who_meets_whom_and_when_it_is_quiet() -> None:
    jobs = [a_job("area.a", every=HOUR_MS), a_job("area.b", every=90 * MINUTE_MS)]
    work_ms = {"area.a": 10_000, "area.b": 65_000}
    found = preview(jobs, NO_READINGS, start=DAY.start, end=DAY.end)
    loads = loads_of(found, DAY, work_ms)
    told = [(each.heaviest, each.slots, each.work) for each in meetings(jobs, loads, DAY, most=9)]
    assert told == [
        (Peak(70_000, 0), 8, (("area.b", 60_000), ("area.a", 10_000))),
        (Peak(60_000, 90), 24, (("area.b", 60_000),)),
        (Peak(10_000, 60), 16, (("area.a", 10_000),)),
    ]
    assert len(meetings(jobs, loads, DAY, most=2)) == 2
    [queue] = queue_loads(jobs, loads, DAY)
    assert (queue.peak, queue.quietest_hour, queue.quietest_ms) == (Peak(70_000, 0), 2, 10_000)


def test_the_recorded_decisions_are_held_against_the_preview_of_the_same_nominals() -> None:
    def settled(nominal: int, verdict: Verdict, reason: Reason) -> Decision:
        return Decision("a", nominal, nominal, SCHEDULE, nominal, verdict, reason)

    previewed = np.arange(0, 100, 10, dtype=np.int64)
    decisions = [
        settled(0, Verdict.FIRE, Reason.ON_TIME),
        settled(10, Verdict.SKIP, Reason.STILL_RUNNING),
        # Three in one.
        settled(40, Verdict.SKIP, Reason.PAUSED)._replace(first_nominal=20, count=3),
        # No beat ran; not settled yet; somebody asked for it; a market that no preview knows to be open.
        settled(50, Verdict.SKIP, Reason.MISSED),
        settled(60, Verdict.DEFER, Reason.PAUSED)._replace(until=99),
        settled(70, Verdict.FIRE, Reason.REQUESTED)._replace(origin="trigger:1"),
        settled(85, Verdict.FIRE, Reason.MARKET_OPEN),
    ]
    assert published_of(decisions, previewed) == (2, 5)
    assert published_of(decisions, previewed).per_mille == 400
    assert published_of([], previewed).per_mille is None
