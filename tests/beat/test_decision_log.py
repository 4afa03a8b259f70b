"""Which decisions are told, and what the log says of them."""

import logging

import pytest

from packages.infra.beat.decision_log import DeferFilter, Outcome, say
from packages.scheduling.decision import Decision, Opinion, Reason, Verdict
from packages.scheduling.policies import GateMode

CLOSED = Opinion("trading_hours", Verdict.SKIP, Reason.MARKET_CLOSED, facts=(("XNYS", "closed"), ("n", 3)))
PAUSED = Opinion("pause", Verdict.DEFER, Reason.PAUSED, until=9_000, holds_until=9_000, mode=GateMode.OBSERVE)
FIRE = Decision("area.job", 1_000, 1_500, "schedule", 1_700, Verdict.FIRE, Reason.ON_TIME)
SKIP = Decision(
    "area.job",
    1_000,
    1_500,
    "schedule",
    1_700,
    Verdict.SKIP,
    Reason.MARKET_CLOSED,
    opinions=(CLOSED, PAUSED),
    holds_until=2_000,
    count=3,
    first_nominal=500,
    arm="b",
)


def decision(
    *, nominal: int = 1_000, origin: str = "schedule", reason: Reason = Reason.STILL_RUNNING, until: int = 3_000
) -> Decision:
    return Decision("area.job", nominal, nominal, origin, nominal, Verdict.DEFER, reason, until=until)


DEFER = decision()


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[object, ...]]:
    return [
        tuple(vars(record).get(field) for field in ("job", "verdict", "reason", "late_ms")) for record in caplog.records
    ]


def test_each_decision_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        say([Outcome(FIRE, published_at=FIRE.planned + 1_234), Outcome(SKIP)])
    assert {record.getMessage() for record in caplog.records} == {"decision"}
    assert said(caplog) == [("area.job", "fire", "on_time", 1_234), ("area.job", "skip", "market_closed", None)]
    fields = vars(caplog.records[1])
    assert fields["nominal"] == "1970-01-01T00:00:01.000Z"
    assert (fields["count"], fields["arm"]) == (3, "b")
    assert (fields["held_by"], fields["would_hold"]) == ("trading_hours:market_closed", "pause:paused")


def test_nothing_is_made_of_lines_that_nobody_reads(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="packages.infra.beat.decision_log"):
        say([Outcome(FIRE)])
    assert caplog.records == []


def test_a_fire_that_waits_on_is_told_once() -> None:
    defers = DeferFilter()
    assert defers.fresh([DEFER, DEFER]) == [DEFER]
    assert defers.fresh([decision(until=4_000)]) == []
    failed = decision(reason=Reason.PUBLISH_FAILED)
    assert defers.fresh([failed, failed]) == [failed]
    other = decision(nominal=2_000)
    assert defers.fresh([other]) == [other]
    requested = decision(origin="trigger:1")
    assert defers.fresh([requested]) == [requested]
    assert defers.fresh([FIRE, FIRE]) == [FIRE, FIRE]
    assert defers.fresh([DEFER, other]) == [DEFER]


def test_what_waits_is_not_remembered_without_end() -> None:
    defers = DeferFilter()
    for nominal in range(60_000):
        defers.is_fresh(decision(nominal=nominal))
    assert defers.is_fresh(decision(nominal=0))
    assert not defers.is_fresh(decision(nominal=59_999))
