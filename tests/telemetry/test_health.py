"""When beat counts as live and as ready."""

from datetime import timedelta

import pytest

from packages.infra.beat.standing import Standing, Trouble
from packages.infra.telemetry.health import TICKS_WITHIN, Health, live, ready

LIMIT_S = TICKS_WITHIN.total_seconds()


@pytest.mark.parametrize(
    ("ticked_at_s", "is_live", "age_s"),
    [
        (100.0, True, 0.0),
        (100.0 - LIMIT_S, True, LIMIT_S),
        (100.0 - LIMIT_S - 0.001, False, LIMIT_S + 0.001),
        (None, False, None),
        # A tick ended after the probe had looked at the clock.
        (100.1, True, 0.0),
    ],
)
def test_beat_lives_while_it_ticks(ticked_at_s: float | None, is_live: bool, age_s: float | None) -> None:  # noqa: FBT001  # a column
    health = live(ticked_at_s=ticked_at_s, now_s=100.0)
    assert health == Health(is_live, {"live": is_live, "last_tick_age_s": age_s})


def test_the_limit_can_be_another() -> None:
    assert not live(ticked_at_s=0.0, now_s=2.0, limit=timedelta(seconds=1)).is_well


@pytest.mark.parametrize(
    ("standing", "is_ready"),
    [(Standing.LEADING, True), (Standing.FOLLOWING, True), (Standing.NO_BROKER, False), (None, False)],
)
def test_whoever_publishes_or_could_is_ready(standing: Standing | None, is_ready: bool) -> None:  # noqa: FBT001  # a column
    health = ready(standing=standing, term=7, trouble=Trouble.LOADING)
    assert health.is_well is is_ready
    assert health.facts == {"ready": is_ready, "standing": standing, "term": 7, "trouble": "loading"}
