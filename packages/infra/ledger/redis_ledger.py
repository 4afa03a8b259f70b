"""The ledger in Redis: one stream of about as many entries as it is to keep, the oldest trimmed away.

    t   the number of the tick
    s   the record of the tick, or
    j   a job, with
    d   a decision on it

Where a publisher commits by a script that script writes the same entries, and `append` is not used.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final

from celery import Celery
from celery.exceptions import ImproperlyConfigured
from redis.exceptions import ResponseError

from packages.infra.beat.foreign_keys import set_key_aside
from packages.infra.beat.redis_away import store_away
from packages.infra.beat.stored_values import ForeignValueError
from packages.infra.ledger.ledger import LENGTH, LENGTH_SETTING, Entry
from packages.infra.ledger.records import decision_of, decision_text, tick_of
from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.decision import Decision

log = logging.getLogger(__name__)

# So many go over the wire at once.
_PER_CHUNK: Final = 1_000
_FIRST: Final = "-"
_LAST: Final = "+"


def length_of(app: Celery) -> int:
    """About how many entries the app's ledger keeps: its setting `beat_ledger_length`, else 100,000.

    Raises:
        celery.exceptions.ImproperlyConfigured: it is no number above zero.
    """
    length = app.conf.get(LENGTH_SETTING, LENGTH)
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise ImproperlyConfigured(f"{LENGTH_SETTING} must be a whole number above zero, not {length!r}")
    return length


class RedisLedger:
    """See `Ledger`. `look_at_most`: `read` goes back no further than so many entries."""

    def __init__(self, redis: BrokerRedis, *, length: int = LENGTH, look_at_most: int = LENGTH) -> None:
        self._client = redis.client
        self._key = redis.key("ledger")
        self._length = length
        self._look_at_most = look_at_most

    def append(self, tick: str, tick_record: str, decisions: Sequence[Decision]) -> None:
        """See `Ledger`; one round trip for each thousand decisions."""
        if not decisions:
            return
        entries = [{"t": tick, "j": decision.job, "d": decision_text(decision)} for decision in decisions]
        if tick_record:
            entries.insert(0, {"t": tick, "s": tick_record})
        with store_away():
            for start in range(0, len(entries), _PER_CHUNK):
                chunk = entries[start : start + _PER_CHUNK]
                try:
                    self._add(chunk)
                except ResponseError as error:
                    # Nothing of the chunk is in there.
                    self._set_aside(error)
                    self._add(chunk)

    def read(self, job: str | None, limit: int) -> list[Decision]:
        """See `Ledger`; what another version has written is left out, with a warning."""
        wanted = None if job is None else job.encode(errors="backslashreplace")
        found: list[Decision] = []
        foreign = _Foreign(self._key)
        looked_at, last = 0, _LAST
        while looked_at < self._look_at_most and len(found) < limit:
            count = min(_PER_CHUNK, self._look_at_most - looked_at)
            chunk = self._range(backwards=True, bound=last, count=count)
            for _, fields in chunk:
                if b"s" in fields or (wanted is not None and fields.get(b"j") not in {wanted, None}):
                    continue
                try:
                    found.append(_decision(fields))
                except ForeignValueError as error:
                    foreign.add(error)
            looked_at += len(chunk)
            if len(chunk) < count:
                break
            last = f"({_text(chunk[-1][0])}"
        foreign.say()
        return found[:limit]

    def entries(self, after: str, limit: int) -> list[Entry]:
        """See `Ledger`; what another version has written is left out, with a warning."""
        found: list[Entry] = []
        foreign = _Foreign(self._key)
        first = f"({after}" if after else _FIRST
        while len(found) < limit and (
            chunk := self._range(backwards=False, bound=first, count=min(_PER_CHUNK, limit - len(found)))
        ):
            for id_, fields in chunk:
                try:
                    found.append(_entry(_text(id_), fields))
                except ForeignValueError as error:
                    foreign.add(error)
            first = f"({_text(chunk[-1][0])}"
        foreign.say()
        return found

    def _add(self, entries: Sequence[dict[str, str]]) -> None:
        with self._client.pipeline(transaction=False) as pipeline:
            for entry in entries:
                pipeline.xadd(self._key, entry, maxlen=self._length, approximate=True)
            pipeline.execute()

    def _range(self, *, backwards: bool, bound: str, count: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        with store_away():
            try:
                if backwards:
                    answer = self._client.xrevrange(self._key, max=bound, min=_FIRST, count=count)
                else:
                    answer = self._client.xrange(self._key, min=bound, max=_LAST, count=count)
            except ResponseError as error:
                self._set_aside(error)
                return []
        return list(answer)

    def _set_aside(self, error: ResponseError) -> None:
        """Move away a key of another kind that stands where the stream belongs; any other error goes on."""
        if "WRONGTYPE" not in str(error):
            raise error
        set_key_aside(self._client, self._key)


class _Foreign:
    """What could not be read, told once for all."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._count = 0
        self._first: ForeignValueError | None = None

    def add(self, error: ForeignValueError) -> None:
        self._first = self._first or error
        self._count += 1

    def say(self) -> None:
        if self._count:
            fields = {"key": self._key, "count": self._count, "error": str(self._first)}
            log.warning("stored_value_left_out", extra=fields)


def _entry(id_: str, fields: dict[bytes, bytes]) -> Entry:
    tick = _text(fields.get(b"t", b""))
    if b"s" in fields:
        return Entry(id_, tick, tick_of(fields[b"s"]))
    return Entry(id_, tick, _decision(fields))


def _decision(fields: dict[bytes, bytes]) -> Decision:
    job = fields.get(b"j")
    if job is None:
        raise ForeignValueError("an entry without a job")
    return decision_of(_text(job), fields.get(b"d", b""))


def _text(value: Any) -> str:  # noqa: ANN401  # as the client decodes it
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
