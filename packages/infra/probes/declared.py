"""How many messages wait in a queue, and who consumes it: asked of any broker by declaring it passively.

That changes nothing. The transports that kombu makes out of something else (a directory, SQS, its own memory) answer as
well, with 0 consumers each time, which they do not count.
"""

from typing import Any, Final, NamedTuple

from kombu import Connection
from kombu.exceptions import ChannelError
from kombu.transport import virtual

_NOT_FOUND: Final = "404"


class Declared(NamedTuple):
    """Of one queue: `ready`, the messages that wait, and `consumers`. None is what the broker does not say."""

    ready: int | None
    consumers: int | None = None


class DeclaredQueues:
    """Asks over one channel of a connection that nobody else uses. Unacknowledged messages do not count."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Any = None

    def ask(self, queue: str) -> Declared:
        """What the broker says of a queue; in one that nobody declared yet nothing waits.

        Raises:
            kombu.exceptions.OperationalError: the broker cannot be reached; it is tried once.
            Exception: what its driver raises when it goes away; the next call connects again.
        """
        try:
            if self._channel is None:
                self._connection.ensure_connection(max_retries=0)
                self._channel = self._connection.channel()
            answer = self._channel.queue_declare(queue=queue, passive=True)
        except ChannelError as error:
            # AMQP closes the channel of a declaration that fails.
            channel, self._channel = self._channel, None
            self._connection.maybe_close_channel(channel)
            return _told(channel, 0, 0) if str(error.reply_code) == _NOT_FOUND else Declared(None)
        except BaseException:
            self._channel = None
            # Without a farewell, which a broker that does not answer would be waited for, too.
            self._connection.collect()
            raise
        return _told(self._channel, answer.message_count, answer.consumer_count)

    def close(self) -> None:
        """Let go of the connection; the next call opens it again."""
        self._channel = None
        self._connection.release()


def _told(channel: object, ready: int | None, consumers: int | None) -> Declared:
    counts = not isinstance(channel, virtual.Channel)
    return Declared(None if ready is None else int(ready), int(consumers) if counts and consumers is not None else None)
