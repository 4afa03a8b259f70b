"""The instants of an interval: a grid that depends on no process's start, so that restarts neither skip nor bunch.

Pure: `now` is an argument.
"""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def latest_instant(now: datetime, period: timedelta, *, anchor: datetime = EPOCH) -> datetime:
    """The latest of the instants `anchor + n * period`, for whole n of any sign, that is not after `now`.

    Both instants are aware; the result is in the zone of `anchor`.

    Raises:
        ValueError: `period` is not above zero.
    """
    if period <= timedelta(0):
        raise ValueError(f"period must be above zero, not {period}")
    return anchor + (now - anchor) // period * period
