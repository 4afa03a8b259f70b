"""What is wrong with a broker that answers: one that takes no writes, or that loads; asked of its own INFO."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from packages.infra.queue.broker_redis import open_broker_redis

if TYPE_CHECKING:
    from packages.infra.beat.standing import Trouble


def broker_trouble(app: Celery) -> "Trouble | None":
    """Why the broker takes nothing although it answers; None if it does, and on a broker that is not Redis.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    redis = open_broker_redis(app)
    if redis is None:
        return None
    try:
        return trouble_in(redis.client.info())
    except RedisError as error:
        raise OperationalError(str(error)) from error
    finally:
        redis.close()


def trouble_in(info: Mapping[str, Any]) -> "Trouble | None":
    """What the answer to INFO says of it."""
    # Imported here: most commands need nothing of beat.
    from packages.infra.beat.standing import Trouble

    if info.get("loading"):
        return Trouble.LOADING
    if info.get("role") == "slave" and info.get("slave_read_only", 1):
        return Trouble.READ_ONLY
    limit = info.get("maxmemory", 0)
    if limit and info.get("used_memory", 0) >= limit and info.get("maxmemory_policy") == "noeviction":
        return Trouble.FULL
    return None
