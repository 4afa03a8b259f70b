"""The append-only record of decisions: what a ledger is, and one that is kept in the process.

    tick record ──> the decisions of that tick ──> the record of the next tick ──> ...

A decision points to its tick by the tick's number. Nothing is decided here. `packages.infra.ledger.redis_ledger` keeps
it in Redis.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from packages.infra.ledger.records import tick_of
from packages.infra.ledger.tick_record import TickRecord
from packages.scheduling.decision import Decision

# A setting of the app: about how many entries the ledger keeps.
LENGTH_SETTING: Final = "beat_ledger_length"
LENGTH: Final = 100_000
# In the process they take memory away from it.
_LENGTH_IN_MEMORY: Final = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, the record of a tick or a decision. `id` says where it stands; `tick` is the number of its tick."""

    id: str
    tick: str
    content: TickRecord | Decision


class Ledger(Protocol):
    """See the module. Every method may raise `packages.infra.beat.state_store.StoreAwayError`."""

    def append(self, tick: str, tick_record: str, decisions: Sequence[Decision]) -> None:
        """Add the record of a tick (as `tick_text` wrote it; "" for none) and its decisions, in their order.

        Nothing without a decision: a tick that decided nothing leaves no trace. Unanswered and repeated, it is in there
        twice.
        """
        ...

    def read(self, job: str | None, limit: int) -> list[Decision]:
        """The last `limit` decisions on a job, or on all of them (None), the newest first."""
        ...

    def entries(self, after: str, limit: int) -> list[Entry]:
        """The first `limit` entries behind the one with the id `after` ("" for the beginning), the oldest first.

        Without those that cannot be read; an empty list is the end.
        """
        ...


class MemoryLedger:
    """Kept in the process, the last `length` entries of it."""

    def __init__(self, length: int = _LENGTH_IN_MEMORY) -> None:
        self._entries: deque[Entry] = deque(maxlen=length)
        self._count = 0

    def append(self, tick: str, tick_record: str, decisions: Sequence[Decision]) -> None:
        """See `Ledger`."""
        if decisions and tick_record:
            self._add(tick, tick_of(tick_record))
        for decision in decisions:
            self._add(tick, decision)

    def read(self, job: str | None, limit: int) -> list[Decision]:
        """See `Ledger`."""
        found = (
            entry.content
            for entry in reversed(self._entries)
            if isinstance(entry.content, Decision) and job in {None, entry.content.job}
        )
        return list(islice(found, limit))

    def entries(self, after: str, limit: int) -> list[Entry]:
        """See `Ledger`."""
        behind = int(after or 0)
        return list(islice((entry for entry in self._entries if int(entry.id) > behind), limit))

    def _add(self, tick: str, content: TickRecord | Decision) -> None:
        self._count += 1
        self._entries.append(Entry(str(self._count), tick, content))
