"""What each worker says of itself every two seconds: that it lives, which queues it serves and what it holds.

    `<ns>:workers`    a hash: the worker's node name -> versioned JSON, with the server's own time of the word in it

    alive ──(a last word, or silence for `ALIVE_MS`)──> not alive
    not alive ──(three days; an hour, if others name each of its queues)──> dropped

A worker that is not alive keeps naming its queues, so that it is known that they were served and are not. After a while
in which the server did not answer whoever reads, a worker that lived before has the same time to speak again.
"""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.running import DROP_UNCHANGED
from packages.scheduling.instants import DAY_MS, HOUR_MS, SECOND_MS

log = logging.getLogger(__name__)

ALIVE_MS: Final = 8 * SECOND_MS
KEPT_MS: Final = 3 * DAY_MS
# Node names of containers are seldom the same twice.
KEPT_WHILE_NAMED_MS: Final = HOUR_MS
KEY: Final = "workers"
_VERSION: Final = 1
# More messages than any worker holds. What is summed up of it goes into the stored state of the control.
_MOST: Final = 10**9

# The time is put in as text: cjson would make an object of an empty list.
_SAY: Final = """
local time = redis.call('TIME')
local at = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
redis.call('HSET', KEYS[1], ARGV[1], '{"at":' .. at .. ',' .. string.sub(ARGV[2], 2))
return at
"""


class Heartbeat(NamedTuple):
    """What a worker says: the queues that it consumes now, and those that it did before (`left`); how many processes.

    `reserved`: messages that it has taken and not begun, by queue, but for those that wait for their time; `running`:
    begun and not ended. `is_last`: it stops.
    """

    queues: frozenset[str]
    left: frozenset[str]
    size: int
    reserved: Mapping[str, int]
    running: Mapping[str, int]
    is_last: bool = False


class WorkerState(NamedTuple):
    """One worker as of its last word; the fields are those of `Heartbeat`. Of one that is not alive, as it was."""

    queues: frozenset[str]
    size: int
    reserved: Mapping[str, int]
    running: Mapping[str, int]
    is_alive: bool
    left: frozenset[str] = frozenset()


class _Word(NamedTuple):
    at: int
    heartbeat: Heartbeat
    text: bytes


def say(redis: BrokerRedis, node: str, heartbeat: Heartbeat) -> int:
    """Say it in the name of the worker `node`; the instant by the server's clock.

    Raises:
        redis.RedisError: Redis cannot be reached.
    """
    return int(redis.client.eval(_SAY, 1, redis.key(KEY), node, _text(heartbeat)))


class WorkerHeartbeats:
    """The workers as they are read. `ask` and `take` in turns, by one thread."""

    def __init__(self, redis: BrokerRedis) -> None:
        # The instant of the last answers by the server's clock; None before there were any.
        self.answered_at: int | None = None
        self._key = redis.key(KEY)
        self._alive: frozenset[str] = frozenset()
        self._superfluous: dict[str, bytes] = {}
        self._is_unanswered = self._was_missed = self._has_warned = False
        self._answers_since = 0

    def ask(self, pipe: Any) -> int:  # noqa: ANN401  # a redis pipeline
        """Add the commands that tell; how many these are, in the order of their answers."""
        self._was_missed |= self._is_unanswered
        self._is_unanswered = True
        pipe.time()
        pipe.hgetall(self._key)
        if not self._superfluous:
            return 2
        pipe.eval(DROP_UNCHANGED, 1, self._key, *(value for pair in self._superfluous.items() for value in pair))
        return 3

    def take(self, answers: Sequence[Any]) -> Mapping[str, WorkerState]:
        """The workers by node name, out of the answers to the last `ask`; nothing if one of them is an error."""
        self._is_unanswered = False
        time, stored = answers[0], answers[1]
        if not (isinstance(time, tuple) and isinstance(stored, Mapping)):
            self._warn(str(stored if isinstance(time, tuple) else time))
            return {}
        now = self.answered_at = int(time[0]) * SECOND_MS + int(time[1]) // 1_000
        if self._was_missed:
            self._answers_since, self._was_missed = now, False
        words = self._words(stored)
        self._alive = frozenset(node for node, word in words.items() if self._is_alive(node, word, now))
        self._superfluous = {node: words[node].text for node in _superfluous(words, self._alive, now)}
        return {
            node: _state(word.heartbeat, is_alive=node in self._alive)
            for node, word in words.items()
            if word.at > now - KEPT_MS
        }

    def _is_alive(self, node: str, word: _Word, now: int) -> bool:
        if word.heartbeat.is_last:
            return False
        may_come_back = node in self._alive and now - self._answers_since <= ALIVE_MS
        # Ahead of now: the server's clock was set back.
        return abs(now - word.at) <= ALIVE_MS or may_come_back

    def _words(self, stored: Mapping[bytes, bytes]) -> dict[str, _Word]:
        words = {}
        for node, text in stored.items():
            try:
                words[node.decode()] = _word(text)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
                self._warn(node.decode(errors="replace"))
        return words

    def _warn(self, what: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning("worker_heartbeat_dropped", extra={"what": what[:200]})


def _superfluous(words: Mapping[str, _Word], alive: Collection[str], now: int) -> list[str]:
    """The nodes whose last word says nothing any more: it is too old, or others name each of their queues."""
    named = frozenset[str]().union(*(_named(words[node]) for node in alive))
    dropped = []
    # From the latest on: of two that name the same queue the later one stays.
    for node, word in sorted(words.items(), key=lambda item: -item[1].at):
        if node in alive:
            continue
        is_named = _named(word) <= named and word.at <= now - KEPT_WHILE_NAMED_MS
        if is_named or word.at <= now - KEPT_MS:
            dropped.append(node)
        else:
            named |= _named(word)
    return dropped


def _named(word: _Word) -> frozenset[str]:
    return word.heartbeat.queues | word.heartbeat.left


def _state(heartbeat: Heartbeat, *, is_alive: bool) -> WorkerState:
    queues, left, size, reserved, running, _ = heartbeat
    return WorkerState(queues, size, reserved, running, is_alive, left)


def _text(heartbeat: Heartbeat) -> str:
    values = {
        "v": _VERSION,
        "queues": sorted(heartbeat.queues),
        "left": sorted(heartbeat.left),
        "size": heartbeat.size,
        "reserved": dict(heartbeat.reserved),
        "running": dict(heartbeat.running),
        "stopped": heartbeat.is_last,
    }
    return json.dumps(values, separators=(",", ":"))


def _word(text: bytes) -> _Word:
    values: Any = json.loads(text)
    if values["v"] != _VERSION:
        raise ValueError(values["v"])
    heartbeat = Heartbeat(
        queues=frozenset(map(str, values["queues"])),
        left=frozenset(map(str, values["left"])),
        size=_count(values["size"]),
        reserved={str(queue): _count(count) for queue, count in values["reserved"].items()},
        running={str(queue): _count(count) for queue, count in values["running"].items()},
        is_last=bool(values["stopped"]),
    )
    return _Word(int(values["at"]), heartbeat, text)


def _count(value: Any) -> int:  # noqa: ANN401  # whatever the JSON holds
    count = int(value)
    if not 0 <= count <= _MOST:
        raise ValueError(value)
    return count
