"""One connection of its own to the broker's Redis, on which scripts are sent without waiting and answered later.

A plain client waits for each answer; here the server works on one script while the next one is being made. Scripts are
loaded when the connection is opened, so after a restart of the server, too. Not for several threads.
"""

from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final

from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from packages.infra.queue.broker_redis import BrokerRedis

Argument = str | bytes | int


class Script:
    """A script that stands in a file beside the module that uses it. `sha` is the name under which servers know it."""

    def __init__(self, package: str, name: str) -> None:
        self.text: Final = files(package).joinpath(name).read_text(encoding="utf-8")
        self.sha: Final = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class ScriptWire:
    """`scripts` are those that will be called. No answer is waited for longer than `timeout_s`."""

    def __init__(self, redis: BrokerRedis, scripts: Sequence[Script], *, timeout_s: float) -> None:
        self._pool = redis.client.connection_pool
        self._scripts = tuple(scripts)
        self._timeout_s = timeout_s
        self._connection: Any = None
        # How many calls wait for their answer.
        self.unanswered = 0

    def send(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> None:
        """Call a script without waiting for its answer.

        Raises:
            redis.RedisError, OSError: not sent, or nobody knows; the connection is gone, and all answers with it.
        """
        if self._connection is None:
            self._connection = self._open()
        connection = self._connection
        self.unanswered += 1
        try:
            packed = connection.pack_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
            connection.send_packed_command(packed, check_health=False)
        except BaseException:
            self.reset()
            raise

    def receive(self) -> Any:  # noqa: ANN401  # what a script returns
        """The answer to the oldest call that has none.

        Raises:
            redis.exceptions.ResponseError: the server's answer is an error; the connection is as good as before.
            redis.RedisError: no answer; the connection is gone, and all other answers with it.
        """
        if self._connection is None:
            raise RedisConnectionError("the connection is gone, and the answer with it")
        try:
            answer = self._connection.read_response(disable_decoding=True)
        except NoScriptError as error:
            # Somebody flushed the scripts; the next connection loads them again.
            self.reset()
            raise RedisConnectionError("the server has forgotten the script") from error
        except ResponseError:
            self.unanswered -= 1
            raise
        except BaseException:
            self.reset()
            raise
        self.unanswered -= 1
        return answer

    def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:  # noqa: ANN401  # as above
        """`send` and `receive`; only while nothing else is unanswered."""
        self.send(script, keys, arguments)
        return self.receive()

    def reset(self) -> None:
        """Drop the connection; what is unanswered stays so. The next call opens another one."""
        connection, self._connection = self._connection, None
        self.unanswered = 0
        if connection is not None:
            connection.disconnect()

    def _open(self) -> Any:  # noqa: ANN401  # a redis connection
        options = {
            **self._pool.connection_kwargs,
            "socket_timeout": self._timeout_s,
            "socket_connect_timeout": self._timeout_s,
            "health_check_interval": 0,
            "retry": Retry(NoBackoff(), 0),
        }
        connection = self._pool.connection_class(**options)
        try:
            connection.connect()
            for script in self._scripts:
                connection.send_command("SCRIPT", "LOAD", script.text)
                connection.read_response(disable_decoding=True)
        except (RedisError, OSError):
            connection.disconnect()
            raise
        return connection
