"""The right to publish: one replica leads, any number follow, and a term tells one leadership from the next.

                     nobody holds the lease: a new term
      FOLLOWING ───────────────────────────────────────────> LEADING ──(a tick; a commit; every quarter of a period)──┐
        ^  ^  ^                                                | | ^                                                  │
        │  │  └──────── somebody else holds it ────────────────┘ | └──────────── renewed, by the server's clock ──────┘
        │  └─ the broker is back, somebody leads ── NO_BROKER <──┘ not renewed within a period less a margin
        └───────────────────────────────────────────────────────── resigned (SIGTERM): the lease is given back

What each failure does:

    the leader is killed             nobody renews; a follower takes over within a period and a moment
    it is frozen, and goes on        its commits carry the old term and are refused; it follows
    it cannot reach the broker       it trusts its lease until a period, less a margin, after the start of the last
                                     renewal that succeeded, then it stops by itself; it tries on, and never exits
    an answer gets lost              whoever holds the lease learns so at the next call, and its term with it
    the server forgets everything    a new term is above every term that the candidate remembers
    two clocks differ                nothing: a period is counted by the server, and here on a monotonic clock

The term is checked where it counts, in the script that publishes; what is believed here only saves the asking. Decides
nothing about a fire.
"""

import logging
import os
import secrets
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from packages.infra.beat.lease_store import Holder, LeaseStore
from packages.infra.beat.standing import Standing
from packages.infra.beat.state_store import StoreAwayError

log = logging.getLogger(__name__)

PERIOD: Final = timedelta(seconds=10)
SHORTEST_PERIOD: Final = timedelta(seconds=1)
# Of a period: after which part a lease is renewed, and which part of it is not trusted.
_RENEWED_AFTER: Final = 0.25
_MARGIN: Final = 0.1
# Beyond this fires are late, or early, by what people notice.
_DISTANT_MS: Final = 1_000
# A follower asks this often, so that it takes over soon after a leader resigned.
ASKED_EVERY_S: Final = 0.25


