"""The claims, states and decisions of beat on another broker, in a Redis: see `packages.infra.beat.publishers.claims`.

The keys are those of the commit on a Redis broker; beside them stands one hash of the claims that are pending.
"""

import json
import logging
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from packages.infra.beat.foreign_keys import set_key_aside
from packages.infra.beat.lease import Lease
from packages.infra.beat.publishers.claims import Claim, Found, Settlement, TermOverError
from packages.infra.beat.redis_away import store_away
from packages.infra.beat.stored_values import state_text
from packages.infra.ledger.ledger import LENGTH
from packages.infra.ledger.records import decision_text
from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.script_wire import Argument, Script, ScriptWire
from packages.scheduling.claims import Shelf

log = logging.getLogger(__name__)

CLAIM: Final = Script("packages.infra.beat.publishers", "claim.lua")
SETTLE: Final = Script("packages.infra.beat.publishers", "settle.lua")
# What goes into one call; a script holds up everybody else on the server, and has an end to its arguments.
_PER_CALL: Final = 500
_OK: Final = 1
# The number of the first set of claims among the keys of `SETTLE`.
_FIRST_SET: Final = 8
_LETTERS: Final = {ord("n"): Found.NEW, ord("p"): Found.PENDING, ord("d"): Found.DONE}


class RedisClaims:
    """See `ClaimStore`. `wire` has `CLAIM` and `SETTLE`; nothing may be unanswered on it.

    A term is over when the lease in the same Redis is not that of `lease`'s owner and the term.
    """

    def __init__(self, redis: BrokerRedis, wire: ScriptWire, lease: Lease, *, ledger_length: int = LENGTH) -> None:
        self._client = redis.client
        self._wire = wire
        self._lease = lease
        self._ledger_length = ledger_length
        self._lease_key = redis.key("beat:lease")
        self._pending = redis.key("beat:pending")
        # A set of claims stands under this key and its own name; the key itself is the index of the sets.
        self._claims = redis.key("beat:claims")
        named = ("beat:state", "ledger", "beat:anchors", "beat:counters", "beat:controllers")
        self._kept_in = tuple(redis.key(name) for name in named)

    def claim(self, term: int, claims: Sequence[Claim]) -> Sequence[Found]:
        """See `ClaimStore`."""
        found: list[Found] = []
        for some in _batches(claims):
            sets = _Sets(some, first=4)
            fires = [value for c in some for value in (sets.number(c), c.key, _pending_text(c))]
            keys = (self._lease_key, self._pending, self._claims, *self._keys_of(sets))
            answer = self._call(CLAIM, keys, (*self._own(term), *(shelf.kept_ms for shelf in sets.shelves), *fires))
            found += [_LETTERS[letter] for letter in answer[0]]
            self._tell_put_aside(answer[1])
        return found

    def settle(self, term: int, settlement: Settlement) -> None:
        """See `ClaimStore`; one call for each few hundred of anything."""
        kept = settlement
        record, controllers = kept.tick_record, kept.controllers
        done, released, decisions = _batches(kept.done), _batches(kept.released), _batches(kept.decisions)
        states, forgotten = _batches(kept.states.items()), _batches(kept.forgotten)
        while True:
            part = Settlement(
                tick=kept.tick,
                tick_record=record,
                done=next(done, ()),
                released=next(released, ()),
                decisions=next(decisions, ()),
                states=dict(next(states, ())),
                forgotten=next(forgotten, ()),
                controllers=controllers,
            )
            is_empty = not (part.done or part.released or part.decisions or part.states or part.forgotten)
            if is_empty and not record and not controllers:
                return
            self._settle(term, part)
            record = controllers = ""

    def unfinished(self) -> Sequence[Claim]:
        """See `ClaimStore`; what is no such claim, or older than its set, is dropped."""
        with store_away():
            if self._client.type(self._pending) not in {b"hash", b"none"}:
                set_key_aside(self._client, self._pending)
            found = [(key, _claim_of(key, text)) for key, text in self._client.hgetall(self._pending).items()]
            with self._client.pipeline(transaction=False) as pipeline:
                for key, claim in found:
                    pipeline.sismember(self._key_of(claim.shelf) if claim else self._claims + ":none", key)
                known = pipeline.execute(raise_on_error=False)
            claims = [claim for (_, claim), is_known in zip(found, known, strict=True) if claim and is_known == 1]
            if gone := {key for key, _ in found} - {claim.key for claim in claims}:
                log.warning("claims_dropped", extra={"key": self._pending, "count": len(gone)})
                self._client.hdel(self._pending, *gone)
        return claims

    def close(self) -> None:
        """See `ClaimStore`."""
        self._wire.reset()

    def _settle(self, term: int, part: Settlement) -> None:
        sets = _Sets(part.released, first=_FIRST_SET)
        counts = (len(part.done), len(part.released), len(part.decisions), len(part.states), len(part.forgotten))
        first = (*self._own(term), self._ledger_length, part.tick, part.tick_record, part.controllers, *counts)
        arguments: list[Argument] = [*first]
        for claim, decision in part.done:
            arguments += (claim.key, decision.job, decision_text(decision))
        for claim in part.released:
            arguments += (sets.number(claim), claim.key)
        for decision in part.decisions:
            arguments += (decision.job, decision_text(decision))
        for job, state in part.states.items():
            arguments += (job, state_text(state))
        arguments += part.forgotten
        keys = (self._lease_key, self._pending, *self._kept_in, *self._keys_of(sets))
        self._tell_put_aside(self._call(SETTLE, keys, arguments)[0])

    def _own(self, term: int) -> tuple[Argument, Argument]:
        return f"{self._lease.owner}:{term}", self._lease.period_ms

    def _keys_of(self, sets: "_Sets") -> list[str]:
        return [self._key_of(shelf) for shelf in sets.shelves]

    def _key_of(self, shelf: Shelf) -> str:
        return f"{self._claims}:{shelf.name}"

    def _call(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> list[Any]:
        with store_away():
            answer = self._wire.call(script, keys, arguments)
        if answer[0] != _OK:
            # As the lease has it: the owner and the term.
            raise TermOverError(answer[1].decode(errors="replace").rpartition(":")[0])
        return list(answer[1:])

    def _tell_put_aside(self, count: int) -> None:
        if count:
            log.warning("stored_value_quarantined", extra={"count": count, "error": "a key is of another kind"})


class _Sets:
    """The sets that claims stand in, each once, numbered from `first` on."""

    def __init__(self, claims: Sequence[Claim], *, first: int) -> None:
        self._numbers: dict[Shelf, int] = {}
        for claim in claims:
            self._numbers.setdefault(claim.shelf, first + len(self._numbers))

    @property
    def shelves(self) -> Collection[Shelf]:
        return self._numbers.keys()

    def number(self, claim: Claim) -> int:
        return self._numbers[claim.shelf]


def _pending_text(claim: Claim) -> str:
    return json.dumps([*claim.shelf, claim.job, claim.nominal, claim.planned, claim.origin], separators=(",", ":"))


def _claim_of(key: bytes, text: bytes) -> Claim | None:
    """The claim that `_pending_text` wrote; None if it is none."""
    try:
        name, kept_ms, job, nominal, planned, origin = json.loads(text)
        shelf = Shelf(str(name), int(kept_ms))
        return Claim(key, shelf, str(job), int(nominal), int(planned), str(origin))
    except (ValueError, TypeError):
        return None


def _batches(values: Collection[Any]) -> Iterator[list[Any]]:
    rest = iter(values)
    while batch := list(islice(rest, _PER_CALL)):
        yield batch
