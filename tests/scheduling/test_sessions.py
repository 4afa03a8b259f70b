import pickle
import subprocess
import sys
from array import array
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.instants import DAY_MS, HOUR_MS
from packages.scheduling.joint_sessions import joint_sessions
from packages.scheduling.sessions import SessionError, SessionTable
from tests.scheduling.markets import Period, a_table, instants_near, sessions_of, tables, utc

TWO_DAYS = a_table(
    [("2026-03-02 00:00", "2026-03-02 02:30"), ("2026-03-02 03:30", "2026-03-02 06:30")],
    [("2026-03-03 00:00", "2026-03-03 02:30")],
)
ALWAYS = a_table(*([(f"2026-03-0{day} 00:00", f"2026-03-0{day + 1} 00:00")] for day in range(2, 8)))


def runs(table: SessionTable) -> list[Period]:
    """What is open without a pause, in the simplest way there is."""
    joined: list[Period] = []
    for start, end in (period for session in sessions_of(table) for period in session):
        if joined and joined[-1][1] == start:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return joined


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_each_answer_is_that_of_a_walk_through_the_periods(data: st.DataObject) -> None:
    table = data.draw(tables())
    at = data.draw(instants_near(table))
    periods, open_time = [p for s in sessions_of(table) for p in s], runs(table)
    is_open = any(start <= at < end for start, end in periods)
    assert table.is_open(at) is is_open
    assert table.next_open(at) == min((start for start, _ in open_time if start > at), default=None)
    assert table.next_close(at) == min((end for _, end in open_time if end > at), default=None)
    assert table.next_change(at) == min((edge for run in open_time for edge in run if edge > at), default=None)
    assert table.covers(at) is (table.known_from <= at < table.known_until)
    spans = [(session[0][0], session[-1][1]) for session in sessions_of(table)]
    assert table.session_at(at) == next((i for i, (start, end) in enumerate(spans) if start <= at < end), None)
    assert table.last_session_opened(at) == sum(start <= at for start, _ in spans) - 1
    assert [(table.session_open(i), table.session_close(i)) for i in range(len(spans))] == spans


@given(st.data(), st.integers(0, 30), st.integers(0, 30))
@settings(max_examples=150, deadline=None)
def test_margins_widen_the_open_time_and_join_what_touches(data: st.DataObject, before: int, after: int) -> None:
    table = data.draw(tables())
    at = data.draw(instants_near(table))
    widened = [(start - before * HOUR_MS, end + after * HOUR_MS) for start, end in runs(table)]
    until = next((end for start, end in widened if start <= at < end), None)
    while until is not None and (further := max((e for s, e in widened if s <= until), default=until)) > until:
        until = further
    assert table.open_until(at, before_ms=before * HOUR_MS, after_ms=after * HOUR_MS) == until


def test_a_market_that_never_closes_has_one_open_time() -> None:
    assert ALWAYS.open_until(utc("2026-03-03 00:00")) == utc("2026-03-08 00:00")
    assert ALWAYS.next_close(0) == utc("2026-03-08 00:00")
    assert len(ALWAYS.labels) == 6


