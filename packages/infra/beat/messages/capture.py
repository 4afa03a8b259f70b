"""Keeps what one kombu producer would send to a Redis broker, so that it can be committed together with other things.

The producer and its channel do all of their work: serializing, compressing, declaring queues, reading bindings,
choosing keys by priority. Only the last commands, which would put the message into the broker, are kept back. kombu
hands them to whoever has opened a publish batch on the producer; a `Capture` stands in the place of such a batch.

Decides nothing. What is published in another way, or by another thread, goes out as ever.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from packages.infra.beat.messages.message import Push, Route


class Capture:
    """What was kept back, in its order: `pushes`. Stands where kombu has a batch, and so has a batch's methods."""

    def __init__(self) -> None:
        self.pushes: list[Push] = []
        self._prefix = ""

    def publish(self, channel: Any, message: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # kombu's own signature
        """Let the channel route a finished message, and hand its last commands over."""
        # kombu's client puts it before each key; its pipeline does, in a batch.
        self._prefix = channel.global_keyprefix
        return channel.basic_publish(message, _publish_batch=self, **kwargs)

    def add(self, command: str, key: str, value: Any) -> None:  # noqa: ANN401  # a payload, or milliseconds
        """Keep one command of a message: LPUSH or PUBLISH, and PEXPIRE for a queue that expires.

        Raises:
            NotImplementedError: kombu puts messages in a way that is not known here.
        """
        key = f"{self._prefix}{key}"
        match command:
            case "lpush":
                self.pushes.append(Push(Route(key), value))
            case "publish":
                self.pushes.append(Push(Route(key, is_fanout=True), value))
            case "pexpire" if self.pushes:
                route, payload = self.pushes[-1]
                self.pushes[-1] = Push(route._replace(expires=(*route.expires, (key, int(value)))), payload)
            case _:
                raise NotImplementedError(f"a message is put by {command!r}; known are lpush, publish and pexpire")

    def flush(self) -> None:
        """Nothing is sent before the commit; for code that opens a batch of its own meanwhile."""

    def abort(self) -> None:
        """Such code gave up: what it wanted to send is not to be sent."""
        self.pushes.clear()

    def close(self) -> None:
        """Nothing is held open."""


@contextmanager
def captured(producer: Any) -> Iterator[Capture]:  # noqa: ANN401  # a kombu producer, or what somebody put in its place
    """Keep back what `producer` would send in this thread, inside the block.

    A producer that is not of kombu's class sends in its own way, as all code that is somebody's own.
    """
    capture = Capture()
    # `Producer.batch` is not enough: what it collects is sent at its end.
    batches = getattr(producer, "_batch_local", None)
    before = getattr(batches, "current", None)
    if batches is None:
        yield capture
        return
    batches.current = capture
    try:
        yield capture
    finally:
        batches.current = before
