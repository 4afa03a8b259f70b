"""Brings the tables of a database to a revision, up or down. Never touches rows, and leaves logging as it is.

Two programs that start at once are harmless: each takes an advisory lock first, so the second waits and then
finds nothing to do. The lock belongs to the session, not to a transaction, because each revision commits on its
own. A failed revision is rolled back whole, since PostgreSQL's DDL is transactional; those before it stay.
A killed program's lock goes with its connection. The lock needs a direct connection or a pooler in session mode.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, NullPool, create_engine, func, select
from sqlalchemy.exc import DBAPIError, OperationalError

from packages.infra.db.engine import connect_arguments, place_of, psycopg_url
from packages.infra.db.errors import (
    DatabaseUnreachableError,
    MigrationBusyError,
    MigrationFailedError,
    UnknownRevisionError,
)

HEAD: Final = "head"
BASE: Final = "base"
LOCK_WAIT: Final = timedelta(minutes=2)
# The same number in every program that migrates; its bytes spell the purpose.
_ADVISORY_LOCK_KEY: Final = int.from_bytes(b"minsymig", "big")


def upgrade(database_url: str, revision: str = HEAD, *, lock_wait: timedelta = LOCK_WAIT) -> list[str]:
    """Apply what is missing up to and including `revision`; returns the revisions applied, oldest first.

    Raises:
        DatabaseUrlError: the URL cannot be used.
        DatabaseUnreachableError: no connection.
        UnknownRevisionError: this code lacks `revision` or the one the database is at.
        MigrationBusyError: a lock was not had within `lock_wait`.
        MigrationFailedError: the server refused a statement.
    """
    return _migrate(database_url, revision, run=command.upgrade, lock_wait=lock_wait)


def downgrade(database_url: str, revision: str, *, lock_wait: timedelta = LOCK_WAIT) -> list[str]:
    """Undo every revision above `revision` (`base`: all), with the rows in what they made.

    Returns the revisions undone, newest first. Raises as `upgrade` does.
    """
    return _migrate(database_url, revision, run=command.downgrade, lock_wait=lock_wait)


def current(database_url: str) -> str | None:
    """The revision that the database is at; None when it has never been migrated or is back at base."""
    with _connection(database_url, lock_wait=LOCK_WAIT) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def pending(database_url: str) -> list[str]:
    """The revisions that `upgrade` would apply, oldest first.

    Raises:
        UnknownRevisionError: newer code has migrated the database.
    """
    scripts = ScriptDirectory.from_config(_config())
    at = current(database_url)
    if at is not None:
        _check_known(scripts, at)
    found = [script.revision for script in scripts.iterate_revisions("heads", at or BASE)]
    return found[::-1]


def _migrate(
    database_url: str, revision: str, *, run: Callable[[Config, str], None], lock_wait: timedelta
) -> list[str]:
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    _check_known(scripts, revision)
    steps: list[str] = []
    with _connection(database_url, lock_wait=lock_wait) as connection:
        connection.execute(select(func.pg_advisory_lock(_ADVISORY_LOCK_KEY)))
        connection.commit()
        at = MigrationContext.configure(connection).get_current_revision()
        connection.rollback()
        if at is not None:
            _check_known(scripts, at)

        def on_version_apply(*, step: MigrationInfo, **_: object) -> None:
            # The upper one of the two revisions, in both directions.
            steps.append(str(step.up_revision_id))

        config.attributes.update(connection=connection, on_version_apply=on_version_apply)
        run(config, revision)
    return steps


@contextmanager
def _connection(database_url: str, *, lock_wait: timedelta) -> Iterator[Connection]:
    """One connection of its own, closed (and so unlocked) at the end; its errors become this package's."""
    url = psycopg_url(database_url)
    place = place_of(url)
    engine = create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        # An index on a large table may take hours; only waiting for locks is bounded.
        connect_args=connect_arguments(
            url, application_name="minsy-migrate", statement_timeout=None, lock_timeout=lock_wait
        ),
    )
    try:
        connection = engine.connect()
    except OperationalError as error:
        raise DatabaseUnreachableError(place, reason=str(error.orig).strip()) from None
    with connection:
        try:
            yield connection
        except DBAPIError as error:
            if isinstance(error.orig, LockNotAvailable):
                raise MigrationBusyError(place, waited=lock_wait) from error
            raise MigrationFailedError(place, reason=str(error.orig).strip()) from error


def _config() -> Config:
    """Alembic's configuration in code, so that an installed package needs no file beside it."""
    config = Config()
    # Alembic reads `%` as the start of an interpolation.
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _check_known(scripts: ScriptDirectory, revision: str) -> None:
    if revision in {HEAD, BASE}:
        return
    known = tuple(script.revision for script in scripts.walk_revisions())[::-1]
    try:
        found = scripts.get_revision(revision)
    except CommandError:
        found = None
    if found is None or found.revision != revision:
        raise UnknownRevisionError(revision, known=(BASE, *known, HEAD))
