"""kombu's Redis transport, mended for a broker that goes away while messages are unacknowledged.

kombu 5.7 gives held messages back when a channel closes. When its connection was collected before, that raises an
AttributeError in the middle of Celery's reconnection and ends the worker (the same trace as kombu issue 582). Here such
a channel remembers its messages instead, and the next channel of the process settles them:

    held, task running        left alone until the task ends
    held, task ended          acknowledged (removed)
    held, task never started  given back to its queue

Nothing else of the transport is changed.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

# This process's messages whose channel was lost, and those of them that were acknowledged since. Tags are unique.
_lost: set[str] = set()
_acknowledged: set[str] = set()


class QoS(redis.QoS):
    """Remembers what a lost channel held, and settles it on the next one."""

    def restore_unacked_once(self, stderr: Any = None) -> None:  # noqa: ANN401  # kombu's own signature
        """Give back what is held; when the server is gone, remember it."""
        if self.channel.connection.client is not None:
            super().restore_unacked_once(stderr)
            return
        unchecked: Any = self  # celery-types does not know these
        unchecked._on_collect.cancel()  # noqa: SLF001  # the first two steps of the method that this replaces
        unchecked._flush()  # noqa: SLF001  # as above
        _lost.update(unchecked._delivered)  # noqa: SLF001  # as above
        unchecked._delivered.clear()  # noqa: SLF001  # as above
        unchecked._delivered.restored = True  # noqa: SLF001  # as above

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge; for a message of a lost channel the next one does it."""
        if delivery_tag in _lost:
            _lost.discard(delivery_tag)
            _acknowledged.add(delivery_tag)
        else:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002  # kombu's own signature
        """Reject; for a message of a lost channel the next one does it."""
        if delivery_tag not in _lost:
            super().reject(delivery_tag, requeue=requeue)
        elif not requeue:
            self.ack(delivery_tag)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # kombu's own signature
        """Settle what lost channels held, then do what kombu does; called at once on a new channel, then regularly."""
        for tag in tuple(_acknowledged):
            unchecked: Any = self  # celery-types does not know it
            unchecked._remove_from_indices(tag).execute()  # noqa: SLF001  # what `ack` of the parent does
            _acknowledged.discard(tag)
        # Imported here: beat uses this transport, too, and knows no worker.
        from celery.worker.state import active_requests

        running = {request.message.delivery_tag for request in tuple(active_requests)}
        for tag in tuple(_lost - running):
            self.restore_by_tag(tag)
            _lost.discard(tag)
        super().restore_visible(*args, **kwargs)


class Channel(redis.Channel):
    """A Redis channel with the mended QoS."""

    QoS = QoS


class Transport(redis.Transport):
    """The Redis transport with the mended channel."""

    Channel = Channel


def use_mended_transport() -> None:
    """Let `redis://` and `rediss://` mean this transport, in this process; kombu's table of names is for that."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
