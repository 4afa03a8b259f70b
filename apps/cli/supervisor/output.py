"""What the supervisor prints goes through a thread of its own: a terminal that is stopped or gone holds nothing up.

Lines that nobody takes are counted and dropped, and the count is told when lines are taken again.
"""

import os
import sys
import threading
from queue import Full, Queue

_MOST_WAITING_LINES = 10_000


class Output:
    """A text stream for one file descriptor, made for Honcho's printer. `None` as descriptor prints nothing."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._part: list[str] = []
        self._lines: Queue[str | None] = Queue(_MOST_WAITING_LINES)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write_all, name="output", daemon=True)
        self._thread.start()

    def isatty(self) -> bool:
        """Whether colours are understood."""
        return self._descriptor is not None and os.isatty(self._descriptor)

    def write(self, text: str) -> None:
        """Take a part of a line."""
        self._part.append(text)

    def flush(self) -> None:
        """Hand over what was written; returns at once and never fails."""
        text, self._part = "".join(self._part), []
        if self._dropped:
            text = f"({self._dropped} lines were dropped, as nobody took them)\n{text}"
        try:
            self._lines.put_nowait(text)
        except Full:
            self._dropped += 1
        else:
            self._dropped = 0

    def close(self, *, timeout_s: float) -> None:
        """Wait until everything is written, no longer than this."""
        try:
            self._lines.put_nowait(None)
        except Full:
            return
        self._thread.join(timeout_s)

    def _write_all(self) -> None:
        while (text := self._lines.get()) is not None:
            self._write(text.encode("utf-8", "replace"))

    def _write(self, content: bytes) -> None:
        # Straight to the descriptor: a thread that waits inside `sys.stdout` would hold its lock at the exit.
        while content and self._descriptor is not None:
            try:
                content = content[os.write(self._descriptor, content) :]
            except OSError:
                return  # the reader has gone or the disk is full; the processes matter more than their lines


def standard_output() -> Output:
    """The standard output of this process, also when it was closed before the start."""
    try:
        return Output(None if sys.stdout is None else sys.stdout.fileno())
    except (OSError, ValueError):
        return Output(None)
