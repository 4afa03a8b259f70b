"""What a job could be: phases, times of day that suit all year, windows; and what stays."""

from dataclasses import replace

import pytest

from packages.scheduling.flatten.load import LoadError
from packages.scheduling.flatten.variants import OffPeak, OffPeakTimes, variants_of
from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from packages.scheduling.model import Job
from packages.scheduling.policies import Policies, Windows, WindowSpan
from packages.scheduling.sessions import SessionTable
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.triggers.union import Union
from packages.scheduling.windows import parse_windows, windows_text
from tests.scheduling.jobs import MIDNIGHT, a_job
from tests.scheduling.markets import table_of

DAILY = CronTrigger.of_sets(hours={12}, minutes={0})
ANY_TIME = OffPeak()


def a_year_of_sessions(*, summer_from: int = 150) -> SessionTable:
    """Open from 14:00 to 20:00, and from the day `summer_from` on an hour earlier."""
    days = range(-3, 400)
    opens = [MIDNIGHT + day * DAY_MS + (14 if day < summer_from else 13) * HOUR_MS for day in days]
    return table_of([[(at, at + 6 * HOUR_MS)] for at in opens], known=(opens[0] - DAY_MS, opens[-1] + DAY_MS))


def times(off_peak: OffPeak, table: SessionTable | None = None) -> OffPeakTimes:
    return OffPeakTimes(off_peak, {} if table is None else {"TEST": table}, MIDNIGHT)


def found(job: Job, off_peak: OffPeak = ANY_TIME, *, slot_ms: int = MINUTE_MS, window: bool = False) -> tuple[Job, ...]:
    return variants_of(job, times(off_peak), work_ms=SECOND_MS, slot_ms=slot_ms, wants_window=window).jobs


