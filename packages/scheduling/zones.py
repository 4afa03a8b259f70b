"""When the clocks of a zone change: its offsets from UTC as periods between sorted instants.

The rules come from `zoneinfo` and are found by bisection, once for each zone and block of years, so that nobody pays
for years that nobody asks for. Which of two equal local times is meant is not decided here.
"""

from bisect import bisect_right
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from packages.scheduling.instants import DAY_MS, FIRST_INSTANT, LAST_INSTANT, SECOND_MS

# About eight years and eight months; a power of two, so that few blocks cover the engine's range.
BLOCK_MS: Final = 1 << 38
LAST_BLOCK: Final = LAST_INSTANT // BLOCK_MS
# No zone has changed its offset twice within less than 6.9 days since 1970, or will by the rules known now.
_PROBE_S: Final = 6 * DAY_MS // SECOND_MS
# A change just outside a block repeats or skips local times inside it. The largest known, on the date line, is a day.
MARGIN_MS: Final = 2 * DAY_MS
_SECOND: Final = timedelta(seconds=1)


class UnknownZoneError(ValueError):
    """There is no time zone of that name in the database of this machine. `zone` is the name."""

    def __init__(self, zone: str) -> None:
        super().__init__(f"no time zone {zone!r}; a name of the IANA database is needed, such as America/New_York")
        self.zone = zone


class Period(NamedTuple):
    """From `start` (inclusive) to `end` (exclusive) the local time is UTC plus `offset_ms`."""

    start: int
    end: int
    offset_ms: int


def check_zone(name: str) -> None:
    """Nothing, for a zone that exists.

    Raises:
        UnknownZoneError: for any other name.
    """
    _zone(name)


def is_fixed(name: str) -> bool:
    """Whether the zone has one offset for ever, as `UTC` has.

    Raises:
        UnknownZoneError: there is no such zone.
    """
    return _zone(name).utcoffset(None) is not None


def offset_ms(name: str, at: int) -> int:
    """What is to be added to the instant for the local time of the zone.

    Before 1970 and after 2199 it is the offset at that end of the range.

    Raises:
        UnknownZoneError: there is no such zone.
    """
    at = min(max(at, FIRST_INSTANT), LAST_INSTANT)
    starts, periods = _block(name, at // BLOCK_MS)
    return periods[bisect_right(starts, at) - 1].offset_ms


def periods_of_block(name: str, block: int) -> tuple[Period, ...]:
    """The periods of one offset each from `MARGIN_MS` before the block `[block * BLOCK_MS, ...)` to as far behind it.

    The first begins and the last ends at these borders, or at an end of the engine's range, where no clock changes.

    Raises:
        UnknownZoneError: there is no such zone.
    """
    return _block(name, block)[1]


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        # OSError: the name of a folder of the database, such as `America`.
        raise UnknownZoneError(name) from error


@lru_cache(maxsize=4096)
def _block(name: str, block: int) -> tuple[tuple[int, ...], tuple[Period, ...]]:
    first = max(block * BLOCK_MS - MARGIN_MS, FIRST_INSTANT)
    end = min((block + 1) * BLOCK_MS + MARGIN_MS, LAST_INSTANT + 1)
    borders = [(first, _offset_s(_zone(name), -(-first // SECOND_MS)))]
    if not is_fixed(name):
        borders += _changes(_zone(name), -(-first // SECOND_MS), end // SECOND_MS)
    starts = tuple(start for start, _ in borders)
    periods = tuple(
        Period(start, until, offset * SECOND_MS)
        for (start, offset), until in zip(borders, (*starts[1:], end), strict=True)
    )
    return starts, periods


def _changes(zone: ZoneInfo, first_s: int, end_s: int) -> list[tuple[int, int]]:
    """Each instant in (first, end) from which another offset holds, with that offset in seconds."""
    changes = []
    before, offset = first_s, _offset_s(zone, first_s)
    while before < end_s - 1:
        after = min(before + _PROBE_S, end_s - 1)
        offset_after = _offset_s(zone, after)
        if offset_after != offset:
            low, high = before, after
            while high - low > 1:
                middle = (low + high) // 2
                if _offset_s(zone, middle) == offset:
                    low = middle
                else:
                    high = middle
            changes.append((high * SECOND_MS, offset_after))
        before, offset = after, offset_after
    return changes


def _offset_s(zone: ZoneInfo, at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, zone).utcoffset()
    return 0 if offset is None else offset // _SECOND
