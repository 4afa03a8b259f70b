import json
import logging
import shutil
import subprocess
import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from packages.infra.calendars.compiling import CompileProcess
from packages.infra.calendars.errors import RefusedError
from packages.infra.calendars.files import CalendarKey, StoredCalendar, read_calendar, write_calendar
from packages.infra.calendars.load import MarketCalendars, load_calendars
from packages.infra.calendars.overrides import read_overrides
from packages.infra.calendars.source import source_version
from packages.scheduling.instants import EPOCH, HOUR_MS, to_datetime, to_instant
from packages.scheduling.sessions import SessionTable
from packages.shared_settings.layers import ROOT
from tests.calendars.conftest import MARKETS, NOW


def key(market: str, overrides: tuple[Path, ...] = ()) -> CalendarKey:
    return CalendarKey(market, source_version(), read_overrides(overrides).digest)


@pytest.fixture
def directory(warm: Path, tmp_path: Path) -> Path:
    """A copy of the compiled calendars that may be changed."""
    return Path(shutil.copytree(warm, tmp_path / "calendars"))


@pytest.fixture
def close() -> Iterator[list[MarketCalendars]]:
    """Calendars to close in the end."""
    opened: list[MarketCalendars] = []
    yield opened
    for calendars in opened:
        calendars.close()


def age(directory: Path, market: str, days: int, *, sessions: int | None = None) -> None:
    """Make a calendar look compiled so many days before `NOW`, and perhaps cut short to its first sessions."""
    stored = read_calendar(directory, key(market))
    assert stored is not None
    table = stored.table
    if sessions is not None:
        table = replace(
            table,
            period_opens=table.period_opens[:sessions],
            period_closes=table.period_closes[:sessions],
            first_period=array("q", range(sessions)),
            labels=table.labels[:sessions],
            known_until=table.period_closes[sessions - 1],
        )
    write_calendar(directory, key(market), StoredCalendar(table, NOW.date() - timedelta(days=days)))


def settled(calendars: MarketCalendars, now: datetime) -> bool:
    """Wait for what is being compiled, and take it in."""
    assert calendars._process is not None
    calendars._process.wait(60)
    return calendars.poll(now)


def test_every_market_asked_for_is_there_by_the_name_asked_for(calendars: Mapping[str, SessionTable]) -> None:
    assert set(calendars) == set(MARKETS)
    assert calendars["NASDAQ"] == calendars["XNYS"]
    assert calendars["NASDAQ"].market == "XNYS"


