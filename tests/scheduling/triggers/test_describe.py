"""A description is the whole trigger: of two that name different instants the descriptions differ."""

from itertools import combinations

import pytest

from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS
from packages.scheduling.session_instants import LocalTime, NthDay, SessionEvent, SpanOfDays
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.triggers.bounded import Limited, Within
from packages.scheduling.triggers.cron_clock import Fold, Gap
from packages.scheduling.triggers.cron_parse import parse_cron
from packages.scheduling.triggers.excluding import Excluding
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.triggers.market import Combine, MarketEvent, TradingDay, WithinSession
from packages.scheduling.triggers.one_off import OneOff
from packages.scheduling.triggers.union import Union
from tests.scheduling.jobs import MIDNIGHT
from tests.scheduling.markets import a_table

ONE = a_table(
    [("2026-03-02 14:30", "2026-03-02 17:00"), ("2026-03-02 18:00", "2026-03-02 21:00")],
    [("2026-03-03 14:30", "2026-03-03 21:00")],
    [("2026-03-04 14:30", "2026-03-04 20:00")],
    known=("2026-02-23 00:00", "2026-04-01 00:00"),
)
# The same market, with one close that is different.
OTHER = a_table(
    [("2026-03-02 14:30", "2026-03-02 17:00"), ("2026-03-02 18:00", "2026-03-02 21:00")],
    [("2026-03-03 14:30", "2026-03-03 18:00")],
    [("2026-03-04 14:30", "2026-03-04 20:00")],
    known=("2026-02-23 00:00", "2026-04-01 00:00"),
)
MINUTELY, HOURLY, NOON = IntervalTrigger(MINUTE_MS), IntervalTrigger(HOUR_MS), OneOff(MIDNIGHT + 12 * HOUR_MS)
FIRST, LAST = NthDay(1, SpanOfDays.WEEK), NthDay(-1, SpanOfDays.WEEK)

TRIGGERS: tuple[Trigger, ...] = (
    MINUTELY,
    IntervalTrigger(MINUTE_MS + 1),
    IntervalTrigger(MINUTE_MS, 1),
    IntervalTrigger(DAY_MS + MINUTE_MS),
    HOURLY,
    NOON,
    OneOff(MIDNIGHT + 12 * HOUR_MS + 1),
    *(parse_cron(text) for text in ("0 0 * * *", "0 0 L * *", "0 0 LW * *", "0 0 * * 1", "0 0 * * 1#1", "0 0 * * L1")),
    *(parse_cron(text) for text in ("0 0 1 * 1", "0 0 */2 * 1", "0 */2 * * *", "0 1-23/2 * * *", "0 0 1-7 * *")),
    *(parse_cron("30 2 * * *", zone="America/New_York", gap=gap) for gap in (Gap.SKIP, Gap.SHIFT)),
    *(parse_cron("30 1 * * *", zone="America/New_York", fold=fold) for fold in (Fold.FIRST, Fold.LAST, Fold.BOTH)),
    parse_cron("30 1 * * *", zone="Europe/London"),
    Union((MINUTELY, NOON)),
    Union((HOURLY, NOON)),
    Excluding(MINUTELY, HOURLY),
    Excluding(HOURLY, NOON),
    Within(HOURLY, MIDNIGHT),
    Within(HOURLY, MIDNIGHT, MIDNIGHT + DAY_MS),
    Within(HOURLY, active_until=MIDNIGHT + DAY_MS),
    Limited(HOURLY, 5, MIDNIGHT),
    Limited(HOURLY, 6, MIDNIGHT),
    Limited(HOURLY, 5, MIDNIGHT + HOUR_MS),
    Union((Excluding(MINUTELY, HOURLY), NOON)),
    Excluding(Union((MINUTELY, NOON)), HOURLY),
    *(MarketEvent((ONE,), event) for event in SessionEvent),
    MarketEvent((ONE,), SessionEvent.OPEN, 1),
    MarketEvent((ONE,), SessionEvent.OPEN, -1),
    MarketEvent((OTHER,), SessionEvent.CLOSE),
    MarketEvent((ONE, OTHER), SessionEvent.CLOSE),
    MarketEvent((ONE, OTHER), SessionEvent.CLOSE, combine=Combine.ALL),
    WithinSession((ONE,), HOUR_MS),
    WithinSession((ONE,), HOUR_MS + 1000),
    WithinSession((ONE,), HOUR_MS, at_open=True),
    WithinSession((ONE,), HOUR_MS, at_close=True),
    WithinSession((ONE,), HOUR_MS, at_open=True, at_close=True),
    TradingDay((ONE,), FIRST, SessionEvent.OPEN),
    TradingDay((ONE,), LAST, SessionEvent.OPEN),
    TradingDay((ONE,), NthDay(1, SpanOfDays.WEEK, week_starts=1), SessionEvent.OPEN),
    TradingDay((ONE,), NthDay(-1, SpanOfDays.MONTH), SessionEvent.OPEN, 5),
    TradingDay((ONE,), FIRST, LocalTime(540, "UTC")),
    TradingDay((ONE,), FIRST, LocalTime(540, "Europe/Berlin")),
    TradingDay((ONE,), FIRST, LocalTime(541, "UTC")),
)


def instants(trigger: Trigger) -> list[int]:
    """Those of three weeks, the first and the last ones of each: enough to tell two triggers apart."""
    found = [nominal for chunk in trigger.between(MIDNIGHT - 7 * DAY_MS, MIDNIGHT + 260 * DAY_MS) for nominal in chunk]
    return [int(nominal) for nominal in (*found[:2_000], *found[-2_000:])] + [len(found)]


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: trigger.describe()[:60])
def test_it_is_one_line(trigger: Trigger) -> None:
    assert trigger.describe().strip()
    assert "\n" not in trigger.describe()


def test_triggers_that_name_different_instants_are_described_differently() -> None:
    told = [(trigger.describe(), instants(trigger)) for trigger in TRIGGERS]
    alike = [one for (one, these), (other, those) in combinations(told, 2) if one == other and these != those]
    assert alike == []
    assert len({tuple(these) for _, these in told}) >= len(TRIGGERS) - 4, "or this compares a trigger with itself"