def phases(job: Job, slot_ms: int = MINUTE_MS) -> list[int]:
    triggers = [each.trigger for each in found(job, slot_ms=slot_ms)]
    return [trigger.phase_ms // SECOND_MS for trigger in triggers if isinstance(trigger, IntervalTrigger)]


def minutes(jobs: tuple[Job, ...]) -> list[int]:
    crons = [job.trigger for job in jobs if isinstance(job.trigger, CronTrigger)]
    return [60 * hour + minute for cron in crons for hour in cron.hours for minute in cron.minutes]


def test_an_interval_may_have_any_phase_in_steps_of_half_a_slot_the_nearest_first() -> None:
    assert phases(a_job(every=3 * MINUTE_MS)) == [0, 30, 150, 60, 120, 90]
    shifted = a_job(trigger=IntervalTrigger(2 * MINUTE_MS, 45 * SECOND_MS))
    assert phases(shifted) == [45, 30, 60, 0, 90]
    assert all(replace(each, trigger=shifted.trigger) == shifted for each in found(shifted))


@pytest.mark.parametrize(("every", "slot_ms"), [(MINUTE_MS, MINUTE_MS), (15 * SECOND_MS, MINUTE_MS)])
def test_an_interval_with_a_run_in_each_slot_stays(every: int, slot_ms: int) -> None:
    assert phases(a_job(every=every), slot_ms) == [0]


def test_a_long_interval_has_no_more_phases_than_one_can_look_at() -> None:
    assert len(phases(a_job(every=6 * DAY_MS + HOUR_MS))) <= 241


@pytest.mark.parametrize(
    "trigger",
    [
        CronTrigger.of_sets(hours={1, 2}, minutes={0}),
        CronTrigger.of_sets(minutes={0}),
        Union((DAILY, IntervalTrigger(HOUR_MS))),
    ],
)
def test_what_names_its_times_on_purpose_stays(trigger: Trigger) -> None:
    job = a_job(trigger=trigger)
    assert found(job) == (job,)


def test_a_daily_job_may_have_any_minute_and_keeps_its_zone_and_days() -> None:
    job = a_job(trigger=CronTrigger.of_sets(hours={12}, minutes={0}, days_of_week={1}, zone="Europe/Berlin"))
    jobs = found(job)
    assert minutes(jobs)[:4] == [720, 721, 719, 722] or minutes(jobs)[:3] == [720, 719, 721]
    assert sorted(minutes(jobs)) == list(range(1440))
    assert {(each.trigger.zone, each.trigger.days) for each in jobs if isinstance(each.trigger, CronTrigger)} == {
        ("Europe/Berlin", job.trigger.days if isinstance(job.trigger, CronTrigger) else None)
    }


def test_a_time_of_day_stays_away_from_the_sessions_of_all_year() -> None:
    off_peak = OffPeak(Windows(outside_sessions_of=("TEST",)), away_ms=HOUR_MS)
    job = a_job(trigger=DAILY, policies=Policies(jitter_ms=MINUTE_MS))
    known = times(off_peak, a_year_of_sessions())
    jobs = variants_of(job, known, work_ms=29 * MINUTE_MS, slot_ms=MINUTE_MS)
    # From 13:00 in summer back over an hour, half an hour of work and jitter; to 20:00 in winter, and an hour.
    assert jobs.is_misplaced
    assert sorted(minutes(jobs.jobs[1:])) == [*range(11 * 60 + 31), *range(21 * 60, 1440)]
    early = a_job(trigger=CronTrigger.of_sets(hours={2}, minutes={30}))
    assert not variants_of(early, known, work_ms=SECOND_MS, slot_ms=MINUTE_MS).is_misplaced


def test_a_daily_interval_has_a_time_of_day_too() -> None:
    off_peak = OffPeak(parse_windows("22:00-02:00"))
    jobs = variants_of(a_job(every=DAY_MS), times(off_peak), work_ms=HOUR_MS, slot_ms=MINUTE_MS)
    assert not jobs.is_misplaced
    at = [each.trigger.phase_ms // MINUTE_MS for each in jobs.jobs if isinstance(each.trigger, IntervalTrigger)]
    assert all(minute <= 60 or minute >= 22 * 60 for minute in at)
    assert len(at) == 3 * 60 // 6 + 1
    assert not variants_of(a_job(every=HOUR_MS), times(off_peak), work_ms=HOUR_MS, slot_ms=MINUTE_MS).is_misplaced


def test_the_windows_of_the_job_itself_count_too() -> None:
    windows = parse_windows("10:00-12:01")
    job = a_job(trigger=DAILY, policies=Policies(windows=windows))
    assert sorted(minutes(found(job))) == list(range(600, 721))
    assert minutes(found(job, OffPeak(parse_windows("20:00-22:00")))) == [720]


def test_an_interval_that_is_named_for_it_may_have_a_window_of_each_hour() -> None:
    off_peak = OffPeak(parse_windows("outside XNYS"), hours=8)
    job, *others = found(a_job(every=HOUR_MS), off_peak, window=True)
    assert job.policies.windows is None
    texts = [windows_text(each.policies.windows) for each in others if each.policies.windows is not None]
    assert (texts[0], texts[20], len(texts)) == ("00:00-08:00; outside XNYS", "20:00-04:00; outside XNYS", 24)
    own = Windows(spans=(WindowSpan(frozenset({0}), 0, 60),))
    assert all(each.policies.windows == own for each in found(a_job(policies=Policies(windows=own)), window=True))


@pytest.mark.parametrize(
    ("hours", "starts"),
    [
        # From 13:00 in summer to 20:00 in winter there are sessions; an hour of ten may be lost.
        (8, [*range(6), *range(20, 24)]),
        (10, [*range(5), *range(19, 24)]),
        (17, [19, 20, 21]),
        (18, [19, 20]),
        (23, []),
    ],
)
def test_a_window_is_offered_that_sessions_leave_nearly_whole_on_every_day(hours: int, starts: list[int]) -> None:
    off_peak = OffPeak(Windows(outside_sessions_of=("TEST",)), hours=hours)
    known = times(off_peak, a_year_of_sessions())
    jobs = variants_of(a_job(every=HOUR_MS), known, work_ms=SECOND_MS, slot_ms=MINUTE_MS, wants_window=True).jobs
    windows = [each.policies.windows for each in jobs if each.policies.windows is not None]
    assert [span.start_minute // 60 for each in windows for span in each.spans] == starts


@pytest.mark.parametrize(("away_ms", "hours", "said"), [(-1, 8, "no less than 0"), (0, 0, "1 to 23"), (0, 24, "1 to")])
def test_what_is_out_of_range_is_refused(away_ms: int, hours: int, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        OffPeak(None, away_ms, hours)
