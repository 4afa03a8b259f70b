"""How many messages wait in a queue, asked of any broker by declaring the queue passively, which changes nothing."""

from typing import Any, Final

from kombu import Connection
from kombu.exceptions import ChannelError

_NOT_FOUND: Final = "404"


class DeclaredQueues:
    """Asks over one channel of a connection that nobody else uses. Unacknowledged messages do not count."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Any = None

    def ready(self, queue: str) -> int | None:
        """The messages that wait; 0 for a queue that nobody declared yet; None if the broker does not say.

        Raises:
            kombu.exceptions.OperationalError: the broker cannot be reached; it is tried once.
            Exception: what its driver raises when it goes away; the next call connects again.
        """
        try:
            if self._channel is None:
                self._connection.ensure_connection(max_retries=0)
                self._channel = self._connection.channel()
            count = self._channel.queue_declare(queue=queue, passive=True).message_count
        except ChannelError as error:
            # AMQP closes the channel of a declaration that fails.
            channel, self._channel = self._channel, None
            self._connection.maybe_close_channel(channel)
            return 0 if str(error.reply_code) == _NOT_FOUND else None
        except BaseException:
            self._channel = None
            # Without a farewell, which a broker that does not answer would be waited for, too.
            self._connection.collect()
            raise
        return None if count is None else int(count)

    def close(self) -> None:
        """Let go of the connection; the next call opens it again."""
        self._channel = None
        self._connection.release()
