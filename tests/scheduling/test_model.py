"""Triggers and jobs check what they are made of."""

from datetime import timedelta

import pytest

from packages.scheduling.model import Criticality, DailyTrigger, IntervalTrigger, Job


@pytest.mark.parametrize("period", [timedelta(0), timedelta(seconds=-1), timedelta(microseconds=1500)])
def test_an_interval_is_whole_milliseconds_above_zero(period: timedelta) -> None:
    with pytest.raises(ValueError, match="milliseconds above zero"):
        IntervalTrigger(period)


@pytest.mark.parametrize(("hour", "minute"), [(24, 0), (-1, 0), (0, 60), (0, -1)])
def test_a_daily_trigger_is_a_time_of_day(hour: int, minute: int) -> None:
    with pytest.raises(ValueError, match="no time of day"):
        DailyTrigger(hour=hour, minute=minute)


def test_a_message_has_to_live() -> None:
    with pytest.raises(ValueError, match=r"area.job.*above zero"):
        Job(
            name="area.job",
            task="area.job",
            trigger=IntervalTrigger(timedelta(seconds=1)),
            queue="maintenance",
            criticality=Criticality.CRITICAL,
            expires_after=timedelta(0),
        )