def test_a_session_may_last_for_months() -> None:
    long = a_table([("2026-01-31 20:31", "2026-08-01")], [("2026-08-01 12:00", "2026-12-01 12:00")])
    for hour in range(utc("2026-01-01") // HOUR_MS, utc("2027-01-01") // HOUR_MS):
        at = hour * HOUR_MS
        assert long.is_open(at) is any(session[0][0] <= at < session[0][1] for session in sessions_of(long))


def test_a_session_is_found_by_its_date() -> None:
    assert [TWO_DAYS.session_of_day(utc(f"2026-03-0{day} 00:00") // DAY_MS) for day in (1, 2, 3, 4)] == [
        None,
        0,
        1,
        None,
    ]


@pytest.mark.parametrize(("at", "days"), [("2026-02-01 02:30", 30), ("2026-03-03 02:30", 0), ("2026-04-01 00:00", 0)])
def test_the_days_left_are_whole_days_to_the_end_of_what_is_known(at: str, days: int) -> None:
    assert TWO_DAYS.days_left(utc(at)) == days


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"period_opens": array("q", [0])}, "every period has an open"),
        ({"labels": array("q", [1, 2, 3])}, "every session a first period"),
        ({"labels": array("q", [2, 2])}, "strictly increasing"),
        ({"labels": array("l", [1, 2])}, "type q"),
        ({"first_period": array("q", [1, 2])}, "first session begins"),
        ({"first_period": array("q", [0, 0])}, "in order"),
        ({"first_period": array("q", [0, 3])}, "in order"),
        ({"period_closes": TWO_DAYS.period_opens}, "open before they close"),
        ({"period_closes": array("q", [TWO_DAYS.period_opens[1] + 1, *TWO_DAYS.period_closes[1:]])}, "not overlap"),
        ({"known_from": TWO_DAYS.known_from + 1}, "what is known"),
        ({"known_until": TWO_DAYS.known_until - 1}, "what is known"),
    ],
)
def test_sessions_that_contradict_themselves_are_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(SessionError, match=f"calendar of TEST: .*{problem}"):
        replace(TWO_DAYS, **changes)  # type: ignore[arg-type]  # the wrong content is the point


def test_an_empty_calendar_is_refused() -> None:
    empty = array("q")
    with pytest.raises(SessionError, match="at least one period"):
        SessionTable("TEST", empty, empty, empty, empty, 0, 0)


def test_tables_are_equal_by_market_and_content() -> None:
    same = replace(TWO_DAYS, labels=array("q", TWO_DAYS.labels))
    assert same == TWO_DAYS
    assert hash(same) == hash(TWO_DAYS)
    assert pickle.loads(pickle.dumps(TWO_DAYS)) == TWO_DAYS  # noqa: S301  # our own bytes
    assert len({TWO_DAYS, same, replace(TWO_DAYS, market="X"), replace(TWO_DAYS, known_from=0), ALWAYS}) == 4
    assert "array" not in repr(TWO_DAYS)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_digest_is_the_same_in_any_process(seed: str) -> None:
    program = "from tests.scheduling.test_sessions import TWO_DAYS; print(TWO_DAYS.digest)"
    environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True, text=True)
    assert told.stdout.strip() == TWO_DAYS.digest


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_joint_sessions_are_open_when_all_are(data: st.DataObject) -> None:
    first, second = data.draw(tables(market="A")), data.draw(tables(market="B"))
    at = data.draw(instants_near(first) | instants_near(second))
    try:
        joint = joint_sessions((first, second))
    except SessionError:
        assert not any(first.is_open(at) and second.is_open(at) for at in [*first.period_opens, *second.period_opens])
        return
    assert joint.is_open(at) is (first.is_open(at) and second.is_open(at))
    assert joint.covers(at) is (first.covers(at) and second.covers(at))
    assert set(joint.labels) <= set(first.labels)


def test_a_joint_session_has_the_breaks_of_each_and_the_dates_of_the_first() -> None:
    other = a_table([("2026-03-02 01:30", "2026-03-02 04:00"), ("2026-03-02 05:00", "2026-03-02 08:00")], market="O")
    joint = joint_sessions((TWO_DAYS, other))
    times = [
        (utc("2026-03-02 01:30"), utc("2026-03-02 02:30")),
        (utc("2026-03-02 03:30"), utc("2026-03-02 04:00")),
        (utc("2026-03-02 05:00"), utc("2026-03-02 06:30")),
    ]
    assert sessions_of(joint) == [times]
    assert list(joint.labels) == [TWO_DAYS.labels[0]]
    assert joint.market == "TEST+O"
    assert joint_sessions((TWO_DAYS,)) is TWO_DAYS


def test_markets_that_are_never_open_together_have_no_joint_sessions() -> None:
    later = a_table([("2026-05-02 01:30", "2026-05-02 04:00")], market="LATER")
    with pytest.raises(SessionError, match=r"TEST\+LATER: there is no instant"):
        joint_sessions((TWO_DAYS, later))
    with pytest.raises(SessionError, match="at least one market"):
        joint_sessions(())
