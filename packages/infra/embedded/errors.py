"""What can go wrong with the embedded servers.

EmbeddedError
    BinaryMissingError    a wheel holds no program for this machine, or the program cannot run
    AccountError          PostgreSQL has no account to run under
    ServerFailedError     a server did not start, or stopped answering
    BusyError             another process kept the start lock for too long
    InterruptedStartError a start was given up, since everything is to stop
"""

from pathlib import Path


class EmbeddedError(Exception):
    """Any failure of the embedded servers. No message holds a password."""


class BinaryMissingError(EmbeddedError):
    """A program of a wheel is missing or cannot run here."""

    def __init__(self, program: str, *, package: str, reason: str) -> None:
        self.program = program
        self.package = package
        self.reason = reason
        super().__init__(
            f"{program} of the package {package} cannot be used: {reason}. "
            "Install the pinned requirements again, or set REDIS_URL and DATABASE_URL to servers of your own."
        )


class AccountError(EmbeddedError):
    """PostgreSQL does not run as root, and no other account could be had."""

    def __init__(self, account: str, *, reason: str) -> None:
        self.account = account
        self.reason = reason
        super().__init__(
            f"PostgreSQL refuses to run as root and the system account {account} cannot be used: {reason}. "
            "Run as another user, create the account, or set DATABASE_URL to a server of your own."
        )


class ServerFailedError(EmbeddedError):
    """A server did not start or does not answer; `log_tail` is what it last said."""

    def __init__(self, server: str, *, reason: str, log_file: Path, log_tail: str) -> None:
        self.server = server
        self.reason = reason
        self.log_file = log_file
        self.log_tail = log_tail
        quoted = f" Its log ends with:\n{log_tail}" if log_tail else " It wrote nothing there."
        super().__init__(f"The embedded {server} server {reason}. Log: {log_file}.{quoted}")


class BusyError(EmbeddedError):
    """Another process has been starting or stopping the servers for too long."""

    def __init__(self, lock_file: Path, *, owner_pid: int | None, waited_s: float) -> None:
        self.lock_file = lock_file
        self.owner_pid = owner_pid
        self.waited_s = waited_s
        owner = f"process {owner_pid}" if owner_pid is not None else "another process"
        super().__init__(
            f"{owner} has been starting or stopping the embedded servers for more than {waited_s:.0f} s "
            f"(lock file {lock_file})."
        )


class InterruptedStartError(EmbeddedError):
    """A start that was under way was given up."""

    def __init__(self) -> None:
        super().__init__("The start of the embedded servers was given up, since everything stops.")
