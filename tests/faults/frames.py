"""Where a command or an answer of the Redis protocol ends in a stream of bytes, and which jobs a command publishes."""

import re
from collections.abc import Iterator
from typing import Final

_LINE_END: Final = b"\r\n"
_BULK: Final = b"$=!"
_ELEMENTS: Final = {b"*": 1, b"~": 1, b">": 1, b"%": 2}
# As it stands in a message, in whatever command that is; the colon is what tells it from a word in a script.
_JOB: Final = re.compile(rb'beat_job\\?"\s*:\s*\\?"([^"\\]+)')
_TERM: Final = re.compile(rb'beat_term\\?"\s*:\s*\\?"?(\d+)')


def end_of_frame(data: "bytes | bytearray", start: int = 0) -> int | None:
    """Behind the last byte of the frame that begins at `start`; None if it is not all there."""
    missing, at = 1, start
    while missing:
        line_end = data.find(_LINE_END, at)
        if line_end < 0:
            return None
        kind, missing = bytes(data[at : at + 1]), missing - 1
        if kind in _ELEMENTS:
            missing += max(0, int(data[at + 1 : line_end])) * _ELEMENTS[kind]
        at_next = line_end + 2
        if kind and kind in _BULK and (length := int(data[at + 1 : line_end])) >= 0:
            at_next += length + 2
        at = at_next
    return at if at <= len(data) else None


class Frames:
    """Takes bytes as they come, and gives whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The frames that are whole now."""
        self._buffer += data
        while self._buffer and (end := end_of_frame(self._buffer)) is not None:
            frame = bytes(self._buffer[:end])
            del self._buffer[:end]
            yield frame


def jobs_of(frame: bytes) -> list[str]:
    """The jobs of the messages that a command carries."""
    if b"beat_job" not in frame:
        return []
    return [name.decode() for name in _JOB.findall(frame)]


def term_of(frame: bytes) -> int:
    """The highest term under which a command publishes; 0 for none."""
    return max((int(term) for term in _TERM.findall(frame)), default=0)


def carries_messages(frame: bytes) -> bool:
    """Whether a command publishes: with it a leader is seen at work, whatever command it is."""
    return bool(jobs_of(frame))


def carries_what_is_not_made_up_for(frame: bytes) -> bool:
    """Whether a command publishes a fire that a new leader skips: no claim of it stops a late one, its term has to."""
    return "one-latest" in jobs_of(frame)
