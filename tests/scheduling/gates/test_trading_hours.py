import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.candidate import Candidate
from packages.scheduling.decision import SCHEDULE, Opinion, Reason, Verdict
from packages.scheduling.gates.trading_hours import NAME, opinion
from packages.scheduling.instants import HOUR_MS, MINUTE_MS, NEVER_ENDS
from packages.scheduling.policies import GateMode, Policies, TradingHours, UnknownDates
from packages.scheduling.sessions import SessionTable
from packages.scheduling.snapshot import Reading, Snapshot
from tests.scheduling.jobs import a_job
from tests.scheduling.markets import a_table, instants_near, tables, utc

ASIA = a_table(
    [("2026-03-05 01:00", "2026-03-05 03:30"), ("2026-03-05 04:30", "2026-03-05 07:00")],
    [("2026-03-06 01:00", "2026-03-06 03:30")],
    market="ASIA",
    known=("2026-03-04 00:00", "2026-03-08 00:00"),
)
ALWAYS = a_table([("2026-03-01 00:00", "2026-03-31 00:00")], market="24/7")
MARKETS = {"ASIA": ASIA, "24/7": ALWAYS}


def asked(
    at: int,
    policy: TradingHours | None,
    snapshot: Snapshot,
    *,
    nominal: int | None = None,
    origin: str = SCHEDULE,
) -> Opinion | None:
    job = a_job(policies=Policies(trading_hours=policy))
    nominal = at if nominal is None else nominal
    return opinion(Candidate(job=job, nominal=nominal, planned=nominal, origin=origin, at=at), snapshot)


def told(at: str, policy: TradingHours, *, active: frozenset[str] | None = None) -> Opinion:
    reading = None if active is None else Reading(active, 0)
    given = asked(utc(at), policy, Snapshot(taken_at=0, markets=MARKETS, active_markets=reading))
    assert given is not None
    return given


@pytest.mark.parametrize(
    ("at", "verdict", "reason", "fact"),
    [
        ("2026-03-05 00:59:59", Verdict.SKIP, Reason.MARKET_CLOSED, "closed until 2026-03-05T01:00:00Z"),
        ("2026-03-05 01:00", Verdict.FIRE, Reason.MARKET_OPEN, "open until 2026-03-05T03:30:00Z"),
        ("2026-03-05 03:30", Verdict.SKIP, Reason.MARKET_CLOSED, "closed until 2026-03-05T04:30:00Z"),
        ("2026-03-05 07:00", Verdict.SKIP, Reason.MARKET_CLOSED, "closed until 2026-03-06T01:00:00Z"),
        ("2026-03-07 07:00", Verdict.SKIP, Reason.MARKET_CLOSED, "closed until 2026-03-08T00:00:00Z"),
        ("2026-03-08 00:00", Verdict.FIRE, Reason.MARKET_UNKNOWN, "unknown date"),
        ("2026-03-03 23:59", Verdict.FIRE, Reason.MARKET_UNKNOWN, "unknown date"),
    ],
)
def test_a_fire_goes_out_while_the_market_is_open(at: str, verdict: Verdict, reason: Reason, fact: str) -> None:
    given = told(at, TradingHours(("ASIA",)))
    assert (given.gate, given.verdict, given.reason, given.facts) == (NAME, verdict, reason, (("ASIA", fact),))


def test_margins_widen_the_hours_and_may_bridge_a_break() -> None:
    policy = TradingHours(("ASIA",), before_ms=30 * MINUTE_MS, after_ms=30 * MINUTE_MS)
    assert told("2026-03-05 00:30", policy).facts == (("ASIA", "open until 2026-03-05T07:30:00Z"),)
    assert told("2026-03-05 00:29", policy).verdict is Verdict.SKIP
    assert told("2026-03-05 07:30", policy).facts == (("ASIA", "closed until 2026-03-06T00:30:00Z"),)


def test_one_open_market_is_enough() -> None:
    given = told("2026-03-05 10:00", TradingHours(("ASIA", "24/7")))
    assert (given.verdict, given.reason) == (Verdict.FIRE, Reason.MARKET_OPEN)
    assert given.facts == (("ASIA", "closed until 2026-03-06T01:00:00Z"), ("24/7", "open until 2026-03-31T00:00:00Z"))


def test_markets_that_workers_report_are_added() -> None:
    assert told("2026-03-05 10:00", TradingHours(("ASIA",)), active=frozenset({"24/7"})).verdict is Verdict.FIRE
    assert told("2026-03-05 10:00", TradingHours(("ASIA",)), active=frozenset({"ASIA"})).verdict is Verdict.SKIP


