"""The text of a cron: what it names, what is refused, and where we differ from croniter on purpose."""

from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from croniter import CroniterBadDateError, croniter
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.instants import DAY_MS, to_datetime, to_instant
from packages.scheduling.triggers.base import TriggerError
from packages.scheduling.triggers.cron_clock import Fold, Gap
from packages.scheduling.triggers.cron_days import LAST, DayRule
from packages.scheduling.triggers.cron_parse import NICKNAMES, parse_cron
from tests.scheduling.triggers.laws import named

if TYPE_CHECKING:
    from packages.scheduling.triggers.cron import CronTrigger

NEW_YORK = "America/New_York"
START = datetime(2026, 1, 1, tzinfo=UTC)


def in_new_york(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=ZoneInfo(NEW_YORK))  # type: ignore[arg-type,misc]  # the parts of a date


def fires(trigger: "CronTrigger", start: datetime, days: int) -> list[datetime]:
    return [to_datetime(at) for at in named(trigger, to_instant(start), to_instant(start) + days * DAY_MS)]


def by_croniter(text: str, start: datetime, days: int) -> list[datetime]:
    found: list[datetime] = []
    source, end = croniter(text, start), start.astimezone(UTC) + timedelta(days=days)
    while (at := source.get_next(datetime).astimezone(UTC)) <= end:
        found.append(at)
    return found


@pytest.mark.parametrize(
    ("text", "minutes", "hours"),
    [
        ("*/20 * * * *", {0, 20, 40}, set(range(24))),
        ("5/20 9-16 * * *", {5, 25, 45}, set(range(9, 17))),
        ("1,2,50-52 22-2 * * *", {1, 2, 50, 51, 52}, {22, 23, 0, 1, 2}),
        ("10-30/10 0-23/6 * * *", {10, 20, 30}, {0, 6, 12, 18}),
        ("*/90 7 * * *", {0}, {7}),
        ("05 07-7 * * *", {5}, {7}),
        ("*/30,7 * * * *", {0, 7, 30}, set(range(24))),
    ],
)
def test_minutes_and_hours(text: str, minutes: AbstractSet[int], hours: AbstractSet[int]) -> None:
    trigger = parse_cron(text)
    assert (trigger.minutes, trigger.hours) == (minutes, hours)


@pytest.mark.parametrize(
    ("text", "days_of_month", "months", "days_of_week"),
    [
        ("1 JAN-mar sun", {1}, {1, 2, 3}, {0}),
        ("1-5,28 nov-feb/3 7", {1, 2, 3, 4, 5, 28}, {11, 2}, {0}),
        ("? * mon-fri", set(range(1, 32)), set(range(1, 13)), {1, 2, 3, 4, 5}),
        ("* * 0-7", set(range(1, 32)), set(range(1, 13)), set(range(7))),
        ("* * fri-mon", set(range(1, 32)), set(range(1, 13)), {5, 6, 0, 1}),
        ("* * 1-7/2", set(range(1, 32)), set(range(1, 13)), {1, 3, 5, 0}),
        ("*/10 */4 *", {1, 11, 21, 31}, {1, 5, 9}, set(range(7))),
    ],
)
def test_days(
    text: str, days_of_month: AbstractSet[int], months: AbstractSet[int], days_of_week: AbstractSet[int]
) -> None:
    days = parse_cron(f"0 0 {text}").days
    assert (days.days_of_month, days.months, days.days_of_week) == (days_of_month, months, days_of_week)


def test_the_last_and_the_nth() -> None:
    last = parse_cron("0 0 L,15 * *").days
    assert (last.last_day, last.days_of_month) == (True, frozenset({15}))
    workday = parse_cron("0 0 lw * *").days
    assert (workday.last_workday, workday.last_day, workday.days_of_month) == (True, False, frozenset())
    assert [at.day for at in fires(parse_cron("0 0 LW * *"), START, 181)] == [30, 27, 31, 30, 29, 30]
    for text in ("L5", "5L", "friL"):
        assert parse_cron(f"0 0 * * {text}").days.nth_weekdays == {(5, LAST)}
    nth = parse_cron("0 0 * * 1#1,wed#3,7#5").days
    assert nth.nth_weekdays == {(1, 1), (3, 3), (0, 5)}
    assert nth.days_of_week == frozenset()


