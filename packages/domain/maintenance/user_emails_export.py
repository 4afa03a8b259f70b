"""Writes every user's address into one CSV file for people. Decides the columns; never changes a row.

The rows come through a server-side cursor in one read-only snapshot, so memory does not grow with the table. The
file is private from its first byte and replaces the former one in one step: a reader sees the old file or the new.
"""

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, select

from packages.domain.accounts.models import User
from packages.domain.maintenance.csv_text import defuse, rfc4180_writer
from packages.domain.maintenance.errors import ExportAlreadyRunningError
from packages.domain.maintenance.output_files import (
    create_partial,
    discard_partial,
    prepare_directory,
    publish_partial,
    try_lock,
)

FILE_NAME: Final = "user_emails.csv"
COLUMNS: Final = ("id", "email", "display_name", "is_active", "created_at")
_LOCK_NAME: Final = ".user_emails.lock"
_ROWS_AT_ONCE: Final = 2000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportResult:
    """`rows` counts users, without the header."""

    path: Path
    rows: int
    bytes: int
    seconds: float


def export_user_emails_csv(engine: Engine, *, directory: Path) -> ExportResult:
    """Replace `user_emails.csv` in the directory with all users, by id. UTF-8, RFC 4180, instants as RFC 3339 in UTC.

    Raises:
        OutputPathError: the directory cannot be used.
        ExportAlreadyRunningError: another export writes into it.
        OSError: the file could not be written, as on a full disk; the former file stays.
    """
    started = time.monotonic()
    prepare_directory(directory)
    path = directory / FILE_NAME
    lock_file = directory / _LOCK_NAME
    with try_lock(lock_file) as lock:
        if lock is None:
            raise ExportAlreadyRunningError(lock_file)
        # Under the lock a partial file can only be the rest of a run that was killed.
        discard_partial(path)
        try:
            rows = _write(engine, path)
            publish_partial(path)
            size = path.stat().st_size
        finally:
            discard_partial(path)
    result = ExportResult(path, rows=rows, bytes=size, seconds=time.monotonic() - started)
    log.info("user_emails_exported", extra={"path": str(path), "rows": rows, "bytes": size})
    return result


def _write(engine: Engine, path: Path) -> int:
    rows = 0
    with os.fdopen(create_partial(path), "w", encoding="utf-8", newline="") as file:
        writer = rfc4180_writer(file)
        writer.writerow(COLUMNS)
        for record in _records(engine):
            writer.writerow(record)
            rows += 1
    return rows


def _records(engine: Engine) -> Iterator[tuple[str, ...]]:
    query = select(User.id, User.email, User.display_name, User.is_active, User.created_at).order_by(User.id)
    options = {"stream_results": True, "yield_per": _ROWS_AT_ONCE, "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection:
        for row in connection.execute(query):
            yield (
                str(row.id),
                defuse(row.email),
                defuse(row.display_name),
                "true" if row.is_active else "false",
                row.created_at.astimezone(UTC).isoformat(),
            )
