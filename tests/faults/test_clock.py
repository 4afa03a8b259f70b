"""The wall clock of the replicas is moved by an hour: no storm, no hour of silence, and no fixed hour twice."""

from pathlib import Path

import pytest

from tests.faults.app import MADE_UP_FOR
from tests.faults.checker import Kind, Span, Window, busiest
from tests.faults.laws import FIXED
from tests.faults.stage import Stage

HOUR_S = 3_600
MADE_UP_FOR_MS = int(MADE_UP_FOR.total_seconds() * 1_000)
# All fires of two minutes of the jobs that make up for all, and a few more.
MOST_AT_ONCE = 800

pytestmark = pytest.mark.chaos


def test_the_clock_goes_forward_by_an_hour(stage: Stage) -> None:
    stage.set_clock(0)
    stage.begin(2)
    stage.run_for(5)
    left = stage.now()
    stage.set_clock(HOUR_S)
    reached = stage.now()
    stage.outage(left, since=reached)
    stage.outages.append(Window(left, reached + 2_000))
    stage.run_for(20)
    # What is older than its job makes up for is gone, and so is what is about to be.
    spans = [Span(stage.begun, left), Span(reached - MADE_UP_FOR_MS + 5_000, stage.now())]
    stage.assert_in_order(spans)
    assert busiest(stage.drain.arrivals, 1_000) <= MOST_AT_ONCE
    assert len(stage.terms) == 1, stage.terms


def test_the_clock_goes_back_by_an_hour(stage: Stage) -> None:
    stage.set_clock(0)
    stage.begin(2)
    stage.run_for(5)
    left = stage.now()
    stage.set_clock(-HOUR_S)
    reached = stage.now()
    # Two intervals of the slowest job but for those of a minute.
    again = reached + 10_000
    stage.run_for(75)
    end = stage.now()
    jobs = stage.jobs
    stage.jobs = [job for job in jobs if job.name != FIXED]
    stage.outages.append(Window(left - 1_000, left))
    report = stage.finish([Span(stage.begun, left - 1_000), Span(again, end, "clock:1")])
    assert not report.faults, f"{report}\n{stage.logs()}"
    assert any(arrival.job == "minute" and arrival.origin == "clock:1" for arrival in stage.drain.arrivals)
    stage.jobs = [job for job in jobs if job.name == FIXED]
    report = stage.report([Span(stage.begun, left)])
    assert not report.of(Kind.DUPLICATED, Kind.UNEXPECTED), str(report)
    assert all(a.scheduled_for > reached + HOUR_S * 1_000 - 10_000 for a in stage.drain.arrivals if a.job == FIXED)
    assert busiest(stage.drain.arrivals, 1_000) <= MOST_AT_ONCE
    assert all("clock_set_back" in replica.log for replica in [stage.leader])


def test_a_leader_whose_clock_is_ahead_leaves_no_hour_of_silence(stage: Stage, tmp_path: Path) -> None:
    ahead = tmp_path / "ahead"
    ahead.write_text(str(HOUR_S), encoding="ascii")
    stage.begin(1, FAULTS_CLOCK=str(ahead))
    wrong = stage.leader
    stage.add()
    stage.run_for(5)
    wrong.kill()
    mark, at = stage.drain.mark(), stage.now()
    first = stage.drain.after(mark)
    again = first.arrived_at + 10_000
    stage.run_for(15)
    arrivals = [arrival for arrival in stage.drain.arrivals[mark:] if arrival.job != FIXED]
    stage.jobs = [job for job in stage.jobs if job.name != FIXED and job.law is not None]
    # What came before is of another clock.
    [origin] = {arrival.origin for arrival in arrivals if arrival.scheduled_for > again}
    end = stage.now()
    assert first.arrived_at - at <= 2 * stage.lease_period_ms
    report = stage.finish([Span(again, end, origin)])
    assert not report.of(Kind.MISSED, Kind.DUPLICATED, Kind.OLD_TERM), f"{report}\n{stage.logs()}"
    assert busiest(arrivals, 1_000) <= MOST_AT_ONCE


def test_a_clock_that_differs_from_the_servers_is_said(stage: Stage) -> None:
    stage.set_clock(HOUR_S)
    stage.begin(1)
    stage.until(lambda: "clock_differs_from_broker" in stage.leader.log, "warning about the clock")
    stage.assert_in_order()
