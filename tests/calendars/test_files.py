import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from packages.infra.calendars.files import CalendarKey, StoredCalendar, read_calendar, write_calendar
from tests.scheduling.markets import a_table

KEY = CalendarKey("24/7", "source 1", "overrides 1")
STORED = StoredCalendar(
    a_table(
        [("2026-03-05 01:00", "2026-03-05 03:30"), ("2026-03-05 04:30", "2026-03-05 07:00")],
        [("2026-03-06 01:00", "2026-03-06 03:30")],
    ),
    date(2026, 3, 1),
)


def test_a_calendar_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = write_calendar(tmp_path / "var" / "calendars", KEY, STORED)
    assert read_calendar(path.parent, KEY) == STORED
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_second_write_replaces_the_first(tmp_path: Path) -> None:
    write_calendar(tmp_path, KEY, STORED)
    later = STORED._replace(built_on=date(2026, 3, 2))
    write_calendar(tmp_path, KEY, later)
    assert read_calendar(tmp_path, KEY) == later


@pytest.mark.parametrize("changed", [{"market": "XNYS"}, {"source": "source 2"}, {"overrides": "overrides 2"}])
def test_another_key_is_another_calendar(changed: dict[str, str], tmp_path: Path) -> None:
    path = write_calendar(tmp_path, KEY, STORED)
    other = KEY._replace(**changed)
    assert read_calendar(tmp_path, other) is None
    # Even where a name clashes, or someone renames a file.
    path.rename(other.path(tmp_path))
    assert read_calendar(tmp_path, other) is None


def flipped(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


def with_header(**changes: object) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        line, _, body = content.partition(b"\n")
        return json.dumps({**json.loads(line), **changes}).encode() + b"\n" + body

    return change


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"no calendar at all",
        lambda _: b"[1, 2]\n",
        lambda _: b'{"format": 1}\n',
        lambda content: content[:-1],
        lambda content: content[:40],
        lambda content: content + b"12345678",
        flipped,
        with_header(format=0),
        with_header(byteorder="middle"),
        with_header(lengths=[3, 3, 2]),
        with_header(lengths=[2, 2, 3, 3]),
        with_header(lengths="abcd"),
        with_header(known=[0]),
        with_header(known=[0, 0]),
        with_header(built_on="some day"),
    ],
)
def test_a_damaged_or_foreign_file_is_no_calendar(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = write_calendar(tmp_path, KEY, STORED)
    path.write_bytes(damage(path.read_bytes()))
    assert read_calendar(tmp_path, KEY) is None


def test_no_file_is_no_calendar(tmp_path: Path) -> None:
    assert read_calendar(tmp_path / "nowhere", KEY) is None
    KEY.path(tmp_path).mkdir()
    assert read_calendar(tmp_path, KEY) is None


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    # A directory in the place of the file cannot be replaced.
    (KEY.path(tmp_path) / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_calendar(tmp_path, KEY, STORED)
    assert [file.name for file in tmp_path.iterdir()] == [KEY.path(tmp_path).name]
