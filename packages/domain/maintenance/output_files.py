"""How the maintenance jobs put a file in place: private from its first byte, whole or not at all, one at a time.

Knows directories, locks and renames. Never knows what is in a file or how long one is kept.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from packages.domain.maintenance.errors import OutputPathError

PARTIAL_SUFFIX: Final = ".partial"
_FILE_MODE: Final = 0o600
_DIRECTORY_MODE: Final = 0o700


def prepare_directory(directory: Path) -> None:
    """Make the directory with mode 0700 if it is missing; one that exists keeps its mode.

    Raises:
        OutputPathError: a relative path, no directory, not writable, or writable by everybody, who could then
            put a link where a file is about to be.
    """
    allowed = "an absolute path to a directory that only its owner and group may write to"
    if not directory.is_absolute():
        raise OutputPathError(directory, problem="it is a relative path", allowed=allowed)
    try:
        directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputPathError(directory, problem=error.strerror or str(error), allowed=allowed) from error
    if directory.stat().st_mode & stat.S_IWOTH:
        raise OutputPathError(directory, problem="everybody may write to it", allowed=allowed)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OutputPathError(directory, problem="this process may not write to it", allowed=allowed)


@contextmanager
def try_lock(lock_file: Path) -> Iterator[int | None]:
    """An exclusive lock, by its file descriptor, or None when another process or thread holds it.

    The kernel drops it with the last process that has the descriptor open, so none is left behind by a crash. The
    file stays: removing it would let two processes lock two different files of one name.
    """
    descriptor = _open_new_or_own(lock_file)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield descriptor
    finally:
        os.close(descriptor)


def partial_path(path: Path) -> Path:
    """Where the file is written before it has its name: hidden, in the same directory, so that a rename is atomic."""
    return path.with_name(f".{path.name}{PARTIAL_SUFFIX}")


def create_partial(path: Path) -> int:
    """A descriptor of the new, empty, private file at `partial_path(path)`.

    Raises:
        FileExistsError: the file is there, or a link of its name.
    """
    return os.open(partial_path(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE)


def publish_partial(path: Path) -> None:
    """Give the written file its name, replacing what had it. Durable when this returns, and never half there."""
    partial = partial_path(path)
    _sync(partial)
    partial.replace(path)
    _sync(path.parent)


def discard_partial(path: Path) -> None:
    """Remove what was written of a file that will not be published."""
    partial_path(path).unlink(missing_ok=True)


def _open_new_or_own(lock_file: Path) -> int:
    try:
        return os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE)
    except OSError as error:
        raise OutputPathError(
            lock_file, problem=error.strerror or str(error), allowed="a regular file of this user, or none"
        ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
