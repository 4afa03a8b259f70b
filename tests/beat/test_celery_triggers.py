"""Celery's schedules as triggers: the same instants as Celery's own arithmetic, and the same in every process."""

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import BaseSchedule, crontab, schedstate, schedule, solar
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.infra.beat.entries.celery_triggers import is_polled, period_of, trigger_of, zone_name
from packages.infra.beat.entries.estimated_trigger import description_of
from packages.infra.beat.entries.microsecond_interval import MicrosecondInterval
from packages.infra.beat.entries.polled import PolledTrigger
from packages.scheduling.instants import DAY_MS, HOUR_MS, LAST_INSTANT, MINUTE_MS, to_datetime, to_instant
from packages.scheduling.triggers.base import Trigger, TriggerError
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.stepped import NOON

AT = to_instant(NOON)


def app_in(zone: str = "UTC") -> Celery:
    app = Celery("test", set_as_current=False)
    app.conf.update(timezone=zone)
    return app


UTC_APP = app_in()


class Predictable(BaseSchedule):
    """Every seventh minute of the epoch, told by `remaining_estimate`."""

    predictable = True

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        following = to_instant(last_run_at) // (7 * MINUTE_MS) * 7 * MINUTE_MS + 7 * MINUTE_MS
        return to_datetime(following) - self.now()

    def is_due(self, last_run_at: datetime) -> schedstate:
        raise AssertionError(f"not to be asked about {last_run_at}")


class Lattice(crontab):
    """A crontab by another name."""


def trigger(when: BaseSchedule, app: Celery = UTC_APP, anchor: int = 0) -> Trigger:
    return trigger_of(when, app, anchor=anchor)


def some(what: Trigger, start: int, count: int) -> list[int]:
    found: list[int] = []
    for _ in range(count):
        nominal = what.next_after(found[-1] if found else start)
        assert nominal is not None
        found.append(nominal)
    return found


MAKERS: list[Callable[[], Trigger]] = [
    lambda: trigger(schedule(60), anchor=7_000),
    lambda: trigger(schedule(timedelta(seconds=1) / 3), anchor=5),
    lambda: trigger(schedule(timedelta(microseconds=1_500)), anchor=5),
    lambda: trigger(crontab(minute="*/7", hour="1-5", day_of_week="mon", day_of_month="1-14")),
    lambda: trigger(crontab(minute=30, hour=2), app_in("Europe/London")),
    lambda: trigger(schedule(timedelta(hours=3), relative=True), app_in("America/New_York")),
    lambda: trigger(Predictable()),
    lambda: trigger(Lattice(minute="5,25")),
]


@pytest.mark.parametrize("make", MAKERS)
def test_instants_are_increasing_and_the_same_by_either_way(make: Callable[[], Trigger]) -> None:
    what = make()
    nominals = some(what, AT, 40)
    assert nominals == sorted(set(nominals))
    assert nominals[0] > AT
    chunks = list(what.between(AT, nominals[-1]))
    assert [int(nominal) for chunk in chunks for nominal in chunk] == nominals
    assert list(what.between(nominals[0], nominals[0])) == []
    assert list(what.between(nominals[0], nominals[1] - 1)) == []


@pytest.mark.parametrize("make", MAKERS)
def test_a_description_says_the_same_in_every_process(make: Callable[[], Trigger]) -> None:
    assert make().describe() == make().describe()
    assert "0x" not in make().describe()


def test_descriptions_of_different_instants_differ() -> None:
    texts = [make().describe() for make in MAKERS]
    assert len(set(texts)) == len(texts)
    assert description_of(schedule(3600, relative=True)) != description_of(schedule(3601, relative=True))


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("after", [-(10**15), -1, LAST_INSTANT, 10**15])
def test_the_ends_of_time_are_no_error(make: Callable[[], Trigger], after: int) -> None:
    nominal = make().next_after(after)
    assert (nominal is None) == (after >= LAST_INSTANT)
    assert nominal is None or nominal >= 0


