"""Instants of the engine: whole milliseconds since 1970-01-01 in UTC. Datetimes stand at the edges only.

A name that ends in `_ms` is a duration; an instant has a name of its own (`nominal`, `planned`, `at`, `until`).
"""

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ONE_MS: Final = timedelta(milliseconds=1)
SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

# Triggers name instants in [FIRST_INSTANT, LAST_INSTANT]: from 1970 to the end of 2199.
FIRST_INSTANT: Final = 0
LAST_INSTANT: Final = (datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) // ONE_MS - 1
# Later than every instant: the end of what holds for ever.
NEVER_ENDS: Final = LAST_INSTANT + 1


def to_instant(moment: datetime) -> int:
    """The instant of an aware datetime; what is below a millisecond is cut off, towards the past.

    Raises:
        ValueError: `moment` has no zone.
    """
    if moment.utcoffset() is None:
        raise ValueError(f"{moment.isoformat()} has no zone")
    return (moment - EPOCH) // ONE_MS


def to_datetime(instant: int) -> datetime:
    """The aware datetime in UTC of an instant."""
    return EPOCH + instant * ONE_MS


def to_ms(duration: timedelta) -> int:
    """A duration in whole milliseconds, cut off towards minus infinity."""
    return duration // ONE_MS
