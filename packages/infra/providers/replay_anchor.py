"""Keeps the wall-clock instant at which the replay began, in a small file that all processes share.

The first process to come writes it; all others read it. It is never changed afterwards. Deleting it starts the
replay again; bars that are stored already stay, so nothing new comes until the replay has passed them.
"""

import contextlib
import datetime as dt
import os
import tempfile
from pathlib import Path

_LONGEST_CONTENT = 64


class AnchorFileError(Exception):
    """The anchor file cannot be used. `path` names it, `reason` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"replay anchor {path}: {reason}; it must hold one RFC 3339 instant with its offset, "
            "delete it to start the replay again"
        )
        self.path = path
        self.reason = reason


def load_or_create_anchor(path: Path, now: dt.datetime) -> dt.datetime:
    """The kept anchor; when there is none, `now` becomes it. Of two processes at once both get the same.

    Raises:
        AnchorFileError: the file cannot be read or written, or holds no aware instant.
    """
    try:
        if not path.exists():
            _create(path, now)
        with path.open("rb") as file:
            content = file.read(_LONGEST_CONTENT + 1)
    except OSError as error:
        raise AnchorFileError(path, error.strerror or type(error).__name__) from error
    return _parse(path, content)


def _create(path: Path, now: dt.datetime) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(now.astimezone(dt.UTC).isoformat() + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link shows the file whole or not at all, and unlike a rename it never replaces the winner's.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()


def _parse(path: Path, content: bytes) -> dt.datetime:
    if len(content) > _LONGEST_CONTENT:
        raise AnchorFileError(path, f"longer than {_LONGEST_CONTENT} bytes")
    try:
        anchor = dt.datetime.fromisoformat(content.decode("ascii").strip())
    except ValueError:
        raise AnchorFileError(path, f"not an instant: {content!r}") from None
    if anchor.utcoffset() is None:
        raise AnchorFileError(path, f"the instant has no offset: {content!r}")
    return anchor.astimezone(dt.UTC)
