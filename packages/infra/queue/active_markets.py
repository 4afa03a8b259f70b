"""Which markets the active subscriptions trade on, told by worker_io to beat, which knows no database.

`<ns>:active_markets` has the set and the instant at which it was true, as versioned JSON. An old one counts as none.
"""

import json
from typing import Any, Final

from redis.exceptions import RedisError

from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.instants import MINUTE_MS
from packages.scheduling.snapshot import Reading

OLDEST_MS: Final = 10 * MINUTE_MS
_VERSION: Final = 1


class ActiveMarketsStore:
    """The markets in use, in the broker's Redis."""

    def __init__(self, redis: BrokerRedis) -> None:
        self._client = redis.client
        self._key = redis.key("active_markets")

    def write(self, markets: frozenset[str], now: int) -> None:
        """Say which markets are in use at the instant `now`.

        Raises:
            redis.RedisError: Redis cannot be reached.
        """
        self._client.set(self._key, json.dumps({"v": _VERSION, "markets": sorted(markets), "taken_at": now}))

    def read(self, now: int) -> Reading[frozenset[str]] | None:
        """What was said last; None if that is too long ago or from the future, or cannot be read. Never raises."""
        try:
            text = self._client.get(self._key)
        except RedisError:
            # Who asks for this asks for the pauses, too, and says that Redis is away.
            return None
        reading = _decode(text) if text is not None else None
        return reading if reading is not None and abs(now - reading.taken_at) <= OLDEST_MS else None


def _decode(text: bytes) -> Reading[frozenset[str]] | None:
    try:
        values: Any = json.loads(text)
        markets, taken_at = values["markets"], values["taken_at"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    is_ours = values["v"] == _VERSION if "v" in values else False
    if not (is_ours and isinstance(markets, list) and isinstance(taken_at, int)):
        return None
    return Reading(frozenset(market for market in markets if isinstance(market, str)), taken_at)
