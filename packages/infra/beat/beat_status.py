"""What beat says of itself for `minsy status`: that it lives, what it put aside, and how far its calendars reach.

One hash, `<ns>:beat:status`, of one field for each fact; written now and then, read by whoever wants to know. It stays
when beat ends: the age of the last tick tells.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT

WRITTEN_EVERY: Final = timedelta(seconds=5)
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class BeatStatus:
    """As of `last_tick`, an instant. `quarantined`: why, by job. `days_left`: whole days, by market of a calendar."""

    last_tick: int
    jobs: int
    quarantined: Mapping[str, str] = field(default_factory=dict)
    days_left: Mapping[str, int] = field(default_factory=dict)


class BeatStatusStore:
    """In the broker's Redis. Both methods raise `redis.RedisError` when it cannot be reached."""

    def __init__(self, redis: BrokerRedis) -> None:
        self._client = redis.client
        self._key = redis.key("beat:status")

    def write(self, status: BeatStatus) -> None:
        """Put this in place of what was said before."""
        fields = {
            "v": _VERSION,
            "last_tick": status.last_tick,
            "jobs": status.jobs,
            "quarantined": json.dumps(dict(status.quarantined)),
            "days_left": json.dumps(dict(status.days_left)),
        }
        self._client.hset(self._key, mapping=fields)

    def read(self) -> BeatStatus | None:
        """What was said last; None if nothing was, or not in this form."""
        found: Mapping[bytes, bytes] = self._client.hgetall(self._key)
        try:
            return _status({name.decode(): text.decode() for name, text in found.items()})
        except (ValueError, TypeError, KeyError, RecursionError):
            return None


def _status(fields: Mapping[str, str]) -> BeatStatus | None:
    if fields.get("v") != str(_VERSION):
        return None
    last_tick = int(fields["last_tick"])
    if not FIRST_INSTANT <= last_tick <= LAST_INSTANT:
        return None
    quarantined, days_left = _mapping(fields["quarantined"]), _mapping(fields["days_left"])
    return BeatStatus(
        last_tick=last_tick,
        jobs=int(fields["jobs"]),
        quarantined={name: str(why) for name, why in quarantined.items()},
        days_left={market: int(days) for market, days in days_left.items()},
    )


def _mapping(text: str) -> dict[str, Any]:
    values = json.loads(text)
    if not isinstance(values, dict):
        raise TypeError("no object")
    return values
