"""Messages on a broker that is Redis, and what a probe tells of them."""

from datetime import UTC, datetime, timedelta

from celery import Celery

from packages.infra.probes.probe import ProbeReadings
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.instants import SECOND_MS, to_datetime, to_instant

INTERVAL_MS = 5 * SECOND_MS
NOW = to_instant(datetime(2026, 1, 5, 12, tzinfo=UTC))


def app_on(url: str) -> Celery:
    return Celery("test", broker=url, set_as_current=False)


def send(app: Celery, queue: str = "area") -> None:
    """Of ten minutes before `NOW`, by the clock of a beat that is far from the server's."""
    at = rfc3339(to_datetime(NOW) - timedelta(minutes=10))
    with app.connection_for_write() as connection:
        app.send_task("a.b", queue=queue, headers={"beat_published_at": at}, connection=connection)


def ready(told: ProbeReadings, queue: str = "area") -> tuple[int | None, int] | None:
    """What waits, and as of when."""
    reading = told.queues.get(queue)
    return None if reading is None else (reading.value.ready, reading.taken_at)
