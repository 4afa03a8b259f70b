"""Where a lease is kept, as a port, and one for a single replica, which shares it with nobody."""

from typing import NamedTuple, Protocol


class Holder(NamedTuple):
    """Who holds a lease: its term, the owner, for how long yet, and the clock of whoever says so (an instant).

    `term_before` is the highest term that was given before, where this one is new.
    """

    is_mine: bool
    term: int
    owner: str
    ends_in_ms: int
    server_now: int
    term_before: int = 0


class LeaseStore(Protocol):
    """Where the lease is. For one thread, but for `resign`."""

    def keep(self, owner: str, *, remembered: int, period_ms: int) -> Holder:
        """Renew the lease of `owner`, or take a free one with a term above `remembered`; else say who holds it.

        Raises:
            StoreAwayError: nobody knows.
        """
        ...

    def resign(self, owner: str) -> None:
        """Give the lease back if it is the owner's. Shares nothing with `keep` that may be in use meanwhile.

        Raises:
            StoreAwayError: it could not be given back; it ends by itself.
        """
        ...


class MemoryLease:
    """For one replica, where nothing is shared: it always leads."""

    def keep(self, owner: str, *, remembered: int, period_ms: int) -> Holder:
        """See `LeaseStore`."""
        return Holder(is_mine=True, term=max(remembered, 1), owner=owner, ends_in_ms=period_ms, server_now=0)

    def resign(self, owner: str) -> None:
        """See `LeaseStore`."""
