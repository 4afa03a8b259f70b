"""A compiled calendar as a file: one line of JSON, then the four arrays as they lie in memory.

A file that is not exactly what was asked for (another version, another set of overrides, cut short, a bit turned) is
no calendar: it reads as None, and is made anew. A file appears whole or not at all, whoever writes it at the same time.
"""

import json
import os
import sys
import tempfile
from array import array
from binascii import crc32
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

from packages.scheduling.sessions import SessionError, SessionTable

FORMAT: Final = 2
_ARRAYS: Final = ("period_opens", "period_closes", "first_period", "labels")


class CalendarKey(NamedTuple):
    """What a file stands for: a market by the name asked for, the versions of what it is made from, the overrides."""

    market: str
    source: str
    overrides: str

    def path(self, directory: Path) -> Path:
        """Where the file is. The name is safe for any file system."""
        digest = crc32(f"{FORMAT} {self.source} {self.overrides}".encode())
        market = "".join(c if c.isalnum() else f"%{ord(c):02x}" for c in self.market)
        return directory / f"{market}-{digest:08x}.sessions"


class StoredCalendar(NamedTuple):
    """The sessions, and the date on which they were compiled."""

    table: SessionTable
    built_on: date


def write_calendar(directory: Path, key: CalendarKey, stored: StoredCalendar) -> Path:
    """Write the file, whole or not at all; the directory is made if need be.

    Raises:
        OSError: it cannot be written.
    """
    table = stored.table
    body = b"".join(getattr(table, name).tobytes() for name in _ARRAYS)
    header: dict[str, Any] = {
        **_identity(key),
        "name": table.market,
        "built_on": stored.built_on.isoformat(),
        "known": [table.known_from, table.known_until],
        "lengths": [len(getattr(table, name)) for name in _ARRAYS],
    }
    header["crc32"] = _sum(header, body)
    directory.mkdir(parents=True, exist_ok=True)
    path = key.path(directory)
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=f"{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(header).encode() + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def read_calendar(directory: Path, key: CalendarKey) -> StoredCalendar | None:
    """The calendar of `key`; None when there is no file, or it is not whole or not of this key."""
    try:
        line, _, body = key.path(directory).read_bytes().partition(b"\n")
        header: dict[str, Any] = json.loads(line)
        if {name: header[name] for name in _identity(key)} != _identity(key) or header["crc32"] != _sum(header, body):
            return None
        arrays: dict[str, array[int]] = {}
        for name, length in zip(_ARRAYS, header["lengths"], strict=True):
            values = arrays[name] = array("q")
            values.frombytes(body[: length * values.itemsize])
            body = body[length * values.itemsize :]
        known_from, known_until = header["known"]
        # The sum says that it is what was written, and that was checked.
        table = SessionTable(
            market=header["name"], known_from=known_from, known_until=known_until, is_checked=True, **arrays
        )
        return StoredCalendar(table, date.fromisoformat(header["built_on"]))
    except (OSError, ValueError, KeyError, TypeError, SessionError):
        return None


def _sum(header: dict[str, Any], body: bytes) -> int:
    described = [header[name] for name in ("name", "built_on", "known", "lengths")]
    return crc32(body, crc32(json.dumps(described).encode()))


def _identity(key: CalendarKey) -> dict[str, str | int]:
    return {
        "format": FORMAT,
        "byteorder": sys.byteorder,
        "market": key.market,
        "source": key.source,
        "overrides": key.overrides,
    }