@pytest.mark.parametrize(
    ("markets", "unknown", "at", "verdict", "reason"),
    [
        (("NONE",), UnknownDates.FAIL_OPEN, "2026-03-05 02:00", Verdict.FIRE, Reason.MARKET_UNKNOWN),
        (("NONE",), UnknownDates.FAIL_CLOSED, "2026-03-05 02:00", Verdict.SKIP, Reason.MARKET_UNKNOWN),
        (("ASIA", "NONE"), UnknownDates.FAIL_CLOSED, "2026-03-05 02:00", Verdict.FIRE, Reason.MARKET_OPEN),
        (("ASIA", "NONE"), UnknownDates.FAIL_OPEN, "2026-03-05 09:00", Verdict.FIRE, Reason.MARKET_UNKNOWN),
        (("ASIA", "NONE"), UnknownDates.FAIL_CLOSED, "2026-03-05 09:00", Verdict.SKIP, Reason.MARKET_UNKNOWN),
        (("ASIA",), UnknownDates.FAIL_CLOSED, "2027-03-05 09:00", Verdict.SKIP, Reason.MARKET_UNKNOWN),
    ],
)
def test_what_is_not_known_counts_as_the_job_says(
    markets: tuple[str, ...], unknown: UnknownDates, at: str, verdict: Verdict, reason: Reason
) -> None:
    given = told(at, TradingHours(markets, unknown=unknown))
    assert (given.verdict, given.reason) == (verdict, reason)
    assert ("NONE", "no calendar") in given.facts or "NONE" not in markets


def test_a_backfilled_fire_is_judged_by_the_moment_it_stands_for() -> None:
    at, snapshot = utc("2026-03-07 12:00"), Snapshot(taken_at=0, markets=MARKETS)
    given = asked(at, TradingHours(("ASIA",)), snapshot, nominal=utc("2026-03-05 02:00"), origin="backfill:1")
    assert given is not None
    assert (given.verdict, given.holds_until) == (Verdict.FIRE, at + 1)
    late = asked(at, TradingHours(("ASIA",)), snapshot, nominal=utc("2026-03-05 02:00"))
    assert late is not None
    assert late.verdict is Verdict.SKIP


def test_a_job_without_trading_hours_or_with_the_gate_off_hears_nothing() -> None:
    snapshot = Snapshot(taken_at=0, markets=MARKETS)
    off = TradingHours(("ASIA",), mode=GateMode.OFF)
    assert asked(0, None, snapshot) is None
    assert asked(0, off, snapshot) is None
    # An operator may turn on what the job has off.
    assert asked(0, off, snapshot._replace(gate_modes={NAME: GateMode.ENFORCE})) is not None


def test_the_mode_is_the_jobs_own() -> None:
    assert told("2026-03-05 10:00", TradingHours(("ASIA",), mode=GateMode.OBSERVE)).mode is GateMode.OBSERVE


def test_without_any_calendar_the_opinion_holds_as_long_as_the_snapshot() -> None:
    assert told("2026-03-05 10:00", TradingHours(("NONE",))).holds_until == NEVER_ENDS


HOURS = st.integers(0, 20).map(lambda hours: hours * HOUR_MS)


@given(st.data(), tables(market="A"), tables(market="B"), HOURS, HOURS, st.sampled_from(UnknownDates))
@settings(max_examples=200, deadline=None)
def test_an_opinion_holds_as_long_as_it_says(  # each is one choice
    data: st.DataObject, first: SessionTable, second: SessionTable, before: int, after: int, unknown: UnknownDates
) -> None:
    names = data.draw(st.sampled_from([("A",), ("A", "B"), ("A", "NONE"), ("A", "B", "NONE")]))
    policy = TradingHours(names, before_ms=before, after_ms=after, unknown=unknown)
    snapshot = Snapshot(taken_at=0, markets={"A": first, "B": second})
    at = data.draw(instants_near(first))
    given = asked(at, policy, snapshot)
    assert given is not None
    assert given.holds_until > at
    later = data.draw(st.integers(at, min(given.holds_until - 1, at + 30 * 24 * HOUR_MS)) | instants_near(second))
    again = asked(later, policy, snapshot)
    if at <= later < given.holds_until:
        assert again == given
    known = [t for t in (first, second) if t.market in names]
    is_open = any(t.open_until(at, before_ms=before, after_ms=after) is not None for t in known)
    all_known = "NONE" not in names and all(t.covers(at) for t in known)
    expected = is_open or (not all_known and unknown is UnknownDates.FAIL_OPEN)
    assert given.verdict is (Verdict.FIRE if expected else Verdict.SKIP)
