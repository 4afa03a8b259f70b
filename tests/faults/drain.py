"""Takes the messages out of the queues as they come, and notes when. By a connection of its own, past every proxy."""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import redis

from tests.faults.checker import Arrival
from tests.faults.laws import LISTS

_EVERY_S: Final = 0.005


def now_ms() -> int:
    """The real wall clock."""
    return time.time_ns() // 1_000_000


class Drain:
    """Takes from `LISTS`. `floors`: so many messages are left at the old end of a list. `clock`: what stamps them."""

    def __init__(
        self,
        connect: "Callable[[], redis.Redis]",
        *,
        clock: Callable[[], int] = now_ms,
        floors: Mapping[str, int] | None = None,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._floors = dict(floors or {})
        self._arrivals: list[Arrival] = []
        self._unreadable: list[str] = []
        self._noted: dict[str, list[bytes]] = {}
        self._batch = 0
        self._rounds = 0
        self._is_over = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Take what is there, and end."""
        self._is_over = True
        self._thread.join()

    @property
    def arrivals(self) -> Sequence[Arrival]:
        """What came so far."""
        with self._changed:
            assert not self._unreadable, self._unreadable[0]
            return tuple(self._arrivals)

    def mark(self, *, patience_s: float = 30.0) -> int:
        """How many messages came, when all that are in the queues now are taken."""
        with self._changed:
            rounds = self._rounds
            assert self._changed.wait_for(lambda: self._rounds >= rounds + 3, patience_s), "the server does not answer"
            return len(self._arrivals)

    def after(self, mark: int, *, patience_s: float = 60.0) -> Arrival:
        """The first message after a mark; waits for it."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._arrivals) > mark, patience_s), "no message comes"
            return self._arrivals[mark]

    def wait_for(self, condition: Callable[[Sequence[Arrival]], object], *, patience_s: float = 60.0) -> bool:
        """Wait until what came fulfils a condition; whether it did in time."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(condition(self._arrivals)), patience_s)

    def _run(self) -> None:
        client: redis.Redis | None = None
        while True:
            is_last = self._is_over
            try:
                client = client or self._connect()
                self._take(client)
            except redis.RedisError:
                if client is not None:
                    client.close()
                client = None
            if is_last:
                break
            time.sleep(_EVERY_S)
        if client is not None:
            client.close()

    def _take(self, client: "redis.Redis") -> None:
        # A server that is ended may not answer what it did last, and what a pop had taken would be gone for good. So a
        # list gets another name, under which it stays until its messages are noted.
        keys = [key for key in LISTS if key not in self._floors]
        with client.pipeline(transaction=True) as pipeline:
            for key in keys:
                pipeline.renamenx(key, _aside(key))
                pipeline.lrange(_aside(key), 0, -1)
            # There is no such list while nothing waits.
            answers = pipeline.execute(raise_on_error=False)[1::2]
        for answer in answers:
            if isinstance(answer, redis.RedisError):
                raise answer
        read = {key: found for key, found in zip(keys, answers, strict=True) if found}
        # What is found as it was noted is what nobody has answered the deletion of.
        taken: list[bytes] = []
        for key, found in read.items():
            taken += reversed(found if found != self._noted.get(key) else [])
        for key, floor in self._floors.items():
            above = client.llen(key) - floor
            newest_first: Any = client.lpop(key, above) if above > 0 else None
            taken += reversed(newest_first or [])
        self._note(taken)
        self._noted = read
        if read:
            client.delete(*map(_aside, read))

    def _note(self, taken: Sequence[bytes]) -> None:
        arrived_at = self._clock()
        with self._changed:
            self._batch += 1
            self._rounds += 1
            for text in taken:
                try:
                    self._arrivals.append(arrival_of(text, arrived_at=arrived_at, batch=self._batch))
                except (ValueError, KeyError, TypeError) as error:
                    self._unreadable.append(f"{error!r} in {text!r}")
            self._changed.notify_all()


def _aside(key: str) -> str:
    return f"{key}:taken"


def arrival_of(text: bytes, *, arrived_at: int, batch: int) -> Arrival:
    """What the headers of a message say.

    Raises:
        ValueError: it is no JSON, or an instant is none.
        KeyError: a header is missing.
    """
    headers: dict[str, Any] = json.loads(text)["headers"]
    term = headers.get("beat_term")
    return Arrival(
        job=headers["beat_job"],
        scheduled_for=_instant(headers["scheduled_for"]),
        planned_for=_instant(headers["planned_for"]),
        published_at=_instant(headers["beat_published_at"]),
        origin=headers["beat_origin"],
        term=None if term is None else int(term),
        task_id=headers["id"],
        arrived_at=arrived_at,
        batch=batch,
    )


def _instant(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() != UTC.utcoffset(None):
        raise ValueError(f"{text} is not in UTC")
    return round(moment.timestamp() * 1_000)
