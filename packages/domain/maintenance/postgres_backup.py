"""Makes a backup of the whole database: a dump in pg_dump's custom format with its SHA-256 beside it.

States of a run, and what a crash in each leaves:

1. locked: the lock file of the directory, then an advisory lock of the database for runs on other machines;
2. dumping: into a hidden partial file, which the next run removes; pg_dump ends with this process;
3. digest published, dump not yet: a digest without a dump, which the next run removes;
4. dump published: both files are durable; a reader never sees a dump without its digest;
5. old backups removed, beyond the number to keep.

Never restores, and never removes a file that does not have the name of a backup of this database.
"""

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL

from packages.domain.maintenance.backup_files import BackupNames, digest_path, remove_backup
from packages.domain.maintenance.errors import BackupAlreadyRunningError, BackupFailedError
from packages.domain.maintenance.output_files import (
    create_partial,
    discard_partial,
    partial_path,
    prepare_directory,
    publish_partial,
    try_lock,
)
from packages.domain.maintenance.pg_dump import (
    ConnectionParameters,
    check_version,
    connection_files,
    connection_parameters,
    run_pg_dump,
)

ADVISORY_LOCK_KEY: Final = int.from_bytes(b"minsybkp", "big")
_LOCK_NAME: Final = ".postgres-backup.lock"
_CONNECTION_DIRECTORY_NAME: Final = ".postgres-backup.connection"
_CONNECT_TIMEOUT_S: Final = 10
_DUMP_MAGIC: Final = b"PGDMP"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BackupResult:
    """`bytes` and `sha256` are of the file at `path`; `removed` are the old dumps, oldest first."""

    path: Path
    bytes: int
    sha256: str
    seconds: float
    removed: tuple[Path, ...]


def backup_postgres_full(  # noqa: PLR0913  # each is a setting of its own
    *,
    database: URL,
    directory: Path,
    retention_count: int,
    pg_dump: Path,
    now: datetime,
    timeout: timedelta,
) -> BackupResult:
    """Dump the database into the directory and keep the newest `retention_count` of its backups there.

    `database` is a URL of SQLAlchemy's psycopg driver. Files have mode 0600. `timeout` bounds pg_dump alone.

    Raises:
        ValueError: `retention_count` is below 1, or `timeout` not positive.
        OutputPathError: the directory cannot be used.
        BackupAlreadyRunningError: another run holds the lock of the directory or of the database.
        ServerTooNewError: the server is newer than this pg_dump; nothing was started.
        BackupFailedError: anything else; no partial file is left. The text says so if a backup was made and only the
            removal of an old one failed; otherwise none was removed.
    """
    started = time.monotonic()
    if retention_count < 1:
        raise ValueError(f"retention_count is {retention_count}; it must be at least 1.")
    if timeout <= timedelta(0):
        raise ValueError(f"timeout is {timeout}; it must be positive.")
    prepare_directory(directory)
    parameters = connection_parameters(database)
    names = BackupNames(directory, parameters.database)
    dump = names.dump(now)
    with _only_run(directory, parameters) as (lock, server_version_num):
        check_version(pg_dump, server_version_num=server_version_num)
        try:
            for leftover in names.leftovers():
                leftover.unlink(missing_ok=True)
            if dump.exists():
                raise BackupFailedError(f"{dump} exists already")
            with connection_files(directory / _CONNECTION_DIRECTORY_NAME, parameters) as access:
                output = create_partial(dump)
                try:
                    run_pg_dump(pg_dump, access=access, output=output, lock=lock, timeout=timeout)
                finally:
                    os.close(output)
            size, sha256 = _publish(dump)
        except OSError as error:
            raise BackupFailedError(_in_words(error, directory)) from error
        finally:
            discard_partial(dump)
        removed = _remove_old(names, retention_count, newest=dump)
    result = BackupResult(dump, size, sha256, time.monotonic() - started, removed)
    log.info(
        "postgres_backup_made",
        extra={"path": str(dump), "bytes": size, "seconds": round(result.seconds, 3), "removed": len(removed)},
    )
    return result


@contextmanager
def _only_run(directory: Path, parameters: ConnectionParameters) -> Iterator[tuple[int, int]]:
    """Hold both locks; gives the descriptor of the lock file and the server's version number."""
    lock_file = directory / _LOCK_NAME
    with try_lock(lock_file) as lock:
        if lock is None:
            raise BackupAlreadyRunningError(str(lock_file))
        try:
            with psycopg.connect(_conninfo(parameters), autocommit=True) as connection:
                # Idle for as long as the dump takes, so no idle timeout of the server may end it.
                connection.execute("SET idle_session_timeout = 0")
                row = connection.execute("SELECT pg_try_advisory_lock(%s)", (ADVISORY_LOCK_KEY,)).fetchone()
                if row is None or not row[0]:
                    raise BackupAlreadyRunningError(
                        f"the advisory lock {ADVISORY_LOCK_KEY} of the database {parameters.database}"
                    )
                yield lock, connection.info.server_version
        except psycopg.Error as error:
            reason = parameters.without_password(str(error).strip())
            raise BackupFailedError(f"no connection to the database {parameters.database} ({reason})") from None


def _conninfo(parameters: ConnectionParameters) -> str:
    defaults = {"connect_timeout": str(_CONNECT_TIMEOUT_S), "application_name": "minsy-backup"}
    return make_conninfo(**(defaults | dict(parameters.plain)), password=parameters.password)


def _remove_old(names: BackupNames, retention_count: int, *, newest: Path) -> tuple[Path, ...]:
    old = tuple(names.beyond(retention_count, newest=newest))
    try:
        for dump in old:
            remove_backup(dump)
    except OSError as error:
        reason = _in_words(error, names.directory)
        raise BackupFailedError(f"{newest} was made, but an old one cannot be removed ({reason})") from error
    return old


def _in_words(error: OSError, place: Path) -> str:
    return f"{error.strerror or error}: {error.filename or place}"


def _publish(dump: Path) -> tuple[int, str]:
    """Give digest and dump their names, in this order; returns size in bytes and SHA-256 of the dump."""
    partial = partial_path(dump)
    with partial.open("rb") as file:
        if file.read(len(_DUMP_MAGIC)) != _DUMP_MAGIC:
            raise BackupFailedError("pg_dump succeeded, but what it wrote is no dump in the custom format")
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    digest = digest_path(dump)
    try:
        with os.fdopen(create_partial(digest), "w", encoding="utf-8") as file:
            file.write(f"{sha256}  {dump.name}\n")
        size = partial.stat().st_size
        publish_partial(digest)
        publish_partial(dump)
    except OSError:
        discard_partial(digest)
        if not dump.exists():
            digest.unlink(missing_ok=True)
        raise
    return size, sha256
