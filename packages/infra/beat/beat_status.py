"""What each replica of beat says of itself for `minsy status`, and who holds the lease.

One hash, `<ns>:beat:replicas`: a replica's name -> what it says, as versioned JSON; written now and then and whenever
its standing changes, read by whoever wants to know. Who has said nothing for a minute, by the server's clock, is no
more. Decides nothing.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from packages.infra.beat.standing import Standing, Trouble
from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.instants import FIRST_INSTANT, LAST_INSTANT, to_ms
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode

WRITTEN_EVERY: Final = timedelta(seconds=5)
SILENT_AFTER: Final = timedelta(minutes=1)
# What a replica says is written often: of very many troubles only the first ones are told, and none at length.
MOST_TOLD: Final = 100
LONGEST_TOLD: Final = 300
_VERSION: Final = 2


class BeatStatus(NamedTuple):
    """One replica as of `last_tick`, an instant of its own clock, which is `clock_distance_ms` ahead of the server's.

    `since`: from when on it stands so. `quarantined`: why, by job; of very many only the first ones, `put_aside` has
    their number. `days_left`: whole days, by market of a calendar. `version`: of what it publishes; two replicas that
    differ in it have another schedule. `control`: what the objections of the adaptive control's gates do; empty without
    one. `owed`: how many jobs owe a fire that a throttle holds back, by queue and criticality.
    """

    replica: str
    standing: Standing
    term: int
    since: int
    last_tick: int
    jobs: int
    clock_distance_ms: int | None = None
    trouble: Trouble | None = None
    quarantined: Mapping[str, str] = MappingProxyType({})
    put_aside: int = 0
    days_left: Mapping[str, int] = MappingProxyType({})
    version: str = ""
    control: Mapping[str, GateMode] = MappingProxyType({})
    owed: Mapping[tuple[str, Criticality], int] = MappingProxyType({})


class LeaseHolder(NamedTuple):
    """Which replica has the right to publish, under which term, and for how long yet unless it renews it."""

    replica: str
    term: int
    ends_in_ms: int


class Replicas(NamedTuple):
    """The replicas that live, whoever leads first, and who holds the lease, if anybody does.

    One that died as the leader goes on saying so for a minute: who leads is `holder`.
    """

    holder: LeaseHolder | None = None
    living: tuple[BeatStatus, ...] = ()


class BeatStatusStore:
    """In the broker's Redis. Both methods raise `redis.RedisError` when it cannot be reached."""

    def __init__(self, redis: BrokerRedis) -> None:
        self._client = redis.client
        self._key = redis.key("beat:replicas")
        self._lease = redis.key("beat:lease")

    def write(self, status: BeatStatus) -> None:
        """Put this in place of what the replica said before; forgets those that are no more."""
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hset(self._key, status.replica, _text_of(status))
            pipe.hgetall(self._key)
            pipe.time()
            _, found, clock = pipe.execute()
        now = _instant(clock)
        silent = [name for name, text in found.items() if (said := _status(name, text)) is None or _is_gone(said, now)]
        if silent:
            self._client.hdel(self._key, *silent)

    def read(self) -> Replicas:
        """What was said last by those who live; what is not in this form is left out."""
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._key)
            pipe.time()
            pipe.get(self._lease)
            pipe.pttl(self._lease)
            found, clock, held, ends_in_ms = pipe.execute()
        now = _instant(clock)
        said = (_status(name, text) for name, text in found.items())
        living = [status for status in said if status is not None and not _is_gone(status, now)]
        holder = _holder(held, ends_in_ms)
        first = None if holder is None else holder.replica
        living.sort(key=lambda said: (said.replica != first, said.standing is not Standing.LEADING, said.replica))
        return Replicas(holder, tuple(living))


def _is_gone(status: BeatStatus, server_now: int) -> bool:
    """By the server's clock, so that a replica whose own is wrong counts like any other."""
    return server_now - (status.last_tick - (status.clock_distance_ms or 0)) > to_ms(SILENT_AFTER)


def _text_of(status: BeatStatus) -> str:
    told = sorted(status.quarantined.items())[:MOST_TOLD]
    values: dict[str, Any] = {
        "v": _VERSION,
        "standing": status.standing,
        "term": status.term,
        "since": status.since,
        "last_tick": status.last_tick,
        "jobs": status.jobs,
        "clock_distance_ms": status.clock_distance_ms,
        "trouble": status.trouble,
        "quarantined": {name: why[:LONGEST_TOLD] for name, why in told},
        "put_aside": max(status.put_aside, len(status.quarantined)),
        "days_left": dict(status.days_left),
        "version": status.version,
    }
    if status.control:
        values["control"] = dict(status.control)
    if status.owed:
        values["owed"] = [(*kind, count) for kind, count in status.owed.items()]
    return json.dumps(values, separators=(",", ":"))


def _status(name: bytes, text: bytes) -> BeatStatus | None:
    try:
        return _status_of(name.decode(), json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None


def _status_of(replica: str, values: Any) -> BeatStatus | None:  # noqa: ANN401  # whatever JSON can say
    if values["v"] != _VERSION:
        return None
    last_tick, since = int(values["last_tick"]), int(values["since"])
    if not (FIRST_INSTANT <= last_tick <= LAST_INSTANT and FIRST_INSTANT <= since <= LAST_INSTANT):
        return None
    distance, trouble = values["clock_distance_ms"], values["trouble"]
    return BeatStatus(
        replica=replica,
        standing=Standing(values["standing"]),
        term=int(values["term"]),
        since=since,
        last_tick=last_tick,
        jobs=int(values["jobs"]),
        clock_distance_ms=None if distance is None else int(distance),
        trouble=None if trouble is None else Trouble(trouble),
        quarantined={name: str(why) for name, why in values["quarantined"].items()},
        put_aside=int(values["put_aside"]),
        days_left={market: int(days) for market, days in values["days_left"].items()},
        version=str(values["version"]),
        control={str(gate): GateMode(mode) for gate, mode in values.get("control", {}).items()},
        owed={(str(queue), Criticality(kind)): int(count) for queue, kind, count in values.get("owed", ())},
    )


def _holder(held: bytes | None, ends_in_ms: int) -> LeaseHolder | None:
    """`held` is `<replica>:<term>`; a lease in another form is nobody's."""
    replica, _, term = (held or b"").decode(errors="replace").rpartition(":")
    return LeaseHolder(replica, int(term), max(0, ends_in_ms)) if replica and term.isdecimal() else None


def _instant(clock: tuple[int, int]) -> int:
    """Of the server's answer to TIME: seconds and microseconds."""
    seconds, microseconds = clock
    return seconds * 1_000 + microseconds // 1_000
