"""A redis client that does not wait twice for a server that does not answer.

    asking ──(no connection or no answer, and waited for)──> not asking, for five seconds: every command fails at once
      ^                                                        │
      └──────────────── the first command after that ──────────┘

So one turn of whoever uses it waits for one time limit, however many things it wants to know. What fails at once, such
as a connection that is refused, is tried each time; what the server says no to is an answer.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from redis import ConnectionPool, Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

ASKED_AGAIN_AFTER: Final = timedelta(seconds=5)
# A failure that took this long was waited for.
WAITED_FOR: Final = timedelta(milliseconds=100)


class NotAskedError(RedisConnectionError):
    """The server did not answer a moment ago, and was not asked again."""


class Silence:
    """Whether the server is taken to be silent. For several threads."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until_s = float("-inf")

    def end(self) -> None:
        """Take the server to be there again."""
        self._until_s = float("-inf")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Around one round trip.

        Raises:
            NotAskedError: the server is silent; the round trip is not made.
        """
        begun_s = self._monotonic()
        if begun_s < self._until_s:
            raise NotAskedError("the server did not answer a moment ago, and was not asked again")
        try:
            yield
        except (RedisConnectionError, RedisTimeoutError, OSError):
            ended_s = self._monotonic()
            if ended_s - begun_s >= WAITED_FOR.total_seconds():
                self._until_s = ended_s + ASKED_AGAIN_AFTER.total_seconds()
            raise


class GuardedRedis(Redis):
    """`redis.Redis` on a pool, as the module says; its pipelines, too. Nothing is tried again."""

    def __init__(self, pool: ConnectionPool, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(connection_pool=pool)
        self._silence = Silence(monotonic)

    def ask_again(self) -> None:
        """Let the next command go out, however short ago the server did not answer."""
        self._silence.end()

    def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401  # redis' own signature
        """See redis."""
        with self._silence.watched():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis has no type for it

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> "GuardedPipeline":  # noqa: ANN401, FBT001, FBT002  # as above
        """See redis."""
        pipeline = GuardedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.silence = self._silence
        return pipeline


class GuardedPipeline(Pipeline):
    """A pipeline of a `GuardedRedis`."""

    silence: Silence

    def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001, FBT002  # redis' own signature
        """See redis."""
        with self.silence.watched():
            return super().execute(raise_on_error)
