"""Publishing on any broker that kombu speaks to: each fire is claimed, sent by Celery's own way, and settled.

    claim (the term is ours, and nobody has published it) ──> publish, confirmed where the broker can ──> settle

At least once, under the same task id. A leader that ends between a publish and its settling, or whose store goes away
then, leaves the claim pending; whoever leads next finds it among the unfinished ones and publishes it again. At most
one batch of fires is concerned.

What each failure does:

    the store is away        nothing is published; what was published already is settled by the next commit
    the term is over         nothing more is published
    the broker is away       one new connection is tried; without it the rest of the round has failed
    one message is refused   it has failed alone, and so has the state of its job
    the broker is slow       the lease is renewed in between, by settling what went out so far

Never decides what is published.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

from celery.beat import ScheduleEntry
from kombu.exceptions import OperationalError

from packages.infra.beat.lease import Lease
from packages.infra.beat.messages.fire_ids import claim_of
from packages.infra.beat.messages.publishing import stamped
from packages.infra.beat.publisher import Accepted, Commit, Committed, Fate, Settled, nobody
from packages.infra.beat.publishers.claims import Claim, ClaimStore, Found, Settlement, TermOverError
from packages.infra.beat.publishers.commit_round import Round
from packages.infra.beat.state_store import StoreAwayError
from packages.scheduling.claims import Shelves
from packages.scheduling.decision import Decision, Verdict
from packages.scheduling.instants import to_instant

log = logging.getLogger(__name__)

# Claimed and settled together; so many may go out twice when a leader ends in between.
BATCH: Final = 100
_FIRST_BATCH: Final = 250
# So many messages in a row that a new connection does not help: then it is not the message.
_MOST_IN_A_ROW: Final = 3
_ROW_LASTS_S: Final = 1.0
# Of a lease's period: after which part it is renewed.
_RENEWED_AFTER: Final = 0.25

# What a new connection is opened after when nothing was tried on the old one.
_NOT_TRIED: Final = OperationalError("nothing was published since the broker was away")

_CLAIMED: Final = Settled(Fate.CLAIMED)


class Sender(Protocol):
    """What this asks of Celery's scheduler; see `packages.infra.beat.host.Host`."""

    def publish(self, entry: ScheduleEntry) -> BaseException | None:
        """Publish, and return what was in the way."""
        ...

    def reconnect(self, after: BaseException) -> bool:
        """Open another connection after this error; whether the broker is there."""
        ...

    def utc_now(self) -> datetime:
        """The wall clock."""
        ...

    def monotonic_s(self) -> float:
        """The clock that nobody sets."""
        ...