@pytest.mark.parametrize("nickname", NICKNAMES)
def test_nicknames(nickname: str) -> None:
    assert parse_cron(nickname.upper()) == parse_cron(NICKNAMES[nickname])
    assert fires(parse_cron(nickname), START, 400) == by_croniter(nickname, START, 400)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "has 0 fields; five are allowed"),
        ("* * * *", "has 4 fields"),
        ("0 0 1 * * 0", "has 6 fields"),
        ("@reboot", "has 1 fields.*@daily"),
        ("60 * * * *", "out of range"),
        ("* 24 * * *", "out of range"),
        ("0 0 0 * *", "out of range"),
        ("0 0 * 13 *", "out of range"),
        ("0 0 * * 8", "out of range"),
        ("*/0 * * * *", "step '0'"),
        ("0 5-2/0 * * *", "step '0'"),
        ("0 mon-mon * * *", "not acceptable"),
        ("0 0 * mon-1 *", "not acceptable"),
        ("0 99-2/3 * * *", "out of bands"),
        ("0 0 1,,2 * *", "not acceptable"),
        ("0 0 * foo *", "not acceptable"),
        ("0 0 L-3 * *", "not acceptable"),
        ("0 0 5L * *", "not acceptable"),
        ("0 0 * * 1-5#2", "not acceptable"),
        ("0 0 * * 1#6", "Invalid day_of_week"),
        ("0 0 15W * *", "'15W' is not supported"),
        ("0 0 1,W3 * *", "'W3' is not supported"),
        ("H * * * *", "'H' is not supported"),
        ("R(0-5) * * * *", r"'R\(0-5\)' is not supported"),
        ("R/5 * * * *", "'R/5' is not supported"),
        ("0 0 30 2 *", r"never fires.*'0 0 30 2 \*'"),
        ("0 0 31 feb,apr,jun *", r"never fires.*'0 0 31 2,4,6 \*'"),
    ],
)
def test_what_is_refused_is_named(text: str, hint: str) -> None:
    with pytest.raises(TriggerError, match=hint) as caught:
        parse_cron(text)
    assert repr(text) in str(caught.value)


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(TriggerError, match=r"'0 0 \* \* \*': no time zone 'Europe/Nowhere'"):
        parse_cron("0 0 * * *", zone="Europe/Nowhere")


@pytest.mark.parametrize(
    ("text", "gap", "fold"),
    [
        ("30 2 * * *", Gap.DEBIAN, Fold.DEBIAN),
        ("0,30 1-3 * * *", Gap.DEBIAN, Fold.DEBIAN),
        ("0 0-23/2 * * *", Gap.DEBIAN, Fold.DEBIAN),
        ("*/15 2 * * *", Gap.SKIP, Fold.BOTH),
        ("0 */2 * * *", Gap.SKIP, Fold.BOTH),
        ("* * * * *", Gap.SKIP, Fold.BOTH),
        ("@hourly", Gap.SKIP, Fold.BOTH),
        ("@daily", Gap.DEBIAN, Fold.DEBIAN),
    ],
)
def test_a_star_in_minutes_or_hours_follows_the_clock(text: str, gap: Gap, fold: Fold) -> None:
    trigger = parse_cron(text, zone=NEW_YORK)
    assert (trigger.gap, trigger.fold) == (gap, fold)
    explicit = parse_cron(text, zone=NEW_YORK, gap=Gap.SHIFT, fold=Fold.LAST)
    assert (explicit.gap, explicit.fold) == (Gap.SHIFT, Fold.LAST)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("0 0 13 * 5", DayRule.EITHER),
        ("0 0 1-31 * 5", DayRule.EITHER),
        ("0 0 L * 5#2", DayRule.EITHER),
        ("0 0 */2 * 5", DayRule.BOTH),
        ("0 0 13 * *", DayRule.BOTH),
        ("0 0 13 * */2", DayRule.BOTH),
        ("0 0 ? * 5", DayRule.BOTH),
    ],
)
def test_a_star_in_a_day_field_makes_it_both(text: str, rule: DayRule) -> None:
    assert parse_cron(text).days.rule is rule