def replica_name() -> str:
    """A name that no other process has: the host, the process id and a random part."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Lease:
    """The standing of one replica. `monotonic` is a clock in seconds, `now` one in milliseconds since the epoch."""

    def __init__(
        self,
        store: LeaseStore,
        *,
        owner: str,
        period: timedelta,
        monotonic: Callable[[], float],
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._owner = owner
        self._period_s = period.total_seconds()
        self._monotonic = monotonic
        self._now = now
        self._trusted_until_s = float("-inf")
        self._ask_at_s = float("-inf")
        self._is_asking = False
        self._is_resigned = False
        self.standing = Standing.NO_BROKER
        # The last one that was ours; above zero once there was any.
        self.term = 0
        # The highest one that this replica was ever told of, whoever's it was.
        self._highest_term = 0
        # Whether another replica may have led since whoever uses this set it to False.
        self.others_led = True
        self.leader = ""
        # When, by our clock, another one that leads renewed its lease for the last time that we know of.
        self.leader_lived_at: int | None = None
        self.trouble: StoreAwayError | None = None
        # Our clock less the server's; None as long as nobody has told the server's.
        self.clock_distance_ms: int | None = None

    @property
    def owner(self) -> str:
        """The name of this replica."""
        return self._owner

    @property
    def period_ms(self) -> int:
        """How long a lease holds without being renewed."""
        return round(self._period_s * 1_000)

    @property
    def ask_in_s(self) -> float:
        """In how many seconds `keep` has something to do."""
        return max(0.0, self._ask_at_s - self._monotonic())

    @property
    def is_trusted(self) -> bool:
        """Whether this replica may take itself for the leader right now."""
        return self.standing is Standing.LEADING and self._monotonic() < self._trusted_until_s

    def keep(self) -> Standing:
        """Renew, or try to take over, if it is time to. Called at each wake-up; never raises because of the store."""
        if self._is_resigned:
            return self.standing
        begun_s = self._monotonic()
        if begun_s < self._ask_at_s and (self.standing is not Standing.LEADING or begun_s < self._trusted_until_s):
            return self.standing
        asked_at = self._now()
        self._is_asking = True
        try:
            holder = self._store.keep(self._owner, remembered=self._highest_term, period_ms=self.period_ms)
        except StoreAwayError as error:
            self._not_answered(error)
            return self.standing
        finally:
            self._is_asking = False
        if self._resigned_meanwhile(holder):
            return self.standing
        if self.trouble is not None:
            log.info("lease_answered_again")
        self.trouble = None
        self._highest_term = max(self._highest_term, holder.term)
        if holder.server_now:
            self._measure((asked_at + self._now()) // 2 - holder.server_now)
        if holder.is_mine:
            self._leads(holder, begun_s)
        else:
            self._follows(holder)
        return self.standing

    def renewed(self, begun_s: float) -> None:
        """A commit that was begun then went through under our term, which has renewed the lease.

        It is asked for all the same when it is time to: old claims are dropped by that, and the clocks compared.
        """
        self.trouble = None
        self._trusted_until_s = begun_s + self._trusted_for_s

    def lost(self, leader: str) -> None:
        """A commit was refused: `leader` (empty: nobody) holds the lease."""
        if self.standing is Standing.LEADING:
            log.warning("lease_lost", extra={"term": self.term, "leader": leader})
        self.standing, self.leader = Standing.FOLLOWING, leader
        self._trusted_until_s = self._ask_at_s = float("-inf")

    def resign(self) -> None:
        """Give the lease back at once, and never ask for it again. May be called from the handler of a signal."""
        if self._is_resigned:
            return
        self._is_resigned = True
        was, self.standing = self.standing, Standing.FOLLOWING
        # Who is asking may be about to get it.
        if was is not Standing.FOLLOWING or self._is_asking:
            self._give_back()

    def _resigned_meanwhile(self, holder: Holder) -> bool:
        """Whether the handler of a signal resigned while it was asked for; what was got since then is given back."""
        if self._is_resigned and holder.is_mine:
            self._give_back()
        return self._is_resigned

    def _give_back(self) -> None:
        try:
            self._store.resign(self._owner)
        except StoreAwayError as error:
            log.warning("lease_not_resigned", extra={"term": self.term, "error": str(error)})
        else:
            log.info("lease_resigned", extra={"term": self.term})

    def _measure(self, distance_ms: int) -> None:
        """Note how far our clock is ahead of the server's, and say so when it begins to matter."""
        was_off = abs(self.clock_distance_ms or 0) >= _DISTANT_MS
        self.clock_distance_ms = distance_ms
        if abs(distance_ms) >= _DISTANT_MS and not was_off:
            log.warning("clock_differs_from_broker", extra={"ahead_ms": distance_ms})

    def _leads(self, holder: Holder, begun_s: float) -> None:
        if self.standing is not Standing.LEADING or holder.term != self.term:
            log.info("lease_taken", extra={"term": holder.term, "replica": self._owner})
        if holder.term != self.term:
            self.others_led |= not (self.term and holder.term_before == self.term)
        self.standing, self.term, self.leader = Standing.LEADING, holder.term, self._owner
        self._trusted_until_s = begun_s + self._trusted_for_s
        self._ask_at_s = begun_s + self._period_s * _RENEWED_AFTER

    def _follows(self, holder: Holder) -> None:
        if self.standing is Standing.LEADING:
            log.warning("lease_lost", extra={"term": self.term, "leader": holder.owner})
        elif self.standing is Standing.NO_BROKER or holder.owner != self.leader:
            log.info("following", extra={"leader": holder.owner, "term": holder.term})
        self.standing, self.leader = Standing.FOLLOWING, holder.owner
        self.leader_lived_at = self._now() - max(0, self.period_ms - holder.ends_in_ms)
        self._trusted_until_s = float("-inf")
        self._ask_at_s = self._monotonic() + min(ASKED_EVERY_S, max(0, holder.ends_in_ms) / 1_000 + 0.001)

    def _not_answered(self, error: StoreAwayError) -> None:
        if self.trouble is None:
            log.warning("lease_not_answered", extra={"error": str(error)})
        self.trouble = error
        now_s = self._monotonic()
        self._ask_at_s = now_s + ASKED_EVERY_S
        if self.standing is Standing.LEADING and now_s < self._trusted_until_s:
            return
        if self.standing is Standing.LEADING:
            log.warning("lease_lost", extra={"term": self.term, "leader": ""})
        self.standing, self.leader = Standing.NO_BROKER, ""

    @property
    def _trusted_for_s(self) -> float:
        return self._period_s * (1 - _MARGIN)
