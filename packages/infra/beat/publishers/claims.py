"""Claims of fires where the broker cannot commit them with their messages: before a publish, and after it.

    (nothing) ──claim──> pending ──settle: the broker has the message──> done
        ^                   │ └──the leader ends in between──> the next one publishes it again, under the same id
        └──settle: released─┘

A message is sent only between the two, so a fire is published at least once, and twice only when a leader ends, or the
store goes away, in between. Nothing is published here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple, Protocol

from packages.infra.beat.state_store import StateStore
from packages.infra.ledger.ledger import Ledger
from packages.scheduling.claims import Shelf
from packages.scheduling.decision import Decision
from packages.scheduling.state import JobState

# In the process: about 100 bytes each.
MOST_IN_MEMORY: Final = 200_000


class Found(Enum):
    """What was known of a fire when it was claimed: nothing; that it was claimed, not that it went out; all of it."""

    NEW = "new"
    PENDING = "pending"
    DONE = "done"


class Claim(NamedTuple):
    """The claim of one fire: the bytes that stand for it (`claim_of`), where they are kept, and the fire itself."""

    key: bytes
    shelf: Shelf
    job: str
    nominal: int
    planned: int
    origin: str


class TermOverError(Exception):
    """The term is not ours any more. `leader` is who holds the lease, empty if nobody does."""

    def __init__(self, leader: str) -> None:
        super().__init__(f"the lease is held by {leader or 'nobody'}")
        self.leader = leader


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is kept in one step: messages that went out, with the decisions behind them, and what goes along.

    `released`: claims whose fires were not published, so that they are new the next time. The rest is as in `Commit`.
    """

    tick: str
    tick_record: str = ""
    done: Sequence[tuple[Claim, Decision]] = ()
    released: Sequence[Claim] = ()
    decisions: Sequence[Decision] = ()
    states: Mapping[str, JobState] = field(default_factory=dict)
    forgotten: Collection[str] = ()
    controllers: str = ""


class ClaimStore(Protocol):
    """See the module. Each of the first two methods checks the term and writes in one step, or does nothing.

    Every method may raise `packages.infra.beat.state_store.StoreAwayError`: then nobody knows what was done. Repeating
    it does no harm.
    """

    def claim(self, term: int, claims: Sequence[Claim]) -> Sequence[Found]:
        """Make these pending, but for those that are done; what was known of each, in their order.

        Raises:
            TermOverError: the term is over; nothing was claimed.
        """
        ...

    def settle(self, term: int, settlement: Settlement) -> None:
        """Keep what became of claims, and what goes along.

        Raises:
            TermOverError: the term is over; nothing was kept.
        """
        ...

    def unfinished(self) -> Sequence[Claim]:
        """The claims that are pending."""
        ...

    def close(self) -> None:
        """Let go of what was opened; a later call opens it again."""
        ...


class MemoryClaims:
    """Kept in the process, the newest ones: for one replica, and nothing is known after a restart.

    A term is over once a higher one was seen. States and decisions go to `store` and `ledger`.
    """

    def __init__(self, store: StateStore, ledger: Ledger, *, most: int = MOST_IN_MEMORY) -> None:
        self._store = store
        self._ledger = ledger
        self._most = most
        self._term = 0
        # In the order in which they were made.
        self._done: dict[bytes, None] = {}
        self._pending: dict[bytes, Claim] = {}

    def claim(self, term: int, claims: Sequence[Claim]) -> Sequence[Found]:
        """See `ClaimStore`."""
        self._check(term)
        found = [self._found(claim) for claim in claims]
        self._pending |= {c.key: c for c, known in zip(claims, found, strict=True) if known is Found.NEW}
        return found

    def settle(self, term: int, settlement: Settlement) -> None:
        """See `ClaimStore`."""
        self._check(term)
        # Those that were not settled before, by a call that nobody heard the end of.
        done = [(claim, decision) for claim, decision in settlement.done if claim.key in self._pending]
        decisions = [*(decision for _, decision in done), *settlement.decisions]
        # What bears a repetition comes first, for each may raise: then it is all settled once more.
        self._store.save(settlement.states)
        self._store.forget(settlement.forgotten)
        if settlement.controllers:
            self._store.save_controllers(settlement.controllers)
        self._ledger.append(settlement.tick, settlement.tick_record, decisions)
        for claim, _ in done:
            del self._pending[claim.key]
            self._done[claim.key] = None
        for claim in settlement.released:
            self._pending.pop(claim.key, None)
        while len(self._done) > self._most:
            del self._done[next(iter(self._done))]

    def unfinished(self) -> Sequence[Claim]:
        """See `ClaimStore`."""
        return list(self._pending.values())

    def close(self) -> None:
        """See `ClaimStore`."""

    def _check(self, term: int) -> None:
        if term < self._term:
            raise TermOverError("")
        self._term = term

    def _found(self, claim: Claim) -> Found:
        if claim.key in self._done:
            return Found.DONE
        return Found.PENDING if claim.key in self._pending else Found.NEW
