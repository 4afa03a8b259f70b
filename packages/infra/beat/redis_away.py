"""What a Redis that cannot be reached, or refuses, is to whoever keeps something in it: a store that is away."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from packages.infra.beat.state_store import StoreAwayError


@contextmanager
def store_away() -> Iterator[None]:
    """Around what asks the server.

    Raises:
        StoreAwayError: it raised an error of redis or of the system, which is the cause.
    """
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreAwayError(str(error)) from error
