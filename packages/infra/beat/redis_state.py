"""The states of the jobs in the broker's Redis: one hash for the states, one for the anchors, a field for each job.

Beside them stands the state of the adaptive control, one text. A value that cannot be read is moved to a key of its own
(`...:quarantine`), with a warning, and counts as none.
"""

import logging
from collections.abc import Collection, Container, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import chain, islice
from typing import Any, Final

from packages.infra.beat.foreign_keys import set_key_aside
from packages.infra.beat.kept_controllers import KeptControllers
from packages.infra.beat.redis_away import store_away
from packages.infra.beat.state_store import ABSENT_FOR_MS
from packages.infra.beat.stored_values import ForeignValueError, state_of, state_text
from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.control.controllers import Controllers
from packages.scheduling.state import JobState

log = logging.getLogger(__name__)

# So many fields go into one command; a hundred thousand in one would hold up everybody else on the server.
_BATCH: Final = 5_000
# Each part is a round trip, and while they are made the lease is not renewed.
_SCANNED_AT_ONCE: Final = 20_000
# A script holds up the server, too, and has an end of its own to its arguments.
_PER_SCRIPT: Final = 1_000
# For more fields than this it is cheaper to fetch the whole hash than to name them.
_NAME_AT_MOST: Final = 1_000

# KEYS[1]: the hash. ARGV: a field and the value proposed for it, again and again. Returns what they are now.
_PROPOSE: Final = """
local kept = {}
for i = 1, #ARGV, 2 do
    redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1])
    kept[#kept + 1] = redis.call('HGET', KEYS[1], ARGV[i])
end
return kept
"""


class RedisStateStore:
    """See `StateStore`; every method raises `StoreAwayError` while Redis cannot be reached."""

    def __init__(self, redis: BrokerRedis) -> None:
        self._client = redis.client
        self._states = redis.key("beat:state")
        self._anchors = redis.key("beat:anchors")
        self._absent = redis.key("beat:absent")
        self._controllers = KeptControllers(redis)

    def load(self, names: Collection[str]) -> dict[str, JobState]:
        """See `StateStore`."""
        if not names:
            return {}
        with store_away():
            self._set_aside_if_no_hash(self._states)
            states: dict[str, JobState] = {}
            for name, text in self._read(self._states, names).items():
                try:
                    states[name] = state_of(text)
                except ForeignValueError as error:
                    self._set_aside(self._states, name, text, error)
            return states

    def save(self, changes: Mapping[str, JobState]) -> None:
        """See `StateStore`."""
        if not changes:
            return
        with store_away(), self._client.pipeline(transaction=False) as pipeline:
            for batch in _batches(changes):
                pipeline.hset(self._states, mapping={name: state_text(changes[name]) for name in batch})
            pipeline.execute()

    def forget(self, names: Collection[str]) -> None:
        """See `StateStore`."""
        if not names:
            return
        with store_away(), self._client.pipeline(transaction=False) as pipeline:
            for batch in _batches(names):
                pipeline.hdel(self._states, *batch)
                pipeline.hdel(self._anchors, *batch)
            pipeline.execute()

    def forget_absent(self, names: Container[str], now: int) -> None:
        """See `StateStore`. Since when a job is absent stands in a hash of its own."""
        with store_away():
            self._set_aside_if_no_hash(self._absent)
            known = (_text(field) for key in (self._states, self._anchors) for field, _ in self._scan(key))
            absent = {name for name in known if name not in names}
            found = self._client.hgetall(self._absent)
            # What is no number is taken for a job that has just gone.
            since = {_text(name): int(text) for name, text in found.items() if text.isdigit()}
            gone = {name for name in absent if since.get(name, now) <= now - ABSENT_FOR_MS}
            if back := [name for name in since if name not in absent or name in gone]:
                self._client.hdel(self._absent, *back)
            for batch in _batches([name for name in absent if name not in since]):
                self._client.hset(self._absent, mapping=dict.fromkeys(batch, now))
        self.forget(gone)

    def anchors(self, proposed: Mapping[str, int]) -> dict[str, int]:
        """See `StateStore`."""
        if not proposed:
            return {}
        with store_away():
            self._set_aside_if_no_hash(self._anchors)
            known: dict[str, int] = {}
            for name, text in self._named(self._anchors, proposed).items():
                try:
                    known[name] = _shared(int(text), proposed[name])
                except ValueError as error:
                    self._set_aside(self._anchors, name, text, error)
            return known | self._proposed({name: at for name, at in proposed.items() if name not in known})

    def load_controllers(self) -> Controllers | None:
        """See `StateStore`."""
        with store_away():
            try:
                return self._controllers.read()
            except ForeignValueError as error:
                self._controllers.set_aside(error)
                return None

    def save_controllers(self, text: str) -> None:
        """See `StateStore`."""
        with store_away():
            self._controllers.write(text)

    def _proposed(self, missing: Mapping[str, int]) -> dict[str, int]:
        """The anchors of these jobs after they were proposed: another beat may have been first meanwhile."""
        with self._client.pipeline(transaction=False) as pipeline:
            for batch in _batches(missing, _PER_SCRIPT):
                pipeline.eval(_PROPOSE, 1, self._anchors, *(part for name in batch for part in (name, missing[name])))
            kept = chain.from_iterable(pipeline.execute())
            return {name: _shared(int(text), missing[name]) for name, text in zip(missing, kept, strict=True)}

    def _read(self, key: str, names: Collection[str]) -> dict[str, str]:
        if len(names) > _NAME_AT_MOST:
            names = names if isinstance(names, AbstractSet | Mapping) else set(names)
            return {name: _text(text) for field, text in self._scan(key) if (name := _text(field)) in names}
        return self._named(key, names)

    def _named(self, key: str, names: Collection[str]) -> dict[str, str]:
        """The fields of these names, in one round trip."""
        with self._client.pipeline(transaction=False) as pipeline:
            for batch in _batches(names):
                pipeline.hmget(key, batch)
            found = chain.from_iterable(pipeline.execute())
            return {name: _text(text) for name, text in zip(names, found, strict=True) if text is not None}

    def _scan(self, key: str) -> Iterator[tuple[Any, Any]]:
        """All fields with their values, in parts: at once they would take more memory than the whole schedule."""
        pairs: Iterator[tuple[Any, Any]] = self._client.hscan_iter(key, count=_SCANNED_AT_ONCE)
        return pairs

    def _set_aside(self, key: str, name: str, text: str, error: ValueError) -> None:
        self._client.hset(f"{key}:quarantine", name, text)
        self._client.hdel(key, name)
        log.warning("stored_value_quarantined", extra={"key": key, "field": name, "error": str(error)})

    def _set_aside_if_no_hash(self, key: str) -> None:
        if _text(self._client.type(key)) not in {"hash", "none"}:
            set_key_aside(self._client, key)


def _batches(names: Collection[str], size: int = _BATCH) -> Iterator[list[str]]:
    rest = iter(names)
    while batch := list(islice(rest, size)):
        yield batch


def _shared(kept: int, proposed: int) -> int:
    """The anchor that is kept, as the object that was proposed if it is that: many jobs may have the same one."""
    return proposed if kept == proposed else kept


def _text(value: Any) -> str:  # noqa: ANN401  # a field or value as the client decodes it
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
