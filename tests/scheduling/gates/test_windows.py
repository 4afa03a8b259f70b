import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import SCHEDULE, Opinion, Reason, Verdict
from packages.scheduling.gates.windows import NAME, opinion
from packages.scheduling.instants import DAY_MS, NEVER_ENDS
from packages.scheduling.policies import GateMode, Policies, Windows
from packages.scheduling.sessions import SessionTable
from packages.scheduling.snapshot import Snapshot
from packages.scheduling.windows import parse_windows
from tests.scheduling.jobs import a_job
from tests.scheduling.markets import a_table, instants_near, tables, utc
from tests.scheduling.test_windows import WINDOWS

ASIA = a_table(
    [("2026-03-05 01:00", "2026-03-05 03:30"), ("2026-03-05 04:30", "2026-03-05 07:00")],
    [("2026-03-06 01:00", "2026-03-06 03:30")],
    market="ASIA",
    known=("2026-03-04 00:00", "2026-03-08 00:00"),
)
SNAPSHOT = Snapshot(taken_at=0, markets={"ASIA": ASIA})


def asked(at: int, windows: Windows | None, snapshot: Snapshot = SNAPSHOT) -> Opinion | None:
    job = a_job(policies=Policies(windows=windows))
    return opinion(Candidate(job=job, nominal=at, planned=at, origin=SCHEDULE, at=at), snapshot)


def told(at: str, text: str) -> Opinion:
    given = asked(utc(at), parse_windows(text))
    assert given is not None
    return given


@pytest.mark.parametrize(
    ("text", "at", "verdict", "reason", "holds_until"),
    [
        ("22:00-06:00", "05 23:00", Verdict.FIRE, Reason.IN_WINDOW, "06 06:00"),
        ("22:00-06:00", "05 12:00", Verdict.DEFER, Reason.OUTSIDE_WINDOW, "05 22:00"),
        ("22:00-06:00; skip", "05 12:00", Verdict.SKIP, Reason.OUTSIDE_WINDOW, "05 22:00"),
        ("outside ASIA", "05 02:00", Verdict.DEFER, Reason.OUTSIDE_WINDOW, "05 07:00"),
        ("outside ASIA", "05 12:00", Verdict.FIRE, Reason.IN_WINDOW, "06 01:00"),
        ("outside ASIA", "07 12:00", Verdict.FIRE, Reason.IN_WINDOW, "08 00:00"),
        ("outside ASIA", "08 12:00", Verdict.FIRE, Reason.MARKET_UNKNOWN, None),
        ("outside ASIA; fail_closed", "08 12:00", Verdict.SKIP, Reason.MARKET_UNKNOWN, "09 00:00"),
        ("outside ASIA; fail_closed", "03 12:00", Verdict.DEFER, Reason.MARKET_UNKNOWN, "04 00:00"),
        # It is the span that is shut; the calendar comes to bear only when it opens.
        ("outside ASIA; 20:00-21:00; fail_closed", "08 12:00", Verdict.SKIP, Reason.OUTSIDE_WINDOW, "08 20:00"),
    ],
)
def test_a_fire_waits_for_its_window_or_is_skipped(
    text: str, at: str, verdict: Verdict, reason: Reason, holds_until: str | None
) -> None:
    given = told(f"2026-03-{at}", text)
    assert (given.gate, given.verdict, given.reason) == (NAME, verdict, reason)
    assert given.holds_until == (NEVER_ENDS if holds_until is None else utc(f"2026-03-{holds_until}"))
    assert given.until == (given.holds_until if verdict is Verdict.DEFER else None)


@pytest.mark.parametrize(
    ("text", "at", "facts"),
    [
        ("22:00-06:00", "2026-03-05 23:00", {"window": "22:00-06:00", "until": "2026-03-06T06:00:00Z"}),
        ("22:00-06:00", "2026-03-05 12:00", {"window": "22:00-06:00", "next": "2026-03-05T22:00:00Z"}),
        ("outside ASIA", "2026-04-05 12:00", {"window": "outside ASIA", "ASIA": "unknown"}),
        (
            "outside NONE; fail_closed",
            "2026-04-05 12:00",
            {"window": "outside NONE; fail_closed", "NONE": "unknown", "next": "none within 15 days"},
        ),
    ],
)
def test_the_facts_say_which_window_and_when(text: str, at: str, facts: dict[str, str]) -> None:
    assert dict(told(at, text).facts) == facts


def test_a_job_without_windows_or_with_the_gate_off_hears_nothing() -> None:
    off = parse_windows("22:00-06:00; off")
    assert asked(0, None) is None
    assert asked(0, off) is None
    assert asked(0, off, SNAPSHOT._replace(gate_modes={NAME: GateMode.OBSERVE})) is not None
    assert told("2026-03-05 12:00", "22:00-06:00; observe").mode is GateMode.OBSERVE


@given(st.data(), WINDOWS, tables(market="A"))
@settings(max_examples=200, deadline=None)
def test_an_opinion_holds_as_long_as_it_says(data: st.DataObject, windows: Windows, table: SessionTable) -> None:
    snapshot = Snapshot(taken_at=0, markets={"A": table}, gate_modes={NAME: GateMode.ENFORCE})
    at = data.draw(instants_near(table))
    given = asked(at, windows, snapshot)
    assert given is not None
    assert given.holds_until > at
    for _ in range(5):
        later = data.draw(st.integers(at, min(given.holds_until - 1, at + 30 * DAY_MS)))
        assert asked(later, windows, snapshot) == given
    assert asked(given.holds_until - 1, windows, snapshot) == given or given.holds_until == NEVER_ENDS
    if given.until is not None:
        then = asked(given.until, windows, snapshot)
        assert then is not None
        assert then.verdict is Verdict.FIRE
