"""A preview as an iCalendar file (RFC 5545), for the calendar of a person.

An event for each fire; a job that fires often in an hour has one event for that hour, with the number of its fires.
Skips are not in it. The same fire has the same UID, so that a file that is imported again replaces what is there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from apps.cli.decision_words import instant_text
from apps.cli.preview_rows import Row, rows_of
from packages.scheduling.decision import Verdict
from packages.scheduling.instants import HOUR_MS, to_datetime
from packages.scheduling.preview_columns import Preview

SINGLY_PER_HOUR = 4
MOST_EVENTS = 5_000
_OCTETS = 75


class TooManyEventsError(ValueError):
    """More events than a calendar can show; `events` of them."""

    def __init__(self, events: int) -> None:
        self.events = events
        super().__init__(
            f"that is {events:,} events, and {MOST_EVENTS:,} are allowed: fewer hours, or only some jobs (--job)"
        )


@dataclass(frozen=True)
class _Event:
    uid: str
    start: int
    end: int
    title: str
    text: str


def calendar_of(preview: Preview, *, now: int) -> str:
    """The text of the file. `now` is when it is made.

    Raises:
        TooManyEventsError: more events than `MOST_EVENTS`.
    """
    events = sorted(_events(preview), key=lambda event: (event.start, event.uid))
    if len(events) > MOST_EVENTS:
        raise TooManyEventsError(len(events))
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Minsy//minsy preview//EN", "CALSCALE:GREGORIAN"]
    for event in events:
        lines += [
            "BEGIN:VEVENT",
            f"UID:{escaped(event.uid)}",
            f"DTSTAMP:{_stamp(now)}",
            f"DTSTART:{_stamp(event.start)}",
            *([f"DTEND:{_stamp(event.end)}"] if _stamp(event.end) > _stamp(event.start) else []),
            f"SUMMARY:{escaped(event.title)}",
            f"DESCRIPTION:{escaped(event.text)}",
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return "".join(f"{folded(line)}\r\n" for line in lines)


def escaped(text: str) -> str:
    """A value of type TEXT (RFC 5545, 3.3.11)."""
    for plain, escape in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\r\n", "\\n"), ("\n", "\\n")):
        text = text.replace(plain, escape)
    return text


def folded(line: str) -> str:
    """A content line in pieces of at most 75 octets, no character of which is cut (RFC 5545, 3.1)."""
    pieces: list[str] = [""]
    room = _OCTETS
    for character in line:
        octets = len(character.encode())
        if octets > room:
            pieces.append("")
            # The space that begins a further piece is one of its octets.
            room = _OCTETS - 1
        pieces[-1] += character
        room -= octets
    return "\r\n ".join(pieces)


def _events(preview: Preview) -> Iterator[_Event]:
    fires = [row for row in rows_of(preview) if row.kind.verdict is Verdict.FIRE]
    fires.sort(key=lambda row: (row.job.name, row.at))
    for (name, hour), group in groupby(fires, key=lambda row: (row.job.name, row.at // HOUR_MS)):
        rows = list(group)
        if len(rows) <= SINGLY_PER_HOUR:
            yield from (_single(row) for row in rows)
            continue
        first, last = rows[0].at, rows[-1].at
        text = f"queue {rows[0].job.queue}\nthe first {instant_text(first)}\nthe last {instant_text(last)}"
        title = f"{name}: {len(rows):,} fires"
        yield _Event(f"{name}-hour-{hour * HOUR_MS}@minsy-preview", first, last, title, text)


def _single(row: Row) -> _Event:
    text = f"queue {row.job.queue}\nnominal {instant_text(row.nominal)}\n{row.kind.said}"
    return _Event(f"{row.job.name}-{row.nominal}@minsy-preview", row.at, row.at, row.job.name, text)


def _stamp(instant: int) -> str:
    return f"{to_datetime(instant):%Y%m%dT%H%M%SZ}"
