"""What can go wrong in the maintenance jobs.

MaintenanceError
├── OutputPathError(path, problem, allowed)
├── BackupError
│   ├── BackupAlreadyRunningError(lock)
│   ├── ServerTooNewError(server_major, pg_dump_major, pg_dump)
│   └── BackupFailedError(reason, stderr_tail)
└── ExportAlreadyRunningError(lock_file)
"""

from pathlib import Path


class MaintenanceError(Exception):
    """Any failure of a maintenance job. No message holds a password or a user's data."""


class OutputPathError(MaintenanceError):
    """A directory or file that the job must not, or cannot, write to."""

    def __init__(self, path: Path, *, problem: str, allowed: str) -> None:
        self.path = path
        self.problem = problem
        self.allowed = allowed
        super().__init__(f"{path} cannot be used: {problem}. Allowed: {allowed}.")


class BackupError(MaintenanceError):
    """No backup was made."""


class BackupAlreadyRunningError(BackupError):
    """Another backup holds `lock`: the lock file of the directory, or the advisory lock of the database."""

    def __init__(self, lock: str) -> None:
        self.lock = lock
        super().__init__(f"Another backup is at work: it holds {lock}. Try again when it is done.")


class ServerTooNewError(BackupError):
    """`pg_dump` can dump servers up to its own major version only."""

    def __init__(self, *, server_major: int, pg_dump_major: int, pg_dump: Path) -> None:
        self.server_major = server_major
        self.pg_dump_major = pg_dump_major
        self.pg_dump = pg_dump
        super().__init__(
            f"The server is PostgreSQL {server_major}, and {pg_dump} is of version {pg_dump_major}: "
            f"pg_dump cannot dump a newer server. Install the client programs of PostgreSQL {server_major} or newer."
        )


class BackupFailedError(BackupError):
    """`reason` says what happened; `stderr_tail` is the end of what pg_dump wrote, without the password."""

    def __init__(self, reason: str, *, stderr_tail: str = "") -> None:
        self.reason = reason
        self.stderr_tail = stderr_tail
        said = f" pg_dump said:\n{stderr_tail}" if stderr_tail else ""
        super().__init__(f"The backup failed: {reason}.{said}")


class ExportAlreadyRunningError(MaintenanceError):
    """Another export holds the lock file of the directory."""

    def __init__(self, lock_file: Path) -> None:
        self.lock_file = lock_file
        super().__init__(f"Another export is at work: it holds {lock_file}. Try again when it is done.")
