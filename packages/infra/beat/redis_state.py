"""The states of the jobs in the broker's Redis: one hash for the states, one for the anchors, a field for each job.

A value that cannot be read is moved to a hash of its own (`...:quarantine`), with a warning, and counts as none.
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from redis.exceptions import RedisError

from packages.infra.beat.state_store import StoreAwayError
from packages.infra.beat.stored_values import ForeignValueError, state_of, state_text
from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.state import JobState

log = logging.getLogger(__name__)

# So many fields go into one command; a hundred thousand in one would hold up everybody else on the server.
_BATCH: Final = 5_000
# A script holds up the server, too, and has an end of its own to its arguments.
_PER_SCRIPT: Final = 1_000
# For more fields than this it is cheaper to fetch the whole hash than to name them.
_NAME_AT_MOST: Final = 1_000

# KEYS[1]: the hash. ARGV: the field, the expected text ("" for none), the new text.
_COMPARE_AND_SET: Final = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
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

    def load(self, names: Collection[str]) -> dict[str, JobState]:
        """See `StateStore`."""
        if not names:
            return {}
        with _away():
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
        with _away(), self._client.pipeline(transaction=False) as pipeline:
            for batch in _batches(changes):
                pipeline.hset(self._states, mapping={name: state_text(changes[name]) for name in batch})
            pipeline.execute()

    def forget(self, names: Collection[str]) -> None:
        """See `StateStore`."""
        if not names:
            return
        with _away(), self._client.pipeline(transaction=False) as pipeline:
            for batch in _batches(names):
                pipeline.hdel(self._states, *batch)
                pipeline.hdel(self._anchors, *batch)
            pipeline.execute()

    def forget_all_but(self, names: Collection[str]) -> None:
        """See `StateStore`."""
        kept = set(names)
        with _away():
            known = {_text(name) for key in (self._states, self._anchors) for name in self._client.hkeys(key)}
        self.forget(known - kept)

    def anchors(self, proposed: Mapping[str, int]) -> dict[str, int]:
        """See `StateStore`."""
        if not proposed:
            return {}
        with _away():
            self._set_aside_if_no_hash(self._anchors)
            known: dict[str, int] = {}
            for name, text in self._read(self._anchors, proposed).items():
                try:
                    known[name] = int(text)
                except ValueError as error:
                    self._set_aside(self._anchors, name, text, error)
            missing = [name for name in proposed if name not in known]
            for batch in _batches(missing, _PER_SCRIPT):
                pairs = [value for name in batch for value in (name, proposed[name])]
                # Another beat may have been first meanwhile.
                kept = self._client.eval(_PROPOSE, 1, self._anchors, *pairs)
                known |= {name: int(text) for name, text in zip(batch, kept, strict=True)}
            return known

    def compare_and_set(self, name: str, old: JobState | None, new: JobState) -> bool:
        """See `StateStore`."""
        expected = "" if old is None else state_text(old)
        with _away():
            done = self._client.eval(_COMPARE_AND_SET, 1, self._states, name, expected, state_text(new))
        return bool(done)

    def _read(self, key: str, names: Collection[str]) -> dict[str, str]:
        if len(names) > _NAME_AT_MOST:
            every = {_text(name): _text(text) for name, text in self._client.hgetall(key).items()}
            return {name: every[name] for name in names if name in every}
        wanted = list(names)
        found = self._client.hmget(key, wanted) if wanted else []
        return {name: _text(text) for name, text in zip(wanted, found, strict=True) if text is not None}

    def _set_aside(self, key: str, name: str, text: str, error: ValueError) -> None:
        self._client.hset(f"{key}:quarantine", name, text)
        self._client.hdel(key, name)
        log.warning("stored_value_quarantined", extra={"key": key, "field": name, "error": str(error)})

    def _set_aside_if_no_hash(self, key: str) -> None:
        if _text(self._client.type(key)) not in {"hash", "none"}:
            self._client.rename(key, f"{key}:foreign")
            log.warning("stored_value_quarantined", extra={"key": key, "field": "", "error": "the key is no hash"})


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreAwayError(str(error)) from error


def _batches(names: Collection[str], size: int = _BATCH) -> Iterator[list[str]]:
    rest = iter(names)
    while batch := list(islice(rest, size)):
        yield batch


def _text(value: Any) -> str:  # noqa: ANN401  # a field or value as the client decodes it
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
