"""Where the operator's word is kept for a given broker."""

import logging

from packages.infra.control.control import ControlStore
from packages.infra.control.memory_control import MemoryControl
from packages.infra.control.redis_control import RedisControl
from packages.infra.queue.broker_redis import BrokerRedis

log = logging.getLogger(__name__)


def control_store(redis: BrokerRedis | None) -> ControlStore:
    """The store in the broker's Redis; without one a store in this process, which no command can reach."""
    if redis is None:
        log.warning("control_is_in_process_only", extra={"reason": "the broker is not Redis"})
        return MemoryControl()
    return RedisControl(redis)
