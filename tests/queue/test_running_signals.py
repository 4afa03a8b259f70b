"""Until when a worker lets the runs count that it holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from packages.infra.queue.running import LEASE
from packages.infra.queue.running_signals import held_runs
from packages.scheduling.instants import to_datetime, to_ms

NOW = 1_795_330_000_000
LEASE_MS = to_ms(LEASE)
SOON, LATE = to_datetime(NOW + 1000), to_datetime(NOW + 10 * LEASE_MS)


@dataclass
class Message:
    """A message as Celery's `Request` shows it."""

    time_start: float | None = None
    eta: datetime | None = None
    expires: datetime | None = None
    request_dict: Mapping[str, Any] = field(default_factory=lambda: {"beat_job": "a.b"})
    id: str = "x"


@pytest.mark.parametrize(
    ("message", "after_ms"),
    [
        (Message(), LEASE_MS),
        (Message(expires=SOON), 1000),
        (Message(expires=LATE), LEASE_MS),
        (Message(eta=LATE), 11 * LEASE_MS),
        (Message(eta=SOON), LEASE_MS + 1000),
        (Message(eta=LATE, expires=SOON), 1000),
        # What has begun runs on, whatever its message said.
        (Message(time_start=1.0, eta=LATE, expires=SOON), LEASE_MS),
    ],
)
def test_a_run_of_beat_counts_for_a_lease_within_what_its_message_says(message: Message, after_ms: int) -> None:
    assert held_runs([message], NOW) == {"x": NOW + after_ms}


def test_another_message_does_not_count() -> None:
    assert held_runs([Message(request_dict={})], NOW) == {}
