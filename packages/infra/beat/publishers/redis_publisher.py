"""Publishing on a Redis-compatible broker: each call of one script claims, pushes, records and keeps, all or nothing.

While the server works on one call the next one is made. A call that fails, or is not answered, leaves its fires to be
published again: a fire that went through is found claimed then. Never decides what is published.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from celery.beat import ScheduleEntry
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from packages.infra.beat.foreign_keys import set_key_aside
from packages.infra.beat.lease import Lease
from packages.infra.beat.messages.fire_ids import claim_of, of_job
from packages.infra.beat.messages.message import MakerAwayError, MessageMaker
from packages.infra.beat.publisher import Accepted, Commit, Committed, Fate, Settled, nobody
from packages.infra.beat.publishers.commit_calls import CommitCalls
from packages.infra.beat.publishers.commit_script import (
    COMMIT,
    CommitKeys,
    is_claimed,
    is_new,
)
from packages.infra.beat.publishers.redis_round import NO_RECORD, Round, Sent
from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.script_wire import Argument, ScriptWire

log = logging.getLogger(__name__)

# So many calls are on their way at once; the server keeps their answers until they are read.
_MOST_UNANSWERED: Final = 8
_FIRST_BATCH: Final = 1_000
_MOST_UNANSWERED_CLAIMS: Final = 100_000
_OK: Final = 1
_FOREIGN_KEY: Final = 2

_CLAIMED: Final = Settled(Fate.CLAIMED)


class ForeignKeyError(Exception):
    """A key that a message or a claim belongs into holds something of another kind."""


class RedisPublisher:
    """See `packages.infra.beat.publisher.Publisher`. `wire` has the script; nothing may be unanswered on it.

    `now` is the wall clock in milliseconds; `monotonic` another one in seconds.
    """

    def __init__(  # noqa: PLR0913  # all that publishing needs
        self,
        redis: BrokerRedis,
        wire: ScriptWire,
        maker: MessageMaker,
        lease: Lease,
        *,
        ledger_length: int,
        now: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._redis = redis
        self._wire = wire
        self._lease = lease
        self._ledger_length = ledger_length
        self._now = now
        self._monotonic = monotonic
        self._keys = CommitKeys(redis)
        self._maker = maker
        self._calls = CommitCalls(maker, self._keys, now)
        # Claims of calls that were never answered, with the term: found claimed under it, they were ours.
        self._unanswered: dict[bytes, int] = {}

    @property
    def first_batch(self) -> int:
        """See `Publisher`."""
        return _FIRST_BATCH

    def commit(self, commit: Commit, accepted: Accepted = nobody) -> Committed:
        """See `Publisher`."""
        begun_s = self._monotonic()
        round_ = Round(commit, accepted)
        if self._wire.unanswered:
            # Of a commit that was broken off by what is no error, a signal say: its answers are not ours.
            self._wire.reset()
        away = self._send_all(round_)
        try:
            while round_.sent:
                self._receive(round_)
            self._apart(round_)
        except (RedisError, OSError) as error:
            self._failed(round_, error)
        except MakerAwayError as error:
            away = error.__cause__
        if away is not None:
            round_.error = away
        if round_.holder is not None:
            self._lease.lost(round_.holder)
        elif round_.error is None:
            self._lease.renewed(begun_s)
        return round_.committed()

    def unfinished(self, term: int) -> Sequence[tuple[str, int, int, str]]:  # noqa: ARG002  # of the protocol
        """See `Publisher`: none, for a claim and its message are written in one step."""
        return ()

    def prepare(self, name: str, entry: ScheduleEntry, now: int) -> None:
        """See `Publisher`."""
        of_job(name)
        self._maker.prepare(name, entry, now=now)

    def forget(self, name: str) -> None:
        """See `Publisher`."""
        self._maker.forget(name)

    def hand_over(self) -> None:
        """See `Publisher`: nothing is ever half done."""

    def close(self) -> None:
        """See `Publisher`."""
        self._wire.reset()

    def _send_all(self, round_: Round) -> BaseException | None:
        """Send every call, reading answers on the way; why the broker could not be asked for a message, if so."""
        try:
            for call in self._calls.calls(round_.commit, round_):
                self._send(call, round_.commit, round_)
                while self._wire.unanswered > _MOST_UNANSWERED:
                    self._receive(round_)
        except (RedisError, OSError) as error:
            self._failed(round_, error)
        except MakerAwayError as error:
            return error.__cause__
        return None

    def _send(self, sent: Sent, commit: Commit, round_: Round) -> None:
        lease = self._lease
        sent.record, round_.record = round_.record, NO_RECORD
        first: tuple[Argument, ...] = (
            f"{lease.owner}:{commit.term}",
            lease.period_ms,
            self._ledger_length,
            commit.tick,
            *sent.record,
        )
        round_.sent.append(sent)
        self._wire.send(COMMIT, *sent.call.lay_out(self._keys, first))

    def _receive(self, round_: Round) -> None:
        sent = round_.sent[0]
        try:
            answer = self._wire.receive()
        except ResponseError as error:
            round_.sent.popleft()
            if isinstance(error, NoPermissionError) and len(sent.call.parts()) > 1:
                round_.take_back(sent)
                round_.forbidden.append(sent)
            else:
                round_.fail(sent, error)
            return
        round_.sent.popleft()
        if answer[0] == _OK:
            self._accepted(sent, answer[1], round_)
        elif answer[0] == _FOREIGN_KEY:
            round_.fail(sent, self._set_aside(self._keys.names[int(answer[1]) - 1]))
        else:
            # As the lease has it: the owner and the term.
            round_.holder = answer[1].decode(errors="replace").rpartition(":")[0]

    def _apart(self, round_: Round) -> None:
        """Send what was forbidden once more, queue by queue: the one key that is out of bounds fails its own fires."""
        forbidden, round_.forbidden = round_.forbidden, []
        for whole in forbidden:
            errors = [self._part(round_, numbers) for numbers in whole.call.parts()]
            worse = next((error for error in errors if error and not isinstance(error, NoPermissionError)), None)
            # If none may pass, it is more than a key.
            round_.error = round_.error or worse or (errors[0] if all(errors) else None)

    def _part(self, round_: Round, numbers: Sequence[int]) -> BaseException | None:
        """Send these fires alone; what the server says against it."""
        before = round_.exchange_error(None)
        part = Sent(self._now())
        self._calls.fill(part, round_.commit, round_, iter(numbers))
        if len(part.call):
            self._send(part, round_.commit, round_)
            self._receive(round_)
        error = round_.exchange_error(before)
        if error is not None:
            round_.spoiled.update(round_.commit.fires[number].fire.job.name for number in numbers)
        return error

    def _accepted(self, sent: Sent, letters: bytes, round_: Round) -> None:
        accepted = Settled(Fate.ACCEPTED, at=sent.at)
        settled, new = round_.settled, []
        for number, letter in zip(sent.call.in_order(), letters, strict=True):
            if is_new(letter) or (is_claimed(letter) and self._was_ours(round_.commit, number)):
                settled[number] = accepted
                new.append(number)
            elif is_claimed(letter):
                settled[number] = _CLAIMED
            else:
                fire = round_.commit.fires[number].fire
                round_.spoiled.add(fire.job.name)
                settled[number] = Settled(
                    Fate.FAILED, ForeignKeyError("its queue's key is of another kind, or its channel is forbidden")
                )
        for number, message in sent.messages.items():
            if settled[number] is accepted and message.accepted is not None:
                try:
                    message.accepted()
                except Exception:
                    log.exception("after_publish_failed", extra={"job": round_.commit.fires[number].fire.job.name})
        round_.kept += sent.call.jobs
        round_.accepted(new, sent.at)

    def _was_ours(self, commit: Commit, number: int) -> bool:
        return self._unanswered.pop(_claim(commit, number), None) == commit.term

    def _failed(self, round_: Round, error: BaseException) -> None:
        """Nothing that was not answered is known: it is all to be done again."""
        self._wire.reset()
        if len(self._unanswered) > _MOST_UNANSWERED_CLAIMS:
            self._unanswered.clear()
        for sent in round_.sent:
            for number in sent.call.in_order():
                self._unanswered[_claim(round_.commit, number)] = round_.commit.term
        round_.sent.clear()
        round_.error = error

    def _set_aside(self, key: str) -> ForeignKeyError:
        """A key of ours is of another kind: it is kept under another name, and the next call finds none."""
        try:
            set_key_aside(self._redis.client, key)
        except (RedisError, OSError) as error:
            log.warning("stored_value_stays", extra={"key": key, "error": str(error)})
        return ForeignKeyError(f"{key} is of another kind")


def _claim(commit: Commit, number: int) -> bytes:
    decision = commit.fires[number].fire.decision
    return claim_of(decision.job, decision.nominal, decision.origin)
