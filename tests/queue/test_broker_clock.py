"""The instant by the broker's clock, of which now and then somebody tells."""

import pytest

from packages.infra.queue.broker_clock import DISTANT_MS, BrokerClock
from tests.queue.ended_runs import NOW, Clock


@pytest.mark.parametrize("ahead_ms", [-90_000, -3, 0, 12_345])
def test_it_is_the_own_one_until_the_broker_has_told(ahead_ms: int) -> None:
    own = Clock()
    clock = BrokerClock(own)
    assert clock() == NOW
    clock.hear(lambda: NOW - ahead_ms)
    own.now += 7
    assert clock() == NOW - ahead_ms + 7


@pytest.mark.parametrize(("took_ms", "believed"), [(-1, False), (2_000, True), (2_001, False)])
def test_what_took_long_to_come_is_not_believed(took_ms: int, *, believed: bool) -> None:
    own = Clock()
    clock = BrokerClock(own)

    def ask() -> int:
        own.now += took_ms
        return NOW + 50_000

    clock.hear(ask)
    assert clock() == (NOW + 50_000 + took_ms // 2 if believed else own.now)


def test_a_clock_that_is_far_off_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = BrokerClock(Clock())
    told_at = [NOW + behind_ms for behind_ms in (DISTANT_MS - 1, DISTANT_MS, DISTANT_MS + 1, 0, -DISTANT_MS)]
    while told_at:
        clock.hear(lambda: told_at.pop(0))
    told = [(record.getMessage(), getattr(record, "ahead_ms", None)) for record in caplog.records]
    assert told == [("clock_differs_from_broker", -DISTANT_MS), ("clock_differs_from_broker", DISTANT_MS)]


def test_a_broker_that_is_away_leaves_it_as_it_was() -> None:
    clock = BrokerClock(Clock())
    clock.hear(lambda: NOW + 5)

    def away() -> int:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        clock.hear(away)
    assert clock() == NOW + 5
