"""The bar lengths this platform knows, by their short names. Decides nothing about sessions or calendars."""

import datetime as dt

BAR_LENGTHS: dict[str, dt.timedelta] = {
    "1m": dt.timedelta(minutes=1),
    "1h": dt.timedelta(hours=1),
    "1d": dt.timedelta(days=1),
}


def bar_length(timeframe: str) -> dt.timedelta:
    """How long a bar of `timeframe` lasts.

    Raises:
        ValueError: the timeframe is none of `BAR_LENGTHS`.
    """
    try:
        return BAR_LENGTHS[timeframe]
    except KeyError:
        allowed = ", ".join(BAR_LENGTHS)
        raise ValueError(f"timeframe {timeframe!r} is not known; allowed: {allowed}") from None
