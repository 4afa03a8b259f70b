"""After the wall clock was set back: what follows the clock starts again from it, what has a fixed hour runs once."""

import pytest

from packages.scheduling.engine import Engine
from packages.scheduling.instants import DAY_MS, HOUR_MS
from packages.scheduling.policies import CatchUp, CatchUpMode, Policies
from packages.scheduling.session_instants import SessionEvent
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.state import JobState
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.triggers.bounded import Limited, Within
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.cron_clock import Fold
from packages.scheduling.triggers.cron_parse import parse_cron
from packages.scheduling.triggers.excluding import Excluding
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.triggers.market import MarketEvent, WithinSession
from packages.scheduling.triggers.one_off import OneOff
from packages.scheduling.triggers.union import Union
from tests.scheduling.jobs import MIDNIGHT, MINUTE, a_job
from tests.scheduling.markets import a_table

EVERY_MINUTE = IntervalTrigger(MINUTE)
AT_NINE = parse_cron("0 9 * * *")
MARKET = a_table([("2026-03-02 09:00", "2026-03-02 17:30")], known=("2026-03-01 00:00", "2026-03-05 00:00"))
NINE = MIDNIGHT + 9 * HOUR_MS


@pytest.mark.parametrize(
    ("trigger", "repeats"),
    [
        (EVERY_MINUTE, True),
        (parse_cron("* * * * *"), True),
        (parse_cron("30 * * * *"), True),
        (parse_cron("30 * * * 1-5", zone="America/New_York"), True),
        # Every hour is every hour, however it is said.
        (parse_cron("30 0-23 * * *"), True),
        (parse_cron("*/5 * * * *", fold=Fold.FIRST), True),
        (parse_cron("0 */2 * * *"), True),
        (parse_cron("0 */12 * * *"), True),
        (parse_cron("0 */12 * * *", fold=Fold.FIRST), False),
        (parse_cron("0 0,12 * * *"), False),
        (AT_NINE, False),
        (parse_cron("0 9-16 * * 1-5"), False),
        (parse_cron("* 9 * * *"), False),
        (parse_cron("0 0 * * *", fold=Fold.BOTH), False),
        (CronTrigger.of_sets(minutes={0}), True),
        (CronTrigger.of_sets(minutes={0}, hours={3}), False),
        (OneOff(NINE), False),
        (MarketEvent((MARKET,), SessionEvent.OPEN), False),
        (WithinSession((MARKET,), 5 * MINUTE), False),
        (Union((EVERY_MINUTE, parse_cron("0 * * * *"))), True),
        # One of them would run twice.
        (Union((EVERY_MINUTE, AT_NINE)), False),
        (Excluding(EVERY_MINUTE, AT_NINE), True),
        (Excluding(AT_NINE, EVERY_MINUTE), False),
        (Within(EVERY_MINUTE, MIDNIGHT), True),
        (Within(AT_NINE, MIDNIGHT), False),
        (Limited(EVERY_MINUTE, 5, MIDNIGHT), True),
        (Limited(AT_NINE, 5, MIDNIGHT), False),
    ],
    ids=lambda value: value.describe() if hasattr(value, "describe") else str(value),
)
def test_a_trigger_says_whether_its_instants_run_again(trigger: Trigger, *, repeats: bool) -> None:
    assert trigger.repeats_when_set_back is repeats


def ran(engine: Engine, now: int) -> list[tuple[int, str]]:
    return [((f.decision.nominal - NINE) // MINUTE, f.decision.origin) for f in engine.tick(Snapshot(now), now).fires]


def an_engine(trigger: Trigger, *, at: int) -> Engine:
    """Of one job, that has run just before `at`."""
    engine = Engine()
    engine.add(a_job(trigger=trigger, policies=Policies(catch_up=CatchUp(CatchUpMode.ALL))), None, at - 1)
    assert ran(engine, at)
    return engine


def test_a_job_at_a_fixed_hour_does_not_run_twice() -> None:
    engine = an_engine(AT_NINE, at=NINE)
    before = engine.state("area.job")
    back = NINE - 30 * MINUTE
    assert engine.clock_set_back(back) == {}
    assert engine.state("area.job") is before
    assert engine.next_wake() == NINE + DAY_MS
    assert ran(engine, NINE) == []
    assert ran(engine, NINE + DAY_MS) == [(24 * 60, "schedule")]


def test_a_clock_that_was_days_ahead_silences_nobody() -> None:
    engine = an_engine(AT_NINE, at=NINE)
    back = NINE - 3 * DAY_MS - 30 * MINUTE
    assert set(engine.clock_set_back(back)) == {"area.job"}
    assert ran(engine, NINE - 3 * DAY_MS) == [(-3 * 24 * 60, "clock:1")]


@pytest.mark.parametrize("trigger", [EVERY_MINUTE, parse_cron("* * * * *")])
def test_a_job_that_follows_the_clock_starts_again_from_it(trigger: Trigger) -> None:
    engine = an_engine(trigger, at=NINE)
    back = NINE - 30 * MINUTE
    assert set(engine.clock_set_back(back)) == {"area.job"}
    assert [ran(engine, back + n * MINUTE) for n in (1, 2)] == [[(-29, "clock:1")], [(-28, "clock:1")]]


def test_what_waits_at_a_fixed_hour_goes_on_waiting() -> None:
    engine = Engine()
    engine.add(a_job(trigger=AT_NINE), None, NINE - 1)
    (fire,) = engine.tick(Snapshot(NINE), NINE).fires
    engine.publish_failed(fire, NINE)
    back = NINE - 30 * MINUTE
    assert set(engine.clock_set_back(back)) == {"area.job"}
    wake = engine.next_wake() or 0
    assert back < wake <= back + MINUTE
    assert ran(engine, wake) == [(0, "schedule")]


@pytest.mark.parametrize(
    ("trigger", "watermark", "origin"), [(AT_NINE, NINE, "schedule"), (EVERY_MINUTE, 0, "clock:1")]
)
def test_what_a_beat_with_another_clock_left_far_ahead_is_no_different(
    trigger: Trigger, watermark: int, origin: str
) -> None:
    now = NINE - HOUR_MS
    left = JobState(watermark=NINE, trigger=trigger.describe())
    engine = Engine()
    began = engine.add(a_job(trigger=trigger), left, now)
    assert (began.watermark, began.origin) == (watermark or now, origin)
    engine.add(a_job(trigger=trigger), None, now)
    assert engine.put_state("area.job", left, now) == began


def test_another_trigger_at_a_fixed_hour_does_not_run_what_the_one_before_has_settled() -> None:
    left = JobState(watermark=NINE, trigger=EVERY_MINUTE.describe())
    began = Engine().add(a_job(trigger=AT_NINE), left, NINE - HOUR_MS)
    assert (began.watermark, began.origin, began.trigger) == (NINE, "schedule", AT_NINE.describe())
