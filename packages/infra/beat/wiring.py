"""What beat keeps and asks for, opened for one app: in the broker's Redis, else in the process with a warning.

The one place of this package that knows which class stands behind which port.
"""

import logging
from dataclasses import dataclass
from typing import Final

from celery import Celery

from packages.infra.beat.beat_status import BeatStatusStore
from packages.infra.beat.broker_readings import BrokerReadings
from packages.infra.beat.decision_sink import DecisionSink, MemoryDecisions
from packages.infra.beat.readings import Readings
from packages.infra.beat.redis_decisions import RedisDecisions
from packages.infra.beat.redis_state import RedisStateStore
from packages.infra.beat.state_store import MemoryStateStore, StateStore
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis

log = logging.getLogger(__name__)

# A setting of the app: makes the calendars of some markets, as of an instant.
CALENDARS_SETTING: Final = "beat_calendars"


@dataclass(frozen=True, slots=True)
class Opened:
    """What one scheduler works with. `redis` and `status` are None where the broker is no Redis."""

    store: StateStore
    decisions: DecisionSink
    readings: Readings
    redis: BrokerRedis | None
    status: BeatStatusStore | None = None

    def ask_again(self) -> None:
        """Let nothing be left out because Redis did not answer a moment ago."""
        if self.redis is not None:
            self.redis.ask_again()

    def close(self) -> None:
        """Let go of the connections."""
        self.readings.close()
        if self.redis is not None:
            self.redis.close()


def open_for(app: Celery) -> Opened:
    """Open what beat needs beside the messages.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    redis = open_broker_redis(app)
    calendars = app.conf.get(CALENDARS_SETTING)
    if redis is None:
        log.warning("state_is_in_process_only", extra={"reason": "the broker is not Redis"})
        return Opened(MemoryStateStore(), MemoryDecisions(), BrokerReadings(None, calendars), None)
    return Opened(
        store=RedisStateStore(redis),
        decisions=RedisDecisions(redis),
        readings=BrokerReadings(redis, calendars),
        redis=redis,
        status=BeatStatusStore(redis),
    )
