"""Random crons, and windows around the changes of the clocks of many kinds of zone."""

from datetime import UTC, datetime

from hypothesis import reject
from hypothesis import strategies as st

from packages.scheduling.instants import DAY_MS, MINUTE_MS, to_instant
from packages.scheduling.triggers.base import TriggerError
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.cron_clock import Fold, Gap
from packages.scheduling.triggers.cron_days import LAST, CronDays, DayRule


def _at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return to_instant(datetime(year, month, day, hour, minute, tzinfo=UTC))


# A zone and an instant at which its clocks change.
CHANGES = (
    ("America/New_York", _at(2026, 3, 8, 7)),
    ("America/New_York", _at(2026, 11, 1, 6)),
    ("Europe/London", _at(2026, 3, 29, 1)),
    ("Europe/London", _at(2026, 10, 25, 1)),
    # Half an hour.
    ("Australia/Lord_Howe", _at(2026, 4, 4, 15)),
    ("Australia/Lord_Howe", _at(2026, 10, 3, 15, 30)),
    # A day that was left out.
    ("Pacific/Apia", _at(2011, 12, 30, 10)),
    # At midnight: the day begins at 01:00, or its last hour is repeated.
    ("America/Havana", _at(2026, 3, 8, 5)),
    ("America/Havana", _at(2026, 11, 1, 5)),
    ("America/Sao_Paulo", _at(2018, 11, 4, 3)),
    # Summer is the standard time, winter is an hour behind.
    ("Europe/Dublin", _at(2026, 3, 29, 1)),
    ("Europe/Dublin", _at(2026, 10, 25, 1)),
    # Three hours: no daylight saving, but a correction to Debian's cron.
    ("Antarctica/Casey", _at(2009, 10, 17, 18)),
    ("Antarctica/Casey", _at(2010, 3, 4, 15)),
    # Two hours.
    ("Antarctica/Troll", _at(2026, 3, 29, 1)),
    # Offsets with seconds: 44:30 behind until 1972.
    ("Africa/Monrovia", _at(1972, 1, 7, 0, 44) + MINUTE_MS // 2),
    # A leap day, the turn of a year, and nothing else.
    ("Asia/Kathmandu", _at(2028, 2, 29)),
    ("UTC", _at(2027, 1, 1)),
)


def _some(low: int, high: int) -> st.SearchStrategy[frozenset[int]]:
    return st.one_of(
        st.just(frozenset(range(low, high + 1))),
        st.integers(low, high).map(lambda number: frozenset({number})),
        st.frozensets(st.integers(low, high), min_size=1),
    )


@st.composite
def cron_days(draw: st.DrawFn) -> CronDays:
    weekdays = draw(_some(0, 6))
    nth = draw(st.frozensets(st.tuples(st.integers(0, 6), st.sampled_from((1, 2, 3, 4, 5, LAST))), max_size=2))
    return CronDays(
        days_of_month=draw(_some(1, 28)),
        months=frozenset(range(1, 13)),
        days_of_week=draw(st.just(weekdays) | st.just(frozenset())) if nth else weekdays,
        last_day=draw(st.booleans()),
        last_workday=draw(st.booleans()),
        nth_weekdays=nth,
        rule=draw(st.sampled_from(DayRule)),
    )


@st.composite
def crons(draw: st.DrawFn, zone: str) -> CronTrigger:
    # The hours around most changes come often.
    hours = draw(_some(0, 23) | _some(0, 3))
    minutes, days = draw(_some(0, 59)), draw(st.just(CronDays()) | cron_days())
    gap, fold = draw(st.sampled_from(Gap)), draw(st.sampled_from(Fold))
    try:
        return CronTrigger(minutes, hours, days, zone, gap, fold)
    except TriggerError:
        # The 8th as a first Sunday of the month, and the like.
        reject()


@st.composite
def crons_near_a_change(draw: st.DrawFn) -> tuple[CronTrigger, int, int]:
    """A cron and a window of up to four days, in full minutes, with a change of the clocks within or near it."""
    zone, change = draw(st.sampled_from(CHANGES))
    minute = change // MINUTE_MS
    start = minute - draw(st.integers(0, 2 * DAY_MS // MINUTE_MS))
    end = minute + draw(st.integers(0, 2 * DAY_MS // MINUTE_MS))
    return draw(crons(zone)), start * MINUTE_MS, end * MINUTE_MS