@given(
    minute=st.sampled_from(["*", "*/7", "0", "3,33", "10-20/3"]),
    hour=st.sampled_from(["*", "*/5", "0", "23", "8-17"]),
    day_of_week=st.sampled_from(["*", "mon-fri", "sun", "2,4"]),
    day_of_month=st.sampled_from(["*", "1", "31", "29", "1-7", "*/10"]),
    month=st.sampled_from(["*", "2", "1-6", "*/4"]),
    after=st.integers(AT, AT + 3 * 366 * DAY_MS),
)
@settings(max_examples=150, deadline=None)
def test_a_crontab_means_what_it_means_to_celery(
    *, minute: str, hour: str, day_of_week: str, day_of_month: str, month: str, after: int
) -> None:
    try:
        when = crontab(minute, hour, day_of_week, day_of_month, month, app=UTC_APP)
    except ValueError:
        return
    at = to_datetime(after)
    asked = copy.copy(when)
    asked.app, vars(asked)["nowfun"] = UTC_APP, lambda: at
    assert trigger(when).next_after(after) == to_instant(at + asked.remaining_estimate(at))


def test_a_crontab_follows_the_clock_of_its_zone() -> None:
    # London's clocks go forward at 01:00 UTC on 29 March 2026: there is no 01:30.
    app = app_in("Europe/London")
    start = to_instant(datetime(2026, 3, 28, 12, tzinfo=UTC))
    fixed = some(trigger(crontab(minute=30, hour=1), app), start, 2)
    assert [to_datetime(nominal).isoformat() for nominal in fixed] == [
        "2026-03-29T01:00:00+00:00",
        "2026-03-30T00:30:00+00:00",
    ]
    # They go back at 01:00 UTC on 25 October: 01:30 comes twice, and the fixed time runs once.
    start = to_instant(datetime(2026, 10, 25, 0, tzinfo=UTC))
    assert [to_datetime(n).isoformat() for n in some(trigger(crontab(minute=30, hour=1), app), start, 2)] == [
        "2026-10-25T00:30:00+00:00",
        "2026-10-26T01:30:00+00:00",
    ]


def test_an_interval_stands_on_its_anchor() -> None:
    what = trigger(schedule(timedelta(hours=1)), anchor=AT + 7)
    assert isinstance(what, IntervalTrigger)
    assert some(what, AT, 2) == [AT + 7, AT + HOUR_MS + 7]


