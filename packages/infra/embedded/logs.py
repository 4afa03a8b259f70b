"""The log file of a server: its size, its end, and a cap on its growth. Writes no line of its own."""

from pathlib import Path

_KEEP_BYTES = 10 * 1024 * 1024
_TAIL_BYTES = 8 * 1024
_TAIL_LINES = 15


def rotate(path: Path) -> None:
    """Move a log that has grown past 10 MiB to `<name>.1`; for a server that is not running."""
    if size(path) > _KEEP_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))


def size(path: Path) -> int:
    """The bytes in the file; 0 when there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def tail(path: Path, *, since_bytes: int) -> str:
    """The last lines of what was written after the first `since_bytes` bytes; empty when nothing was."""
    end = size(path)
    start = max(since_bytes, end - _TAIL_BYTES)
    if end <= start:
        return ""
    with path.open("rb") as stream:
        stream.seek(start)
        lines = stream.read().decode("utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_TAIL_LINES:])
