import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.domain.notifications.backoff import retry_delay

SECOND = dt.timedelta(seconds=1)


@given(
    st.integers(min_value=1, max_value=2**62),
    st.integers(min_value=1, max_value=10_000),
    st.timedeltas(min_value=SECOND, max_value=dt.timedelta(days=365)),
    st.timedeltas(min_value=dt.timedelta(0), max_value=dt.timedelta(days=100_000)),
)
def test_the_wait_lies_in_the_upper_half_of_the_doubled_base_up_to_the_cap(
    row_id: int, attempt: int, base: dt.timedelta, above: dt.timedelta
) -> None:
    cap = base + above
    full_s = min(cap.total_seconds(), base.total_seconds() * 2.0 ** min(attempt - 1, 100))
    delay = retry_delay(row_id=row_id, attempt=attempt, base=base, cap=cap)
    assert delay == retry_delay(row_id=row_id, attempt=attempt, base=base, cap=cap)
    assert full_s / 2 - 0.001 <= delay.total_seconds() <= full_s + 0.001


def test_rows_that_failed_together_come_back_apart() -> None:
    delays = {retry_delay(row_id=row_id, attempt=3, base=SECOND, cap=60 * SECOND) for row_id in range(100)}
    assert len(delays) > 90


def test_the_jitter_is_the_same_in_every_process() -> None:
    assert retry_delay(row_id=7, attempt=2, base=60 * SECOND, cap=3600 * SECOND) == dt.timedelta(
        seconds=63, microseconds=926188
    )


@pytest.mark.parametrize(
    ("attempt", "base", "cap", "said"),
    [
        (0, SECOND, SECOND, "attempt must be at least 1"),
        (1, 0 * SECOND, SECOND, "0 < base <= cap"),
        (1, 2 * SECOND, SECOND, "0 < base <= cap"),
    ],
)
def test_a_wait_that_makes_no_sense_is_refused(attempt: int, base: dt.timedelta, cap: dt.timedelta, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        retry_delay(row_id=1, attempt=attempt, base=base, cap=cap)
