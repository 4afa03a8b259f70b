import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, sessionmaker

from packages.domain.notifications.claims import NO_OUTCOME
from packages.domain.notifications.dispatch import DispatchResult, dispatch_pending
from packages.domain.notifications.models import Notification
from packages.domain.notifications.outbox import enqueue
from packages.domain.notifications.sender import PermanentSendError, Sender, TransientSendError

START = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)
CLAIM = dt.timedelta(minutes=2)
BASE = dt.timedelta(seconds=30)
CAP = dt.timedelta(hours=1)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.instant = START

    def __call__(self) -> dt.datetime:
        return self.instant

    def move(self, by: dt.timedelta) -> None:
        self.instant += by


class KeepingSender:
    """Remembers each key it was given, then does what `act` says for it."""

    def __init__(self, act: Callable[[str], None] | None = None) -> None:
        self.act = act
        self.keys: list[str] = []

    def send(self, *, channel: str, recipient: str | None, subject: str, body: str, idempotency_key: str) -> None:
        assert (channel, recipient, subject, body) == ("email", "ann@example.com", "Order filled", "text")
        self.keys.append(idempotency_key)
        if self.act is not None:
            self.act(idempotency_key)


class KilledError(BaseException):
    """What the end of a process looks like from within: nothing after it runs."""


def fail_with(error: BaseException) -> Callable[[str], None]:
    def act(_key: str) -> None:
        raise error

    return act


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return sessionmaker(engine)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def put(sessions: sessionmaker[Session], count: int = 1) -> None:
    with sessions() as session, session.begin():
        for number in range(count):
            enqueue(
                session,
                idempotency_key=f"k{number}",
                channel="email",
                recipient="ann@example.com",
                subject="Order filled",
                body="text",
                now=START + dt.timedelta(microseconds=number - count),
            )


def dispatch(
    sessions: sessionmaker[Session],
    sender: Sender,
    clock: Callable[[], dt.datetime],
    *,
    batch_size: int = 100,
    max_attempts: int = 3,
    interrupts: tuple[type[BaseException], ...] = (),
) -> DispatchResult:
    return dispatch_pending(
        sessions,
        sender=sender,
        now=clock,
        batch_size=batch_size,
        max_attempts=max_attempts,
        backoff_base=BASE,
        backoff_cap=CAP,
        claim_for=CLAIM,
        interrupts=interrupts,
    )


def row(sessions: sessionmaker[Session], key: str = "k0") -> Notification:
    with sessions() as session:
        return session.scalars(select(Notification).where(Notification.idempotency_key == key)).one()


def test_due_messages_are_sent_the_longest_due_first(sessions: sessionmaker[Session], clock: Clock) -> None:
    put(sessions, 3)
    sender = KeepingSender()
    assert dispatch(sessions, sender, clock) == DispatchResult(sent=3, retried=0, dead=0)
    assert sender.keys == ["k0", "k1", "k2"]
    sent = row(sessions)
    assert (sent.status, sent.attempts, sent.sent_at, sent.claimed_until) == ("sent", 1, START, None)
    assert dispatch(sessions, sender, clock) == DispatchResult(sent=0, retried=0, dead=0)
    assert len(sender.keys) == 3


def test_one_call_stops_at_its_batch_size(sessions: sessionmaker[Session], clock: Clock) -> None:
    put(sessions, 3)
    assert dispatch(sessions, KeepingSender(), clock, batch_size=2).sent == 2
    assert dispatch(sessions, KeepingSender(), clock, batch_size=2).sent == 1


def test_one_call_stops_when_its_time_is_over(sessions: sessionmaker[Session], clock: Clock) -> None:
    put(sessions, 3)
    sender = KeepingSender(lambda _key: clock.move(dt.timedelta(minutes=3)))
    assert dispatch(sessions, sender, clock).sent == 2


def test_a_message_that_is_not_due_waits(sessions: sessionmaker[Session], clock: Clock) -> None:
    put(sessions)
    clock.move(dt.timedelta(seconds=-1))
    assert dispatch(sessions, KeepingSender(), clock).sent == 0


def test_a_transient_failure_waits_longer_each_time_and_dies_after_the_last_try(
    sessions: sessionmaker[Session], clock: Clock
) -> None:
    put(sessions)
    sender = KeepingSender(fail_with(TransientSendError("no answer", channel="email")))
    assert dispatch(sessions, sender, clock) == DispatchResult(sent=0, retried=1, dead=0)
    first = row(sessions)
    assert (first.status, first.attempts, first.last_error, first.claimed_until) == ("pending", 1, "no answer", None)
    assert clock() + BASE / 2 <= first.next_attempt_at <= clock() + BASE
    assert dispatch(sessions, sender, clock) == DispatchResult(sent=0, retried=0, dead=0)

    clock.move(BASE)
    dispatch(sessions, sender, clock)
    second = row(sessions)
    assert clock() + BASE <= second.next_attempt_at <= clock() + 2 * BASE

    clock.move(2 * BASE)
    assert dispatch(sessions, sender, clock) == DispatchResult(sent=0, retried=0, dead=1)
    assert (row(sessions).status, row(sessions).attempts, row(sessions).last_error) == ("dead", 3, "no answer")
    clock.move(CAP)
    assert dispatch(sessions, sender, clock) == DispatchResult(sent=0, retried=0, dead=0)
    assert len(sender.keys) == 3


def test_a_later_success_clears_the_error(sessions: sessionmaker[Session], clock: Clock) -> None:
    put(sessions)
    dispatch(sessions, KeepingSender(fail_with(TransientSendError("no answer", channel="email"))), clock)
    clock.move(BASE)
    assert dispatch(sessions, KeepingSender(), clock).sent == 1
    assert (row(sessions).status, row(sessions).last_error) == ("sent", None)


