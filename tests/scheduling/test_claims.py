"""How long claims are kept: never shorter than somebody may publish the fire again, and always in the same set."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.claims import (
    CLASSES_MS,
    LONGEST_KEPT_MS,
    MARGIN_MS,
    Shelves,
    bucket_of,
    kept_ms,
    longest_gap,
    shelf_of,
)
from packages.scheduling.due import due_of
from packages.scheduling.instants import DAY_MS, HOUR_MS, LAST_INSTANT, MINUTE_MS, SECOND_MS
from packages.scheduling.policies import CatchUp, CatchUpMode, Policies
from packages.scheduling.state import JobState
from packages.scheduling.triggers.cron_parse import parse_cron
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.triggers.one_off import OneOff
from tests.scheduling.generated import policies, triggers
from tests.scheduling.jobs import MIDNIGHT, a_job

ALL = CatchUpMode.ALL
LATEST = CatchUpMode.LATEST
SKIP = CatchUpMode.SKIP


@pytest.mark.parametrize(
    ("catch_up", "stale_ms", "gap_ms", "kept"),
    [
        (CatchUp(ALL, DAY_MS), None, MINUTE_MS, 2 * DAY_MS),
        (CatchUp(ALL, DAY_MS), HOUR_MS, None, DAY_MS + HOUR_MS),
        (CatchUp(ALL, 90 * DAY_MS), None, None, LONGEST_KEPT_MS),
        (CatchUp(LATEST, DAY_MS), None, MINUTE_MS, 2 * MINUTE_MS + MARGIN_MS),
        (CatchUp(LATEST, DAY_MS), None, 20 * HOUR_MS, DAY_MS + MARGIN_MS),
        (CatchUp(LATEST, DAY_MS), None, None, DAY_MS + MARGIN_MS),
        (CatchUp(SKIP, DAY_MS), None, MINUTE_MS, 2 * MINUTE_MS + MARGIN_MS),
        (CatchUp(LATEST, 2 * MINUTE_MS), None, HOUR_MS, 4 * MINUTE_MS),
        (CatchUp(LATEST, 400 * DAY_MS), None, None, LONGEST_KEPT_MS),
    ],
)
def test_kept_for_as_long_as_the_policies_say(
    catch_up: CatchUp, stale_ms: int | None, gap_ms: int | None, kept: int
) -> None:
    job = a_job(policies=Policies(catch_up=catch_up, max_staleness_ms=stale_ms))

    assert kept_ms(job, gap_ms) == kept


def test_jitter_is_added() -> None:
    job = a_job(policies=Policies(jitter_ms=SECOND_MS, catch_up=CatchUp(ALL, HOUR_MS)))

    assert kept_ms(job, MINUTE_MS) == 2 * HOUR_MS + SECOND_MS


@pytest.mark.parametrize(
    ("trigger", "nominal", "gap_ms"),
    [
        (IntervalTrigger(7 * SECOND_MS), MIDNIGHT, 7 * SECOND_MS),
        (parse_cron("*/5 * * * *"), MIDNIGHT, 5 * MINUTE_MS),
        (parse_cron("0 9-16 * * 1-5"), MIDNIGHT + 15 * HOUR_MS, 17 * HOUR_MS),
        # The last one of Friday: Saturday and Sunday are part of the gap.
        (parse_cron("0 9-16 * * 1-5"), MIDNIGHT + 4 * DAY_MS + 16 * HOUR_MS, 65 * HOUR_MS),
        (parse_cron("0 9-16 * * 1-5"), MIDNIGHT + 8 * HOUR_MS, HOUR_MS),
        (OneOff(MIDNIGHT), MIDNIGHT - MINUTE_MS, MINUTE_MS),
        (OneOff(MIDNIGHT), MIDNIGHT, None),
    ],
)
def test_the_longest_gap_of_the_next_nominals(trigger: IntervalTrigger, nominal: int, gap_ms: int | None) -> None:
    assert longest_gap(trigger, nominal) == gap_ms


@settings(max_examples=300, deadline=None)
@given(
    trigger=triggers(),
    policies=policies(),
    start=st.integers(MIDNIGHT, MIDNIGHT + 30 * DAY_MS),
    later_ms=st.integers(0, 3 * DAY_MS),
)
def test_nothing_older_than_its_claim_is_published_again(
    trigger: IntervalTrigger, policies: Policies, start: int, later_ms: int
) -> None:
    # Gates look at sessions; where a fire is planned without them is the latest it may be.
    job = a_job(trigger=trigger, policies=replace(policies, trading_hours=None, windows=None))
    nominal = trigger.next_after(start)
    assert nominal is not None
    forgotten_at = nominal + kept_ms(job, longest_gap(trigger, nominal))

    due = due_of(job, JobState(watermark=nominal - 1), forgotten_at + later_ms, {})

    assert nominal not in {candidate.nominal for candidate in due.candidates}


def test_what_may_still_be_made_up_for_is_claimed() -> None:
    job = a_job(every=DAY_MS, policies=Policies(catch_up=CatchUp(LATEST, DAY_MS)))
    due = due_of(job, JobState(watermark=MIDNIGHT - 1), MIDNIGHT + DAY_MS - SECOND_MS, {})

    assert [candidate.nominal for candidate in due.candidates] == [MIDNIGHT]
    assert kept_ms(job, longest_gap(job.trigger, MIDNIGHT)) > DAY_MS


@given(needed_ms=st.integers(0, LONGEST_KEPT_MS), nominal=st.integers(0, LAST_INSTANT))
def test_a_set_is_kept_as_long_as_each_of_its_claims_must_be(needed_ms: int, nominal: int) -> None:
    class_ms, bucket = bucket_of(needed_ms, nominal)

    assert class_ms in CLASSES_MS
    assert needed_ms <= class_ms
    assert bucket * (class_ms // 2) <= nominal < (bucket + 1) * (class_ms // 2)


@given(needed_ms=st.integers(0, LONGEST_KEPT_MS))
def test_the_shortest_class_that_will_do_is_taken(needed_ms: int) -> None:
    class_ms, _ = bucket_of(needed_ms, MIDNIGHT)

    assert not [shorter for shorter in CLASSES_MS if needed_ms <= shorter < class_ms]


def test_what_no_class_keeps_is_refused() -> None:
    with pytest.raises(ValueError, match="kept for 9504000000 ms at most"):
        bucket_of(CLASSES_MS[-1] + 1, MIDNIGHT)


@settings(max_examples=200, deadline=None)
@given(trigger=triggers(), policies=policies(), start=st.integers(MIDNIGHT, MIDNIGHT + 30 * DAY_MS))
def test_the_set_of_a_fire_is_the_same_whoever_asks(trigger: IntervalTrigger, policies: Policies, start: int) -> None:
    nominal = trigger.next_after(start)
    assert nominal is not None
    one = shelf_of(a_job(trigger=trigger, policies=policies), nominal, "schedule")
    # Another process: values that are equal, and none the same.
    other = shelf_of(a_job(trigger=replace(trigger), policies=replace(policies)), nominal, "schedule")

    assert one == other
    expected = bucket_of(kept_ms(a_job(policies=policies), longest_gap(trigger, nominal)), nominal)
    assert (one.name, one.kept_ms) == ("{}:{}".format(*expected), expected[0])


@settings(max_examples=200, deadline=None)
@given(
    trigger=triggers(),
    policies=policies(),
    fires=st.lists(
        st.tuples(st.integers(MIDNIGHT, MIDNIGHT + 30 * DAY_MS), st.sampled_from(["schedule", "clock:2", "trigger:a"])),
        max_size=5,
    ),
)
def test_shelves_say_the_same_for_many_fires(
    trigger: IntervalTrigger, policies: Policies, fires: list[tuple[int, str]]
) -> None:
    shelves = Shelves()
    job = a_job(trigger=trigger, policies=policies)
    for start, origin in fires:
        nominal = trigger.next_after(start)
        assert nominal is not None
        assert shelves.of(job, nominal, origin) == shelf_of(job, nominal, origin)


def test_shelves_notice_that_a_job_is_another_one() -> None:
    shelves = Shelves()
    short, long = a_job(every=MINUTE_MS), a_job(every=DAY_MS)

    assert [shelves.of(job, MIDNIGHT, "schedule").kept_ms for job in (short, long, short)] == [
        shelf_of(job, MIDNIGHT, "schedule").kept_ms for job in (short, long, short)
    ]


def test_what_was_asked_for_has_a_set_of_its_own_that_does_not_hang_on_its_nominal() -> None:
    job = a_job(policies=Policies(catch_up=CatchUp(LATEST, HOUR_MS)))

    old, new = (shelf_of(job, nominal, "backfill:7") for nominal in (MIDNIGHT - 300 * DAY_MS, MIDNIGHT))

    assert old == new
    assert old.kept_ms >= 2 * HOUR_MS
    assert shelf_of(job, MIDNIGHT, "trigger:7").name != old.name


def test_after_the_clock_was_set_back_a_fire_stands_in_the_set_of_its_nominal() -> None:
    job = a_job()

    assert shelf_of(job, MIDNIGHT, "clock:1") == shelf_of(job, MIDNIGHT, "schedule")
