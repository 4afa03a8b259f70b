"""Windows in the form that settings and people use, and back.

    22:00-06:00 America/New_York
    Mon-Fri 20:00-23:00 Europe/London; Sat,Sun 00:00-24:00; skip
    outside XNYS,XLON; 20:00-06:00 America/New_York; fail_closed

Items are joined by semicolons: spans of local time, `outside` with markets, and words. All spans are in one zone, named
at least once; UTC when never. A span that ends at or before its start crosses midnight and belongs to the day on which
it starts.
"""

import re
from dataclasses import dataclass, field
from typing import Final, TypeVar

from packages.scheduling.policies import (
    MINUTES_OF_A_DAY,
    GateMode,
    PolicyError,
    UnknownDates,
    WindowAction,
    Windows,
    WindowSpan,
)
from packages.scheduling.zones import UnknownZoneError, check_zone

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EVERY_DAY: Final = frozenset(range(7))
_SPAN: Final = re.compile(r"(?:(?P<days>[A-Za-z,\-]+)\s+)?(?P<start>[\d:]+)\s*-\s*(?P<end>[\d:]+)(?:\s+(?P<zone>\S+))?")
_TIME: Final = re.compile(r"(\d{1,2}):(\d{2})")
_MARKET: Final = re.compile(r"[A-Za-z0-9_/]+")
_ACTIONS: Final = {word.value: word for word in WindowAction}
_UNKNOWN: Final = {word.value: word for word in UnknownDates}
_MODES: Final = {word.value: word for word in GateMode}
_WORDS: Final = ", ".join((*_ACTIONS, *_UNKNOWN, *_MODES))

Word = TypeVar("Word", WindowAction, UnknownDates, GateMode)


@dataclass(slots=True)
class _Parts:
    spans: list[WindowSpan] = field(default_factory=list)
    markets: list[str] = field(default_factory=list)
    zones: list[str] = field(default_factory=list)
    action: WindowAction | None = None
    unknown: UnknownDates | None = None
    mode: GateMode | None = None


def parse_windows(text: str) -> Windows:
    """The windows that `text` describes.

    Raises:
        PolicyError: an item is none of the above, or two contradict each other; the text names the item.
    """
    parts = _Parts()
    for item in text.split(";"):
        if stripped := item.strip():
            _take_in(parts, stripped)
    if len(parts.zones) > 1:
        raise PolicyError(f"windows {text!r}: all spans are in one zone, not in {' and '.join(parts.zones)}")
    if not parts.spans and not parts.markets:
        raise PolicyError(f"windows {text!r}: a span such as 22:00-06:00 Europe/London is needed, or outside XNYS")
    zone = parts.zones[0] if parts.zones else "UTC"
    return Windows(
        zone=zone,
        spans=tuple(parts.spans),
        outside_sessions_of=tuple(parts.markets),
        action=parts.action or WindowAction.DEFER,
        unknown=parts.unknown or UnknownDates.FAIL_OPEN,
        mode=parts.mode or GateMode.ENFORCE,
    )


def windows_text(windows: Windows) -> str:
    """The form that `parse_windows` reads; what is at its default is left out."""
    items = [f"{_days_text(span.days)}{_clock(span.start_minute)}-{_clock(span.end_minute)}" for span in windows.spans]
    if items and windows.zone != "UTC":
        items[0] += f" {windows.zone}"
    if windows.outside_sessions_of:
        items.append(f"outside {','.join(windows.outside_sessions_of)}")
    if windows.action is not WindowAction.DEFER:
        items.append(windows.action.value)
    if windows.unknown is not UnknownDates.FAIL_OPEN:
        items.append(windows.unknown.value)
    if windows.mode is not GateMode.ENFORCE:
        items.append(windows.mode.value)
    return "; ".join(items)


def _take_in(parts: _Parts, item: str) -> None:
    first, _, rest = item.partition(" ")
    if first.lower() == "outside":
        parts.markets += _markets(item, rest)
    elif match := _SPAN.fullmatch(item):
        parts.spans.append(_span(item, match))
        zone = match["zone"]
        if zone is not None and zone not in parts.zones:
            parts.zones.append(_checked_zone(item, zone))
    else:
        _take_in_word(parts, item)


def _take_in_word(parts: _Parts, item: str) -> None:
    word = item.lower()
    if word in _ACTIONS:
        parts.action = _once(item, parts.action, _ACTIONS[word])
    elif word in _UNKNOWN:
        parts.unknown = _once(item, parts.unknown, _UNKNOWN[word])
    elif word in _MODES:
        parts.mode = _once(item, parts.mode, _MODES[word])
    else:
        span = "Mon-Fri 20:00-06:00 America/New_York"
        raise PolicyError(f"window {item!r}: must be a span such as {span}, outside XNYS, or one of {_WORDS}")


def _once(item: str, before: Word | None, now: Word) -> Word:
    if before not in {None, now}:
        raise PolicyError(f"window {item!r}: {before} was said before")
    return now


def _markets(item: str, text: str) -> list[str]:
    markets = [market.strip() for market in text.split(",")]
    if not all(_MARKET.fullmatch(market) for market in markets):
        raise PolicyError(f"window {item!r}: outside is followed by MIC codes, such as outside XNYS,XLON")
    return markets


def _span(item: str, match: re.Match[str]) -> WindowSpan:
    days = _EVERY_DAY if match["days"] is None else _days(item, match["days"])
    start, end = _minute(item, match["start"]), _minute(item, match["end"])
    if start == MINUTES_OF_A_DAY:
        raise PolicyError(f"window {item!r}: a span starts before 24:00")
    return WindowSpan(days, start, end)


def _days(item: str, text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        names = [name.capitalize() for name in part.split("-")]
        if len(names) > 2 or any(name not in WEEKDAYS for name in names):  # noqa: PLR2004  # a day, or from one to another
            raise PolicyError(f"window {item!r}: days are {', '.join(WEEKDAYS)}, lists (Sat,Sun) and ranges (Mon-Fri)")
        first, last = WEEKDAYS.index(names[0]), WEEKDAYS.index(names[-1])
        days |= {(first + n) % 7 for n in range((last - first) % 7 + 1)}
    return frozenset(days)


def _minute(item: str, text: str) -> int:
    match = _TIME.fullmatch(text)
    minute = int(match[1]) * 60 + int(match[2]) if match else -1
    if match is None or int(match[2]) >= 60 or minute > MINUTES_OF_A_DAY:  # noqa: PLR2004  # minutes of an hour
        raise PolicyError(f"window {item!r}: times are 00:00 to 24:00, not {text!r}")
    return minute


def _checked_zone(item: str, zone: str) -> str:
    try:
        check_zone(zone)
    except UnknownZoneError as error:
        raise PolicyError(f"window {item!r}: {error}") from error
    return zone


def _days_text(days: frozenset[int]) -> str:
    return "" if days == _EVERY_DAY else f"{','.join(WEEKDAYS[day] for day in sorted(days))} "


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
