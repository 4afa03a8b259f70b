"""Who may start and stop the servers, and who uses them now.

Both rest on locks that the kernel drops with their process, so a killed process leaves nothing to clean
up. The start lock is held by one process at a time. A user's mark is a file that its process keeps
locked; marks are made, read and removed under the start lock only.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from packages.infra.embedded.errors import BusyError

_POLL_S = 0.05


@dataclass(frozen=True)
class Mark:
    """The mark of one user; `pid` made it, and a child that inherits it must leave it alone."""

    path: Path
    descriptor: int
    pid: int


@contextmanager
def start_lock(directory: Path, *, timeout: timedelta, check: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the right to start and stop servers. `check` is called while waiting, and may raise.

    Raises:
        BusyError: another process did not give it up within the timeout.
    """
    path = directory / "start.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + timeout.total_seconds()
        while not _try_lock(descriptor):
            check()
            if time.monotonic() >= deadline:
                owner = os.pread(descriptor, 20, 0).strip()
                raise BusyError(
                    path,
                    owner_pid=int(owner) if owner.isdigit() else None,
                    waited_s=timeout.total_seconds(),
                )
            time.sleep(_POLL_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def make_mark(directory: Path) -> Mark:
    """Register this process as a user."""
    users = directory / "users"
    users.mkdir(mode=0o700, exist_ok=True)
    path = users / f"{os.getpid()}.{secrets.token_hex(4)}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return Mark(path=path, descriptor=descriptor, pid=os.getpid())


def abandon_mark(mark: Mark) -> None:
    """Unregister it without the start lock: who holds that finds the mark free, and removes it."""
    os.close(mark.descriptor)


def remove_mark(mark: Mark) -> None:
    """Unregister it."""
    mark.path.unlink(missing_ok=True)
    os.close(mark.descriptor)


def live_users(directory: Path) -> list[int]:
    """The process ids of the users that live, one for each mark; marks of the dead are removed."""
    pids: list[int] = []
    users = directory / "users"
    for path in sorted(users.iterdir()) if users.is_dir() else []:
        descriptor = os.open(path, os.O_RDWR)
        try:
            if _try_lock(descriptor):
                path.unlink()
            else:
                pids.append(int(path.name.partition(".")[0]))
        finally:
            os.close(descriptor)
    return sorted(pids)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