def test_in_steady_state_nothing_heavy_is_imported_and_no_process_started(warm: Path) -> None:
    program = f"""
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from packages.infra.calendars.load import MarketCalendars
from packages.scheduling.gates import trading_hours, windows
from packages.scheduling.session_instants import SessionEvent
from packages.scheduling.triggers.market import MarketEvent, WithinSession
sys.executable = "/nonexistent/python"  # starting a process would fail
now = datetime.fromisoformat({NOW.isoformat()!r})
calendars = MarketCalendars({list(MARKETS)!r}, Path({str(warm)!r}), now=now)
table = calendars.tables["XNYS"]
nominals = [MarketEvent((table,), SessionEvent.OPEN).next_after(0), WithinSession((table,), 60_000).next_after(0)]
heavy = {{"pandas", "numpy", "exchange_calendars", "toolz"}}
print(json.dumps([len(calendars.tables), nominals, calendars.poll(now), sorted(heavy & set(sys.modules))]))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, cwd=ROOT)
    # The first open of 2000 is that of the third of January.
    first_open = to_instant(datetime(2000, 1, 3, 14, 30, tzinfo=UTC))
    assert json.loads(told.stdout) == [len(MARKETS), [first_open, first_open + 60_000], False, []]


def test_a_damaged_file_is_made_anew(directory: Path, calendars: Mapping[str, SessionTable]) -> None:
    path = key("XNYS").path(directory)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    assert load_calendars(["XNYS"], directory, now=NOW) == {"XNYS": calendars["XNYS"]}
    assert read_calendar(directory, key("XNYS")) is not None


def test_two_processes_at_once_leave_one_whole_file(tmp_path: Path, calendars: Mapping[str, SessionTable]) -> None:
    both = [CompileProcess(["XNYS", "24/7"], tmp_path, ()) for _ in range(2)]
    for process in both:
        process.wait(60)
    assert [process.failures() for process in both] == [{}, {}]
    assert {file.name for file in tmp_path.iterdir()} == {key(m).path(tmp_path).name for m in ("XNYS", "24/7")}
    for market in ("XNYS", "24/7"):
        stored = read_calendar(tmp_path, key(market))
        assert stored is not None
        assert stored.table == calendars[market]


def test_a_name_that_no_calendar_has_is_refused_with_those_most_like_it(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"no calendar for the market 'XNYZ'; did you mean .*XNYS"):
        load_calendars(["XNYS", "XNYZ"], tmp_path, now=NOW)


def test_a_calendar_that_cannot_be_made_is_absent_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "in the way"
    file.touch()
    assert load_calendars(["XNYS"], file, now=NOW) == {}
    assert [(record.message, record.__dict__["market"]) for record in caplog.records] == [
        ("calendar_unavailable", "XNYS")
    ]


def test_overrides_change_sessions_and_the_key(tmp_path: Path, calendars: Mapping[str, SessionTable]) -> None:
    file = tmp_path / "ours.toml"
    file.write_text(
        """
        [XNYS]
        closed = [2026-03-02]
        known_until = 2026-12-24
        [[XNYS.open]]
        dates = [2026-03-03]
        at = "13:00"
        [[XNYS.close]]
        dates = [2026-03-03, 2026-03-04]
        at = "15:00"
        [[XNYS.break]]
        start = "12:00"
        end = "12:30"
        weekdays = ["Wed"]
        from = 2026-03-01
        until = 2026-03-08
        """,
        encoding="utf-8",
    )
    table = load_calendars(["XNYS"], tmp_path, now=NOW, overrides=[file])["XNYS"]
    day = datetime(2026, 3, 2, tzinfo=UTC)
    hours = []
    for at in (day + timedelta(days=number) for number in range(4)):
        session, midnight = table.session_of_day((at - EPOCH).days), to_instant(at)
        periods = range(0) if session is None else range(table.first_period[session], table.end_period(session))
        edges = [(table.period_opens[period] - midnight, table.period_closes[period] - midnight) for period in periods]
        hours.append([(start / HOUR_MS, end / HOUR_MS) for start, end in edges])
    assert hours == [[], [(18, 20)], [(14.5, 17), (17.5, 20)], [(14.5, 21)]]
    assert table.known_until == to_instant(datetime(2026, 12, 24, 18, tzinfo=UTC))
    assert table != calendars["XNYS"]
    # The same directory now has a calendar for each set of overrides.
    assert read_calendar(tmp_path, key("XNYS")) is None
    assert read_calendar(tmp_path, key("XNYS", (file,))) is not None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[XNYS.open]]\ndates = [2026-03-01]\nat = "10:00"', r"the overrides: \[XNYS\] open: there is no session on"),
        ('[[XNYS.close]]\ndates = [2026-03-02]\nat = "09:00"', "nothing is left of the session of 2026-03-02"),
        ("[XNYZ]\nclosed = [2026-03-02]", "no calendar for the market 'XNYZ'"),
    ],
)
def test_overrides_that_do_not_fit_are_refused(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "ours.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RefusedError, match=problem):
        load_calendars(["XNYS"], tmp_path, now=NOW, overrides=[file])


def test_a_calendar_near_its_end_warns_and_counts_its_days(
    directory: Path, close: list[MarketCalendars], caplog: pytest.LogCaptureFixture
) -> None:
    age(directory, "XNYS", 0, sessions=5_000)
    table = load_calendars(["XNYS"], directory, now=NOW)["XNYS"]
    caplog.clear()
    now = to_datetime(table.known_until) - timedelta(days=59, hours=1)
    calendars = MarketCalendars(["XLON", "XNYS"], directory, now=now)
    close.append(calendars)
    assert calendars.days_left(now)["XNYS"] == 59
    assert calendars.days_left(now)["XLON"] > 25_000
    warnings = [(r.message, r.__dict__["market"], r.__dict__["days_left"]) for r in caplog.records]
    assert warnings == [("calendar_runs_short", "XNYS", 59)]


def test_an_old_calendar_is_compiled_anew_in_the_background(directory: Path, close: list[MarketCalendars]) -> None:
    age(directory, "XNYS", 31, sessions=5_000)
    calendars = MarketCalendars(["XNYS"], directory, now=NOW)
    close.append(calendars)
    before = calendars.tables
    assert len(before["XNYS"].labels) == 5_000
    assert not calendars.poll(NOW)
    assert settled(calendars, NOW)
    assert len(calendars.tables["XNYS"].labels) > 25_000
    # Who holds the mapping of before is not disturbed.
    assert len(before["XNYS"].labels) == 5_000


@pytest.mark.parametrize(
    ("days", "sessions", "is_due"),
    # Five thousand sessions end long before now, so that calendar is short.
    [(0, 5_000, False), (1, 5_000, True), (1, None, False), (30, None, False), (31, None, True)],
)
def test_when_a_calendar_is_compiled_anew(
    days: int,
    sessions: int | None,
    is_due: bool,  # noqa: FBT001  # a column of the table
    directory: Path,
    close: list[MarketCalendars],
) -> None:
    age(directory, "XNYS", days, sessions=sessions)
    calendars = MarketCalendars(["XNYS"], directory, now=NOW)
    close.append(calendars)
    calendars.poll(NOW)
    assert (calendars._process is not None) is is_due


def test_a_calendar_that_looks_old_as_soon_as_it_is_made_is_not_made_again_at_once(
    directory: Path, close: list[MarketCalendars]
) -> None:
    years_ahead = datetime.now(UTC) + timedelta(days=1_000)
    calendars = MarketCalendars(["24/7"], directory, now=years_ahead)
    close.append(calendars)
    calendars.poll(years_ahead)
    settled(calendars, years_ahead)
    calendars.poll(years_ahead + timedelta(minutes=59))
    assert calendars._process is None
    calendars.poll(years_ahead + timedelta(minutes=60))
    assert calendars._process is not None


def test_what_another_process_compiled_is_taken_over(directory: Path, close: list[MarketCalendars]) -> None:
    age(directory, "XNYS", 31, sessions=5_000)
    calendars = MarketCalendars(["XNYS"], directory, now=NOW)
    close.append(calendars)
    age(directory, "XNYS", 0, sessions=4_000)
    assert calendars.poll(NOW)
    assert calendars._process is None
    assert len(calendars.tables["XNYS"].labels) == 4_000


def test_a_market_that_turns_out_to_be_in_use_is_added(
    directory: Path, close: list[MarketCalendars], caplog: pytest.LogCaptureFixture
) -> None:
    calendars = MarketCalendars(["XNYS"], directory, now=NOW)
    close.append(calendars)
    calendars.want(["XNYS", "XPAR", "NONSENSE"])
    assert not calendars.poll(NOW)
    assert settled(calendars, NOW)
    assert set(calendars.tables) == {"XNYS", "XPAR"}
    # What is no market is said once and not tried again.
    calendars.want(["NONSENSE"])
    assert not calendars.poll(NOW + timedelta(hours=2))
    assert calendars._process is None
    assert [r.message for r in caplog.records if r.levelno >= logging.ERROR] == ["calendar_unavailable"]


def test_a_failure_is_tried_again_an_hour_later(tmp_path: Path, close: list[MarketCalendars]) -> None:
    place = tmp_path / "calendars"
    place.touch()
    calendars = MarketCalendars(["24/7"], place, now=NOW)
    close.append(calendars)
    calendars.poll(NOW)
    assert not settled(calendars, NOW)
    assert not calendars.poll(NOW + timedelta(minutes=59))
    assert calendars._process is None
    place.unlink()
    assert not calendars.poll(NOW + timedelta(minutes=60))
    assert settled(calendars, NOW + timedelta(minutes=61))
    assert set(calendars.tables) == {"24/7"}


def test_a_process_that_hangs_is_given_up(directory: Path, close: list[MarketCalendars]) -> None:
    age(directory, "XNYS", 31, sessions=5_000)
    calendars = MarketCalendars(["XNYS"], directory, now=NOW)
    close.append(calendars)
    calendars.poll(NOW)
    process = calendars._process
    assert process is not None
    assert not calendars.poll(NOW + timedelta(minutes=3))
    assert process.has_ended
    assert set(calendars.tables) == {"XNYS"}