class KombuPublisher:
    """See `packages.infra.beat.publisher.Publisher`."""

    def __init__(self, host: Sender, claims: ClaimStore, lease: Lease, *, batch: int = BATCH) -> None:
        self._host = host
        self._claims = claims
        self._lease = lease
        self._batch = batch
        self._shelves = Shelves()
        # Pending in the store, for all we know: claimed by us or by a leader before, and not published by us.
        self._pending: dict[bytes, Claim] = {}
        # Published, and not settled; all of one tick.
        self._out: dict[bytes, tuple[Claim, Decision]] = {}
        self._tick = ""
        # Why the broker took nothing more the last time.
        self._away: BaseException | None = None
        self._term = 0
        self._renewed_s = float("-inf")

    @property
    def first_batch(self) -> int:
        """See `Publisher`: each message may take a round trip."""
        return _FIRST_BATCH

    def commit(self, commit: Commit, accepted: Accepted = nobody) -> Committed:  # noqa: ARG002  # of the protocol
        """See `Publisher`; what is accepted is told at the end."""
        self._term = commit.term
        round_ = Round(commit)
        if self._away is not None and not commit.fires and not self._host.reconnect(_NOT_TRIED):
            # Whoever asks with nothing to publish wants to know whether the broker is back.
            round_.away = self._away
        try:
            self._keep_left()
            self._tick = commit.tick
            for start in range(0, len(commit.fires), self._batch):
                if round_.away is None:
                    self._publish(round_, range(start, min(start + self._batch, len(commit.fires))))
            if not round_.is_recorded:
                self._settle(round_)
        except TermOverError as over:
            round_.is_refused = True
            self._lease.lost(over.leader)
        except StoreAwayError as error:
            round_.error = error
        self._away = round_.away
        return round_.committed()

    def unfinished(self, term: int) -> Sequence[tuple[str, int, int, str]]:
        """See `Publisher`.

        Raises:
            StoreAwayError: nobody knows.
        """
        self._term = term
        try:
            # By ourselves, under a term before: nobody else knows of these.
            self._keep_left()
        except TermOverError as over:
            self._lease.lost(over.leader)
            return ()
        self._pending = {claim.key: claim for claim in self._claims.unfinished()}
        return [(claim.job, claim.nominal, claim.planned, claim.origin) for claim in self._pending.values()]

    def prepare(self, name: str, entry: ScheduleEntry, now: int) -> None:
        """See `Publisher`: Celery makes each message when it is sent."""

    def forget(self, name: str) -> None:
        """See `Publisher`: nothing is remembered."""

    def hand_over(self) -> None:
        """See `Publisher`."""
        # Whoever is asked to end in the middle of a call has a connection that is of no use any more.
        self._claims.close()
        if self._out:
            try:
                self._keep_left()
            except (TermOverError, StoreAwayError) as error:
                log.warning("claims_left_pending", extra={"count": len(self._out), "error": str(error)})
            self._claims.close()

    def close(self) -> None:
        """See `Publisher`; what went out is settled if the lease is not given back yet."""
        self.hand_over()

    def _publish(self, round_: Round, numbers: range) -> None:
        """One batch: claim, publish, settle."""
        claims = self._claims_of(round_, numbers)
        if claims:
            # Before it is known: an answer may get lost.
            self._pending |= {claim.key: claim for _, claim in claims}
            begun_s = self._host.monotonic_s()
            known = self._claims.claim(round_.commit.term, [claim for _, claim in claims])
            self._renewed(begun_s)
            for (number, claim), found in zip(claims, known, strict=True):
                if found is Found.DONE:
                    del self._pending[claim.key]
                    round_.settle(number, _CLAIMED)
                else:
                    self._send(round_, number, claim)
                if self._host.monotonic_s() - self._renewed_s >= self._lease.period_ms / 1_000 * _RENEWED_AFTER:
                    self._settle(round_)
        self._settle(round_)

    def _claims_of(self, round_: Round, numbers: range) -> list[tuple[int, Claim]]:
        """The claims of fires that are to be published, each once."""
        claims: dict[bytes, tuple[int, Claim]] = {}
        for number in numbers:
            fire = round_.commit.fires[number].fire
            decision = fire.decision
            key = claim_of(decision.job, decision.nominal, decision.origin)
            if key in claims:
                round_.settle(number, _CLAIMED)
                continue
            try:
                shelf = self._shelves.of(fire.job, decision.nominal, decision.origin)
            except Exception as error:  # noqa: BLE001  # one bad entry must not stop the others
                round_.settle(number, Settled(Fate.FAILED, error))
                continue
            claim = Claim(key, shelf, decision.job, decision.nominal, decision.planned, decision.origin)
            claims[key] = (number, claim)
        return list(claims.values())

    def _send(self, round_: Round, number: int, claim: Claim) -> None:
        """Publish one fire, unless the broker is away."""
        fire, entry = round_.commit.fires[number]
        error = round_.away
        now = self._host.utc_now()
        if error is None:
            try:
                message = stamped(entry, fire.decision, now, term=round_.commit.term)
            except Exception as unusable:  # noqa: BLE001  # options that are none
                error = unusable
            else:
                error = self._sent(round_, message)
        if error is None:
            del self._pending[claim.key]
            self._out[claim.key] = (claim, fire.decision)
            round_.settle(number, Settled(Fate.ACCEPTED, at=to_instant(now)))
        else:
            round_.released.append(claim)
            round_.settle(number, Settled(Fate.FAILED, error))

    def _sent(self, round_: Round, message: ScheduleEntry) -> BaseException | None:
        error = self._host.publish(message)
        if isinstance(error, OperationalError):
            # It may be the connection, the broker, or what this one message asks of the broker.
            if not self._host.reconnect(error):
                round_.away = error
                return error
            error = self._host.publish(message)
        if not isinstance(error, OperationalError):
            round_.in_a_row = 0
            return error
        now_s = self._host.monotonic_s()
        round_.in_a_row, round_.row_since_s = round_.in_a_row + 1, round_.row_since_s if round_.in_a_row else now_s
        # Entries that fail at once are passed over; what is waited for each time is the broker.
        if round_.in_a_row >= _MOST_IN_A_ROW and now_s - round_.row_since_s >= _ROW_LASTS_S:
            round_.away = error
        return error

    def _settle(self, round_: Round) -> None:
        """Keep what is known by now; with it, once, what hangs on no fire."""
        commit, is_first = round_.commit, not round_.is_recorded
        self._keep(
            Settlement(
                tick=commit.tick,
                tick_record=commit.tick_record if is_first else "",
                done=tuple(self._out.values()),
                released=[*round_.released, *(self._ended(commit.decisions) if is_first else ())],
                decisions=commit.decisions if is_first else (),
                states={name: commit.states[name] for name in round_.ready},
                forgotten=commit.forgotten if is_first else (),
                controllers=commit.controllers if is_first else "",
            )
        )
        round_.kept_now()

    def _keep_left(self) -> None:
        """Settle what went out before, and could not be settled then."""
        if self._out:
            self._keep(Settlement(tick=self._tick, done=tuple(self._out.values())))

    def _keep(self, settlement: Settlement) -> None:
        begun_s = self._host.monotonic_s()
        self._claims.settle(self._term, settlement)
        self._renewed(begun_s)
        for claim, _ in settlement.done:
            self._out.pop(claim.key, None)
        for claim in settlement.released:
            self._pending.pop(claim.key, None)

    def _ended(self, decisions: Sequence[Decision]) -> list[Claim]:
        """Claims that are pending for fires that will not be published: it was decided otherwise."""
        if not self._pending:
            return []
        skipped = (d for d in decisions if d.verdict is Verdict.SKIP)
        keys = (claim_of(d.job, d.nominal, d.origin) for d in skipped)
        return [self._pending[key] for key in keys if key in self._pending]

    def _renewed(self, begun_s: float) -> None:
        self._renewed_s = begun_s
        self._lease.renewed(begun_s)