def test_a_permanent_failure_is_dead_at_once(sessions: sessionmaker[Session], clock: Clock) -> None:
    put(sessions)
    sender = KeepingSender(fail_with(PermanentSendError("not an address", channel="email")))
    assert dispatch(sessions, sender, clock) == DispatchResult(sent=0, retried=0, dead=1)
    assert (row(sessions).status, row(sessions).attempts, row(sessions).last_error) == ("dead", 1, "not an address")


def test_one_bad_message_does_not_stop_the_others(
    sessions: sessionmaker[Session], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    put(sessions, 3)

    def act(key: str) -> None:
        if key == "k1":
            raise RuntimeError("password=topsecret")

    assert dispatch(sessions, KeepingSender(act), clock) == DispatchResult(sent=2, retried=1, dead=0)
    assert row(sessions, "k1").last_error == "unexpected RuntimeError of the sender"
    assert "notification_sender_crashed" in caplog.messages


class StoppedError(Exception):
    """What a caller ends a run with, as a time limit of a queue does."""


def test_an_interrupt_is_no_failure_of_the_message(sessions: sessionmaker[Session], clock: Clock) -> None:
    put(sessions, 2)
    sender = KeepingSender(fail_with(StoppedError()))
    with pytest.raises(StoppedError):
        dispatch(sessions, sender, clock, interrupts=(StoppedError,))
    assert sender.keys == ["k0"]
    # As after a kill: the claim runs out, and the message is sent again.
    assert (row(sessions).status, row(sessions).last_error) == ("pending", None)


def test_dispatchers_at_once_send_each_message_once(sessions: sessionmaker[Session], clock: Clock) -> None:
    put(sessions, 40)
    meet = threading.Barrier(4)
    first_of = threading.local()

    def act(_key: str) -> None:
        # All four hold a claimed message at the same moment before any of them goes on.
        if not hasattr(first_of, "seen"):
            first_of.seen = True
            meet.wait(timeout=30)

    sender = KeepingSender(act)
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(dispatch, sessions, sender, clock) for _ in range(4)]
        results = [run.result(timeout=60) for run in runs]
    assert sum(result.sent for result in results) == 40
    assert set(Counter(sender.keys).values()) == {1}
    assert len(sender.keys) == 40


def test_a_worker_killed_before_it_wrote_sends_again_when_its_claim_is_over(
    sessions: sessionmaker[Session], clock: Clock
) -> None:
    put(sessions)
    killed = KeepingSender(fail_with(KilledError()))
    with pytest.raises(KilledError):
        dispatch(sessions, killed, clock)
    sender = KeepingSender()
    clock.move(CLAIM - dt.timedelta(seconds=1))
    assert dispatch(sessions, sender, clock).sent == 0
    clock.move(dt.timedelta(seconds=1))
    assert dispatch(sessions, sender, clock).sent == 1
    assert killed.keys == sender.keys == ["k0"]
    assert row(sessions).attempts == 2


def test_a_message_that_kills_its_worker_runs_out_of_tries(sessions: sessionmaker[Session], clock: Clock) -> None:
    put(sessions)
    sender = KeepingSender(fail_with(KilledError()))
    for _ in range(2):
        with pytest.raises(KilledError):
            dispatch(sessions, sender, clock, max_attempts=2)
        clock.move(CLAIM)
    assert dispatch(sessions, sender, clock, max_attempts=2) == DispatchResult(sent=0, retried=0, dead=1)
    assert (row(sessions).status, row(sessions).last_error) == ("dead", NO_OUTCOME)
    assert len(sender.keys) == 2


def test_a_lowered_limit_keeps_the_error_of_the_last_try(sessions: sessionmaker[Session], clock: Clock) -> None:
    put(sessions)
    dispatch(sessions, KeepingSender(fail_with(TransientSendError("no answer", channel="email"))), clock)
    clock.move(BASE)
    assert dispatch(sessions, KeepingSender(), clock, max_attempts=1).dead == 1
    assert row(sessions).last_error == "no answer"


def test_a_dispatcher_whose_claim_was_taken_over_changes_nothing(sessions: sessionmaker[Session], clock: Clock) -> None:
    put(sessions)
    other = KeepingSender(fail_with(TransientSendError("no answer", channel="email")))

    def outlast_the_claim(_key: str) -> None:
        clock.move(CLAIM)
        assert dispatch(sessions, other, clock).retried == 1

    assert dispatch(sessions, KeepingSender(outlast_the_claim), clock) == DispatchResult(
        sent=0, retried=0, dead=0, overtaken=1
    )
    assert (row(sessions).status, row(sessions).attempts) == ("pending", 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 0}, "batch_size and max_attempts must be at least 1"),
        ({"max_attempts": 0}, "batch_size and max_attempts must be at least 1"),
        ({"claim_for": dt.timedelta(0)}, "must be above 0"),
        ({"backoff_cap": BASE / 2}, "backoff_cap at least the base"),
    ],
)
def test_limits_that_make_no_sense_are_refused(
    sessions: sessionmaker[Session], clock: Clock, change: dict[str, object], said: str
) -> None:
    values: dict[str, object] = {
        "batch_size": 1,
        "max_attempts": 1,
        "backoff_base": BASE,
        "backoff_cap": CAP,
        "claim_for": CLAIM,
    }
    with pytest.raises(ValueError, match=said):
        dispatch_pending(sessions, sender=KeepingSender(), now=clock, **(values | change))  # type: ignore[arg-type]