class TestDifferencesFromCroniter:
    """Each shows what croniter does, so that a change of it is noticed."""

    def test_a_fixed_hour_in_the_overlap_is_once(self) -> None:
        text, start = "30 1 * * *", in_new_york(2026, 11, 1)
        assert by_croniter(text, start, 1) == [
            datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
            datetime(2026, 11, 1, 6, 30, tzinfo=UTC),
        ]
        assert fires(parse_cron(text, zone=NEW_YORK), start, 1) == [datetime(2026, 11, 1, 5, 30, tzinfo=UTC)]

    def test_a_step_of_a_star_in_a_day_field_is_a_star(self) -> None:
        text = "0 0 */2 * 1"
        assert len(by_croniter(text, START, 28)) == 16
        ours = fires(parse_cron(text), START, 28)
        assert [at.day for at in ours] == [5, 19]
        assert ours == by_cronsim(text, START, 28)

    def test_the_last_workday_is_known(self) -> None:
        with pytest.raises(ValueError, match="not acceptable"):
            croniter.expand("0 0 LW * *")
        assert fires(parse_cron("0 0 LW * *"), START, 365) == by_cronsim("0 0 LW * *", START, 365)

    def test_a_range_of_one_is_one(self) -> None:
        assert croniter.expand("0 9-9 * * *")[0][1] == ["*"]
        assert parse_cron("0 9-9 * * *").hours == {9}
        assert parse_cron("0 0 * * mon-1").days.days_of_week == {1}

    def test_a_step_goes_on_past_the_end_of_a_field(self) -> None:
        assert croniter.expand("0 21-5/4 * * *")[0][1] == [2, 21]
        assert parse_cron("0 21-5/4 * * *").hours == {21, 1, 5}
        assert parse_cron("0 0 * nov-jun/3 *").days.months == {11, 2, 5}

    def test_a_date_or_an_nth_weekday(self) -> None:
        text = "0 0 13 * 5#1"
        with pytest.raises(CroniterBadDateError):
            by_croniter(text, START, 59)
        assert [at.day for at in fires(parse_cron(text), START, 59)] == [2, 13, 6, 13]

    def test_an_nth_weekday_beside_others(self) -> None:
        with pytest.raises(ValueError, match="does not support mixing"):
            croniter.expand("0 0 * * 1,3#2")
        assert parse_cron("0 0 * * 1,3#2").days.days_of_week == {1}
        assert parse_cron("0 0 * * 1,3#2").days.nth_weekdays == {(3, 2)}
        assert fires(parse_cron("0 0 * * 0-6,1#2"), START, 28) == fires(parse_cron("0 0 * * *"), START, 28)

    def test_nothing_is_random(self) -> None:
        assert croniter.expand("R * * * *")[0][0] != ["*"]
        with pytest.raises(TriggerError, match="'R' is not supported"):
            parse_cron("R * * * *")


def by_cronsim(text: str, start: datetime, days: int) -> list[datetime]:
    found: list[datetime] = []
    source, end = CronSim(text, start), start.astimezone(UTC) + timedelta(days=days)
    while (at := next(source).astimezone(UTC)) <= end:
        if not found or at > found[-1]:
            found.append(at)
    return found


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ordered = st.tuples(number, number).filter(lambda pair: pair[0] < pair[1])
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.lists(number, min_size=1, max_size=4, unique=True).map(lambda values: ",".join(map(str, values))),
        ordered.map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.tuples(ordered, st.integers(1, 9)).map(lambda item: f"{item[0][0]}-{item[0][1]}/{item[1]}"),
    )


FIELDS = st.tuples(_field(0, 59), _field(0, 23), _field(1, 28), _field(1, 12), _field(0, 6))


@settings(max_examples=40, deadline=None)
@given(fields=FIELDS)
def test_in_utc_we_agree_with_croniter(fields: tuple[str, ...]) -> None:
    source, trigger = croniter(" ".join(fields), START), parse_cron(" ".join(fields))
    at = to_instant(START)
    for _ in range(20):
        following = trigger.next_after(at)
        assert following == to_instant(source.get_next(datetime))
        at = following


@settings(max_examples=40, deadline=None)
@given(fields=FIELDS, day=st.sampled_from((in_new_york(2026, 3, 7), in_new_york(2026, 10, 31))))
def test_across_a_change_we_agree_with_cronsim(fields: tuple[str, ...], day: datetime) -> None:
    text = f"{fields[0]} {fields[1]} * * {fields[4]}"
    assert fires(parse_cron(text, zone=NEW_YORK), day, 3) == by_cronsim(text, day, 3)