@given(period_us=st.integers(1, 10_000_000), anchor=st.integers(0, AT), after=st.integers(0, AT))
@settings(max_examples=200, deadline=None)
def test_an_interval_in_microseconds_does_not_drift(period_us: int, anchor: int, after: int) -> None:
    nominal = MicrosecondInterval(period_us, anchor).next_after(after)
    assert nominal is not None
    assert after < nominal <= after + period_us // 1_000 + 1
    steps = -(-(nominal - anchor) * 1_000 // period_us)
    # It is the instant before which that many periods have passed, cut off to a millisecond.
    assert anchor + steps * period_us // 1_000 == nominal or anchor + (steps - 1) * period_us // 1_000 == nominal


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(TriggerError, match="at least one microsecond"):
        MicrosecondInterval(0)


@pytest.mark.parametrize(
    ("when", "period"),
    [
        (schedule(60), timedelta(minutes=1)),
        (schedule(60, relative=True), None),
        (crontab(), None),
        (type("Own", (schedule,), {})(60), None),
    ],
)
def test_only_plain_intervals_need_an_anchor(when: BaseSchedule, period: timedelta | None) -> None:
    assert period_of(when) == period


class OwnIsDue(crontab):
    def is_due(self, last_run_at: datetime) -> schedstate:
        return super().is_due(last_run_at)


class OwnNow(schedule):
    def now(self) -> datetime:
        return NOON


class OnlyIsDue(BaseSchedule):
    def is_due(self, last_run_at: datetime) -> schedstate:
        return schedstate(is_due=bool(last_run_at), next=1)

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        return self.now() - last_run_at


class OwnEntry(ScheduleEntry):
    def is_due(self) -> tuple[bool, float]:
        return False, 1


@pytest.mark.parametrize(
    ("when", "polled"),
    [
        (schedule(60), False),
        (schedule(60, relative=True), False),
        (schedule(0), True),
        (schedule(-1), True),
        (crontab(), False),
        (Lattice(), False),
        (Predictable(), False),
        (OwnIsDue(), True),
        (OwnNow(60), True),
        (OnlyIsDue(), True),
        (schedule(60, nowfun=lambda: NOON), True),
        (crontab(nowfun=lambda: NOON), True),
    ],
)
def test_what_only_is_due_knows_is_polled(when: BaseSchedule, polled: bool) -> None:  # noqa: FBT001  # a column
    entry = ScheduleEntry(name="job", task="t", schedule=when, app=UTC_APP)
    assert is_polled(entry) is polled
    assert is_polled(OwnEntry(name="job", task="t", schedule=when, app=UTC_APP))


def test_the_users_schedule_is_left_as_it_is() -> None:
    when = Predictable()
    before = dict(vars(when))
    some(trigger(when), AT, 3)
    assert vars(when) == before
    cron = crontab()
    kept = dict(vars(cron))
    trigger(cron)
    assert vars(cron) == kept


class Standing(schedule):
    """Names the instant that it is asked about, or one before it."""

    back = timedelta(0)

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        return (last_run_at - last_run_at) - self.back


@pytest.mark.parametrize(
    "event",
    [
        solar("sunset", 51.5, 0.0, app=UTC_APP),
        solar("dawn_civil", -33.0, 0.0, app=UTC_APP),
        solar("sunrise", 69.0, 0.0, app=UTC_APP),
    ],
    ids=repr,
)
def test_an_event_of_the_sun_is_one_instant_whatever_was_asked(event: solar) -> None:
    sun = trigger(event)
    nominal = AT
    for _ in range(30):
        following = sun.next_after(nominal)
        assert following is not None
        assert 0.9 < (following - nominal) / DAY_MS < 1.1 or nominal == AT
        asked = {sun.next_after(nominal + (following - nominal) * part // 37) for part in range(37)}
        assert asked | {sun.next_after(following - 1)} == {following}
        nominal = following


def test_a_schedule_that_does_not_move_on_ends() -> None:
    assert trigger(Standing(60)).next_after(AT) is not None

    class Never(schedule):
        def remaining_estimate(self, last_run_at: datetime) -> timedelta:
            return datetime(2000, 1, 1, tzinfo=UTC) - last_run_at

    assert trigger(Never(60)).next_after(AT) is None


def test_a_zone_has_a_name_or_none() -> None:
    from datetime import timezone
    from zoneinfo import ZoneInfo

    assert zone_name(ZoneInfo("Asia/Tokyo")) == "Asia/Tokyo"
    assert zone_name(timezone(timedelta(hours=5))) is None
    when = crontab(minute=0, hour=0)
    vars(when)["tz"] = timezone(timedelta(hours=5))
    what = trigger(when)
    assert not isinstance(what, CronTrigger)
    assert what.next_after(AT) == AT + 7 * HOUR_MS


def test_a_polled_job_cannot_be_foreseen() -> None:
    what = PolledTrigger("some schedule")
    assert what.next_after(0) is None
    assert list(what.between(0, AT)) == []
    assert "not predictable" in what.describe()
    seen = PolledTrigger("some schedule", AT)
    assert seen.describe() == what.describe()
    assert (seen.next_after(AT - 1), seen.next_after(AT)) == (AT, None)
    assert [list(chunk) for chunk in seen.between(AT - 1, AT)] == [[AT]]


def in_a_zone_without_a_name(when: crontab) -> crontab:
    """So that it is asked and not read."""
    vars(when)["tz"] = timezone(timedelta(hours=5))
    return when


@pytest.mark.parametrize(
    ("when", "repeats"),
    [
        (schedule(timedelta(minutes=5)), True),
        (schedule(timedelta(minutes=5), relative=True), True),
        (schedule(timedelta(microseconds=333_333)), True),
        (crontab(minute="30"), True),
        (crontab(minute="30", hour="9"), False),
        (in_a_zone_without_a_name(crontab(minute="30")), True),
        (in_a_zone_without_a_name(crontab(minute="30", hour="9")), False),
        (solar("sunset", 51.5, 0.0), False),
    ],
)
def test_what_follows_the_clock_starts_again_when_it_is_set_back(when: BaseSchedule, *, repeats: bool) -> None:
    assert trigger_of(when, Celery("app"), anchor=0).repeats_when_set_back is repeats


def test_a_polled_job_is_asked_anew_and_what_it_has_named_does_not_run_again() -> None:
    assert PolledTrigger("by a calendar", 5).repeats_when_set_back is False
