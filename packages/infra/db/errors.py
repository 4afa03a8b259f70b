"""What can go wrong between this program and its database.

DatabaseError
    DatabaseUrlError            the URL cannot be used
    DatabaseUnreachableError    no connection could be made
    MigrationError
        UnknownRevisionError    a revision that this code does not have
        MigrationBusyError      another migration, or a table in use, held a lock for too long
        MigrationFailedError    a statement of a migration was refused
"""

from datetime import timedelta


class DatabaseError(Exception):
    """Any failure of this package. No message holds a password."""


class DatabaseUrlError(DatabaseError):
    """A database URL that cannot be used. The URL itself is not quoted: it may hold a password."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(
            f"The database URL cannot be used: {problem}. "
            "Allowed: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with reserved characters percent-encoded."
        )


class DatabaseUnreachableError(DatabaseError):
    """No connection could be made; `reason` is what the driver said."""

    def __init__(self, place: str, *, reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(f"The database at {place} cannot be reached: {reason}")


class MigrationError(DatabaseError):
    """The tables could not be brought to the revision asked for."""


class UnknownRevisionError(MigrationError):
    """A revision that this code does not have: a typing error, or a database migrated by newer code."""

    def __init__(self, revision: str, *, known: tuple[str, ...]) -> None:
        self.revision = revision
        self.known = known
        super().__init__(
            f"The revision {revision!r} is unknown. Known: {', '.join(known)}. "
            "If the database is at it, newer code has migrated the database: run that code."
        )


class MigrationBusyError(MigrationError):
    """A lock was not had in time: another migration runs, or a long transaction uses a table."""

    def __init__(self, place: str, *, waited: timedelta) -> None:
        self.place = place
        self.waited = waited
        super().__init__(
            f"The database at {place} is busy: a lock was not had within {waited.total_seconds():.0f} s. "
            "Another migration or a long transaction holds it; nothing was left half done. Try again."
        )


class MigrationFailedError(MigrationError):
    """The server refused a statement of a migration; `reason` is what it said."""

    def __init__(self, place: str, *, reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(f"The migration of the database at {place} failed: {reason}")
