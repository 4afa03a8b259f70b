"""The messages that wait in the queues of a Redis broker: one call of one script, however many queues there are.

A message is looked at on the server, and comes here without its body: the call costs the server about a millisecond for
a megabyte of messages looked at, `_LOOKED_AT_BYTES` of them and one message more at most, and the way here some
kilobytes for each list that is not empty. Decides nothing.

A message's age is by the clock of who asks: beat's, which has dated it, too. The server's may be another one. A
message of the future, dated by another replica or before the clock was set back, does not say how old it is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.script_wire import Script
from packages.scheduling.instants import SECOND_MS, to_instant

_SCRIPT: Final = Script("packages.infra.probes", "waiting.lua")
# What Celery puts beside a body is a fraction of this, unless somebody adds long headers.
_GIVEN_BACK_BYTES: Final = 8 * 1024
_LOOKED_AT_BYTES: Final = 8 * 1024 * 1024
# What has just been published may be dated later than the tick began, or by a clock that is a little ahead.
_AHEAD_MS: Final = SECOND_MS


class Waiting(NamedTuple):
    """Of one queue: how many messages wait, and for how long the oldest has. None is not known, or does not say."""

    ready: int | None
    oldest_ms: int | None


class RedisQueues:
    """Asks about queues by name, as kombu keeps them: a list for each step of priority. `ask` and `take` in turns."""

    def __init__(self, redis: BrokerRedis) -> None:
        self._channel = redis.channel
        self._lists: dict[str, list[str]] = {}
        self._asked: Sequence[str] = ()

    def ask(self, pipe: Any, queues: Sequence[str]) -> None:  # noqa: ANN401  # a redis pipeline
        """Add the one command that tells."""
        self._asked = queues
        self._lists = {queue: self._lists.get(queue) or self._lists_of(queue) for queue in queues}
        keys = [key for queue in queues for key in self._lists[queue]]
        pipe.eval(_SCRIPT.text, len(keys), *keys, _GIVEN_BACK_BYTES, _LOOKED_AT_BYTES)

    def take(self, answer: Any, now: int) -> Mapping[str, Waiting]:  # noqa: ANN401  # what a script returns
        """The answer to that command, by queue; it was asked at `now` by beat's clock.

        Raises:
            redis.exceptions.ResponseError: the answer is that error.
        """
        if isinstance(answer, Exception):
            raise answer
        told = _pairs(answer)
        return {queue: _waiting([next(told) for _ in self._lists[queue]], now) for queue in self._asked}

    def _lists_of(self, queue: str) -> list[str]:
        # Twice the same one if two steps are: each counts once.
        keys = dict.fromkeys(
            self._channel._q_for_pri(queue, step)  # noqa: SLF001  # the one place that knows how the lists are called
            for step in self._channel.priority_steps
        )
        return [f"{self._channel.global_keyprefix}{key}" for key in keys]


def _pairs(flat: Sequence[Any]) -> Iterator[tuple[int, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _waiting(lists: Sequence[tuple[int, bytes]], now: int) -> Waiting:
    """One queue, out of its lists. A list that is none, or an oldest message that does not say, leaves it unknown."""
    if any(length < 0 for length, _ in lists):
        return Waiting(None, None)
    ready = sum(length for length, _ in lists)
    if not ready:
        return Waiting(0, 0)
    published = [_published_at(message) for length, message in lists if length]
    known = [at for at in published if at is not None and at <= now + _AHEAD_MS]
    return Waiting(ready, max(0, now - min(known)) if len(known) == len(published) else None)


def _published_at(message: bytes) -> int | None:
    """When beat published a message; None if it is none of beat's, or was published again to be tried again."""
    try:
        headers: Any = json.loads(message)["headers"]
        if headers.get("retries"):
            # It brings the instant of the first time along, and has not waited here since then.
            return None
        return to_instant(datetime.fromisoformat(headers["beat_published_at"]))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError):
        return None
