"""Decides how long a message waits after a failed try. Pure: the jitter is a hash, never `random`."""

import datetime as dt
import hashlib

# 2 ** 62 times any base is beyond every cap, and a larger power would overflow a timedelta's arithmetic.
_LARGEST_POWER = 62
_HASH_BYTES = 8


def retry_delay(*, row_id: int, attempt: int, base: dt.timedelta, cap: dt.timedelta) -> dt.timedelta:
    """The wait after try number `attempt` (from 1) of a row.

    The full wait doubles from `base` up to `cap`; what is given lies in its upper half, at a place that the row and
    the try alone decide, so that rows that failed together do not come back together.

    Raises:
        ValueError: an attempt below 1, a base that is not above 0, or a cap below the base.
    """
    if attempt < 1:
        raise ValueError(f"attempt must be at least 1: {attempt}")
    if base <= dt.timedelta(0) or cap < base:
        raise ValueError(f"backoff needs 0 < base <= cap: base {base}, cap {cap}")
    doublings = min(attempt - 1, _LARGEST_POWER)
    factor = float(1 << doublings)
    full = cap if cap / base <= factor else base * factor
    digest = hashlib.blake2b(f"{row_id}:{attempt}".encode("ascii"), digest_size=_HASH_BYTES).digest()
    fraction = int.from_bytes(digest) / (1 << 8 * _HASH_BYTES)
    return full * (0.5 + fraction / 2)
