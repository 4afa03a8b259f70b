"""Durations and instants as a person types them and reads them."""

import re
from datetime import UTC, datetime, timedelta, tzinfo

import typer

from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT, to_datetime, to_instant

_LONGEST = timedelta(days=3650)
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds", "ms": "milliseconds"}
_DURATION = re.compile("".join(f"(?:([0-9]{{1,6}}){unit})?" for unit in _UNITS))


def duration(text: str) -> timedelta:
    """The duration of a text such as `90s`, `2h` or `1d12h`.

    Raises:
        typer.BadParameter: it is none, it is nothing, or it is longer than ten years.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None or not text.strip():
        raise typer.BadParameter(f"{text!r} is no duration; write it like 90s, 30m, 2h, 1d12h or 2w")
    numbers = (int(number) if number else 0 for number in found.groups())
    given = timedelta(**dict(zip(_UNITS.values(), numbers, strict=True)))
    if not timedelta(0) < given <= _LONGEST:
        raise typer.BadParameter(f"{text!r} is not above zero and at most {_LONGEST.days}d")
    return given


def moment_of(text: str, zone: tzinfo = UTC) -> int:
    """The instant of an RFC 3339 text or a date; one that names no zone is in `zone`, a date is its midnight.

    Of a time that the zone has twice, the first one; one that it skips is moved behind the gap.

    Raises:
        typer.BadParameter: it is neither, or is not between 1970 and 2200.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no instant; write it like 2026-11-22T09:30:00Z, 2026-11-22T09:30 or 2026-11-22"
        ) from None
    if moment.utcoffset() is None:
        moment = moment.replace(tzinfo=zone)
    if not FIRST_INSTANT <= (at := to_instant(moment)) <= LAST_INSTANT:
        raise typer.BadParameter(f"{text!r} is not between 1970 and 2200")
    return at


def duration_in_words(length: timedelta) -> str:
    """A duration as it may be typed, to the second: `2h24m`; `0s` for less than one."""
    seconds = int(length.total_seconds())
    words = []
    for unit, length_s in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length_s)
        if count:
            words.append(f"{count}{unit}")
    return "".join(words) or "0s"


def instant_in_words(at: int) -> str:
    """An instant to the second, in UTC: `2026-11-22 09:30:00Z`."""
    return f"{to_datetime(at).astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
