from datetime import date
from pathlib import Path

import pytest

from packages.infra.calendars.errors import OverrideError
from packages.infra.calendars.override_files import overrides_digest
from packages.infra.calendars.overrides import ExtraBreak, MarketOverrides, read_overrides


def written(tmp_path: Path, text: str, name: str = "ours.toml") -> Path:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return file


def test_the_shipped_overrides_close_what_the_package_has_open() -> None:
    shipped = read_overrides().by_market
    assert shipped["XHKG"].closed == (date(2023, 9, 1), date(2023, 9, 8))
    assert shipped["CMES"].breaks == (ExtraBreak(16 * 60, 17 * 60),)


def test_every_key_is_read(tmp_path: Path) -> None:
    text = """
    [XNYS]
    closed = [2026-01-02]
    known_until = 2030-12-31
    [[XNYS.open]]
    dates = [2026-01-05, 2026-01-06]
    at = "10:00"
    [[XNYS.close]]
    dates = [2026-01-05]
    at = "12:30"
    [[XNYS.break]]
    start = "12:00"
    end = "24:00"
    weekdays = ["Mon", "Fri"]
    from = 2026-01-01
    until = 2026-06-30
    """
    assert read_overrides([written(tmp_path, text)]).by_market["XNYS"] == MarketOverrides(
        closed=(date(2026, 1, 2),),
        opens=((date(2026, 1, 5), 600), (date(2026, 1, 6), 600)),
        closes=((date(2026, 1, 5), 750),),
        breaks=(ExtraBreak(720, 1440, frozenset({0, 4}), date(2026, 1, 1), date(2026, 6, 30)),),
        known_until=date(2030, 12, 31),
    )


def test_a_later_file_wins_and_adds(tmp_path: Path) -> None:
    first = written(tmp_path, '[XHKG]\n[[XHKG.open]]\ndates = [2023-10-09, 2024-01-02]\nat = "11:00"\n', "first.toml")
    second = written(tmp_path, '[XHKG]\nclosed = [2024-01-03]\n[[XHKG.open]]\ndates = [2024-01-02]\nat = "12:00"\n')
    both = read_overrides([first, second]).by_market["XHKG"]
    assert {date(2023, 9, 1), date(2024, 1, 3)} <= set(both.closed)
    assert dict(both.opens) == {
        date(2020, 8, 19): 810,
        date(2021, 6, 28): 810,
        date(2023, 10, 9): 660,
        date(2024, 1, 2): 720,
    }


def test_the_digest_follows_the_content(tmp_path: Path) -> None:
    file = written(tmp_path, "[XNYS]\nclosed = [2026-01-02]\n")
    shipped, ours = read_overrides().digest, read_overrides([file]).digest
    written(tmp_path, "[XNYS]\nclosed = [2026-01-02]\n")
    assert read_overrides([file]).digest == overrides_digest([file]) == ours != shipped
    written(tmp_path, "[XNYS]\nclosed = [2026-01-05]\n")
    assert read_overrides([file]).digest not in {ours, shipped}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[XNYS", "the file: is no TOML"),
        ("XNYS = 1", r"\[XNYS\]: must be a table with break, close, closed, known_until, open"),
        ("[XNYS]\nclose = 5", r"\[XNYS\] close: must be an array of tables, \[\[XNYS.close\]\]"),
        ("[XNYS]\nholidays = []", r"\[XNYS\] holidays: is not known here; allowed: break, close, closed"),
        ("[XNYS]\nclosed = 2026-01-02", r"\[XNYS\] closed: must be a list of dates"),
        ('[XNYS]\nclosed = ["2026-01-02"]', "closed: must be a date such as 2023-09-01, without quotes"),
        ("[XNYS]\nclosed = [2026-01-02T10:00:00]", "without quotes or time"),
        ("[XNYS]\nknown_until = 2026", "known_until: must be a date"),
        ("[[XNYS.open]]\ndates = [2026-01-05]", r'open\[0\].at: must be a local time such as "13:30".*not None'),
        ('[[XNYS.open]]\nat = "10:00"', r"open\[0\].dates: must be a list of dates"),
        ('[[XNYS.open]]\nat = "10:00:30"\ndates = []', r"open\[0\].at: must be a local time"),
        ('[[XNYS.open]]\nat = "25:00"\ndates = []', "not '25:00'"),
        ('[[XNYS.open]]\nat = "10:00"\ndate = 2026-01-05', r"open\[0\].date: is not known here; allowed: at, dates"),
        (
            '[[XNYS.open]]\nat = "10:00"\ndates = [2026-01-05]\n[[XNYS.open]]\nat = "11:00"\ndates = [2026-01-05]',
            r"open\[1\].dates: 2026-01-05 has another time already",
        ),
        ('[[XNYS.break]]\nstart = "12:00"\nend = "12:00"', r"break\[0\]: must start before it ends"),
        ('[[XNYS.break]]\nstart = "12:00"', r"break\[0\].end: must be a local time"),
        (
            '[[XNYS.break]]\nstart = "12:00"\nend = "13:00"\nweekdays = ["Monday"]',
            r"break\[0\].weekdays: must be a list of Mon, Tue, Wed, Thu, Fri, Sat, Sun",
        ),
        ('[[XNYS.break]]\nstart = "12:00"\nend = "13:00"\nweekdays = []', "weekdays: must be a list"),
        (
            '[[XNYS.break]]\nstart = "12:00"\nend = "13:00"\nfrom = 2026-01-02\nuntil = 2026-01-01',
            r"break\[0\].until: must not be before from, 2026-01-02",
        ),
    ],
)
def test_what_is_not_allowed_is_refused_by_file_table_and_key(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(OverrideError, match=f"ours.toml: .*{problem}"):
        read_overrides([written(tmp_path, text)])


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OverrideError, match=r"ours.toml: the file: cannot be read: No such file"):
        read_overrides([tmp_path / "ours.toml"])
