"""The state of the adaptive control in Redis: one text, `<ns>:beat:controllers`, beside the lease.

Beat writes it by the commit of the tick that used it; whoever wants to know what is throttled reads it.
"""

import logging
from typing import Final

from redis.exceptions import ResponseError

from packages.infra.beat.stored_controllers import controllers_of
from packages.infra.beat.stored_values import ForeignValueError
from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.control.controllers import Controllers

log = logging.getLogger(__name__)

_ANOTHER_KIND: Final = "WRONGTYPE"


class KeptControllers:
    """Every method raises `redis.RedisError` while Redis cannot be reached."""

    def __init__(self, redis: BrokerRedis) -> None:
        self._client = redis.client
        self._key = redis.key("beat:controllers")

    def read(self) -> Controllers | None:
        """What is kept; None if nothing is.

        Raises:
            ForeignValueError: it is not what this version has written.
        """
        try:
            text: bytes | None = self._client.get(self._key)
        except ResponseError as error:
            if not str(error).startswith(_ANOTHER_KIND):
                raise
            raise ForeignValueError("the key is of another kind") from error
        return None if text is None else controllers_of(text)

    def write(self, text: str) -> None:
        """Keep this text, whatever was there."""
        self._client.set(self._key, text)

    def set_aside(self, error: ForeignValueError) -> None:
        """Keep what cannot be read under another name, with a warning."""
        self._client.rename(self._key, f"{self._key}:quarantine")
        log.warning("stored_value_quarantined", extra={"key": self._key, "field": "", "error": str(error)})
