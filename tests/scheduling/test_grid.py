"""The grid of an interval: properties over any instant, period and anchor."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.scheduling.grid import EPOCH, latest_instant

INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis adds the zone
PERIODS = st.timedeltas(timedelta(milliseconds=1), timedelta(days=400))


@given(now=INSTANTS, period=PERIODS, anchor=INSTANTS)
def test_it_is_the_latest_instant_of_the_grid(now: datetime, period: timedelta, anchor: datetime) -> None:
    instant = latest_instant(now, period, anchor=anchor)
    assert (instant - anchor) % period == timedelta(0)
    assert instant <= now < instant + period


@given(now=INSTANTS, period=PERIODS)
def test_any_instant_of_the_grid_is_as_good_an_anchor_as_another(now: datetime, period: timedelta) -> None:
    earlier = latest_instant(now - 3 * period, period)
    assert latest_instant(now, period, anchor=earlier) == latest_instant(now, period)


def test_from_the_epoch_a_minute_is_a_full_minute() -> None:
    now = datetime(2026, 1, 5, 9, 30, 41, 123456, tzinfo=UTC)
    assert latest_instant(now, timedelta(minutes=1)) == datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
    assert latest_instant(EPOCH, timedelta(days=3)) == EPOCH


@pytest.mark.parametrize("period", [timedelta(0), timedelta(seconds=-1)])
def test_a_period_is_above_zero(period: timedelta) -> None:
    with pytest.raises(ValueError, match="above zero"):
        latest_instant(EPOCH, period)
