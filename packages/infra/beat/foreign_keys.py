"""A key of ours that holds something of another kind: it is kept under another name, and told of."""

import logging
from typing import Any

log = logging.getLogger(__name__)


def set_key_aside(client: Any, key: str) -> None:  # noqa: ANN401  # a redis client
    """Rename a key, so that the next one who asks for it finds none.

    Raises:
        redis.RedisError, OSError: it stays where it is.
    """
    client.rename(key, f"{key}:foreign")
    log.warning("stored_value_quarantined", extra={"key": key, "field": "", "error": "the key is of another kind"})
