"""The lease in the broker's Redis: one key that ends by itself, and the highest term that was ever given beside it."""

import logging
from typing import Final

from packages.infra.beat.lease_store import Holder
from packages.infra.beat.redis_away import store_away
from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.script_wire import Script, ScriptWire

log = logging.getLogger(__name__)

KEEP: Final = Script("packages.infra.beat", "lease.lua")
RESIGN: Final = Script("packages.infra.beat", "resign.lua")
# A process that is asked to end waits no longer than this for a broker that does not answer.
_RESIGNS_WITHIN_S: Final = 0.5


class RedisLease:
    """See `packages.infra.beat.lease.LeaseStore`. `wire` has `KEEP`; nothing may be unanswered on it."""

    def __init__(self, redis: BrokerRedis, wire: ScriptWire) -> None:
        self._redis = redis
        self._wire = wire
        self._key = redis.key("beat:lease")
        self._keys = (self._key, redis.key("beat:term"), redis.key("beat:claims"))

    def keep(self, owner: str, *, remembered: int, period_ms: int) -> Holder:
        """See `LeaseStore`."""
        with store_away():
            answer = self._wire.call(KEEP, self._keys, (owner, remembered, period_ms))
        mine, term, holder, ends_in_ms, now, set_aside, before = answer
        for number in set_aside:
            key = self._keys[int(number) - 1]
            log.warning("stored_value_quarantined", extra={"key": key, "field": "", "error": "it is not ours"})
        return Holder(
            is_mine=bool(mine),
            term=int(term),
            owner=holder.decode(errors="replace"),
            ends_in_ms=int(ends_in_ms),
            server_now=int(now),
            term_before=int(before),
        )

    def resign(self, owner: str) -> None:
        """See `LeaseStore`: by a connection of its own, for the other one may be in the middle of an answer."""
        wire = ScriptWire(self._redis, (RESIGN,), timeout_s=_RESIGNS_WITHIN_S)
        try:
            with store_away():
                wire.call(RESIGN, (self._key,), (owner,))
        finally:
            wire.reset()
