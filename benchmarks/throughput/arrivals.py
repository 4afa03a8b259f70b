"""When each message came: the queue's length, read every two milliseconds, against the order of the messages.

Nothing is taken out of the queue while beat runs, so that no reader takes the processor from it: the i-th message came
when the queue was first seen to be longer than i.
"""

import base64
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import redis

from benchmarks.throughput.run import QUEUE
from benchmarks.throughput.server import Server

_EVERY_S = 0.002
_AT_A_TIME = 5_000


class Arrival(NamedTuple):
    """One message: when it was seen (epoch, seconds), the number of its entry, its id, its headers."""

    at: float
    number: int
    task_id: str
    headers: dict[str, Any]


class Watch:
    """Reads the length of the queue from a thread of its own, for the length of a block."""

    def __init__(self, server: Server) -> None:
        self.length = 0
        self._client = server.client()
        # When it was first seen to be so long.
        self._seen: list[tuple[float, int]] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._client.close()

    def stop(self) -> list[Arrival]:
        """Look a last time, when beat has ended: all messages in their order. They stay in the queue."""
        self._is_over.set()
        self._thread.join()
        self._note()
        times = self._times()
        return [
            Arrival(next(times), number, headers["id"], headers)
            for headers, number in (_read(raw) for raw in _messages(self._client))
        ]

    def _times(self) -> Iterator[float]:
        before = 0
        for at, length in self._seen:
            yield from [at] * (length - before)
            before = length

    def _look(self) -> None:
        while not self._is_over.is_set():
            self._note()
            time.sleep(_EVERY_S)

    def _note(self) -> None:
        length = int(self._client.llen(QUEUE))
        if length != self.length:
            self._seen.append((time.time(), length))
            self.length = length


def _messages(client: redis.Redis) -> Iterator[bytes | str]:
    """Oldest first: they are pushed at the list's head."""
    end = -1
    while chunk := client.lrange(QUEUE, end - _AT_A_TIME + 1, end):
        yield from reversed(chunk)
        end -= len(chunk)


def _read(raw: bytes | str) -> tuple[dict[str, Any], int]:
    message = json.loads(raw)
    return message["headers"], int(json.loads(base64.b64decode(message["body"]))[0][0])
