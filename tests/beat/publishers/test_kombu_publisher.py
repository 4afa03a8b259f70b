"""What a publisher does on a broker that fails, hangs or is slow, and when its claims are away: on doubles of both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import schedule
from kombu.exceptions import OperationalError

from packages.infra.beat.lease import Lease
from packages.infra.beat.lease_store import MemoryLease
from packages.infra.beat.publisher import Commit, Committed, Fate, FireOut
from packages.infra.beat.publishers.claims import Claim, Found, MemoryClaims, Settlement, TermOverError
from packages.infra.beat.publishers.kombu_publisher import KombuPublisher
from packages.infra.beat.standing import Standing
from packages.infra.beat.state_store import MemoryStateStore, StoreAwayError
from packages.infra.ledger.ledger import MemoryLedger
from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.instants import MINUTE_MS, to_datetime
from packages.scheduling.model import Criticality, Job
from packages.scheduling.plan import Fire
from packages.scheduling.state import JobState
from packages.scheduling.triggers.interval import IntervalTrigger

NOON = 1_767_614_400_000
APP = Celery("test", set_as_current=False)
MINUTELY = schedule(timedelta(minutes=1))
AWAY = OperationalError("the broker is away")
ACCEPTED, CLAIMED, REFUSED, FAILED = Fate.ACCEPTED, Fate.CLAIMED, Fate.REFUSED, Fate.FAILED


@dataclass
class Sender:
    """Celery's scheduler. `errors` are what the next publishes end with, None for one that goes well."""

    errors: list[BaseException | None] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    connects: bool = True
    reconnects: int = 0
    now_s: float = 0.0
    takes_s: float = 0.0
    before: Callable[[], object] = lambda: None

    def publish(self, entry: ScheduleEntry) -> BaseException | None:
        self.before()
        self.now_s += self.takes_s
        error = self.errors.pop(0) if self.errors else None
        if error is None:
            self.sent.append(str(entry.name))
        return error

    def reconnect(self, after: BaseException) -> bool:
        assert isinstance(after, OperationalError)
        self.reconnects += 1
        return self.connects

    def utc_now(self) -> datetime:
        return to_datetime(NOON) + timedelta(seconds=self.now_s)

    def monotonic_s(self) -> float:
        return self.now_s


class Claims(MemoryClaims):
    """A store that may be away before it does anything, or only after it, and whose lease may be lost."""

    def __init__(self) -> None:
        self.states = MemoryStateStore()
        self.ledger = MemoryLedger()
        super().__init__(self.states, self.ledger)
        self.calls: list[str] = []
        self.away: dict[str, str] = {}
        self.is_over = False
        self.closed = 0

    def claim(self, term: int, claims: Sequence[Claim]) -> Sequence[Found]:
        with _Trouble(self, "claim"):
            return super().claim(term, claims)

    def settle(self, term: int, settlement: Settlement) -> None:
        with _Trouble(self, "settle"):
            super().settle(term, settlement)

    def close(self) -> None:
        self.closed += 1


@dataclass
class _Trouble:
    claims: Claims
    method: str

    def __enter__(self) -> None:
        self.claims.calls.append(self.method)
        if self.claims.is_over:
            raise TermOverError("another")
        if self.claims.away.get(self.method) == "before":
            raise StoreAwayError("gone")

    def __exit__(self, *_: object) -> None:
        if self.claims.away.get(self.method) == "after":
            raise StoreAwayError("the answer is gone")


class Killed(BaseException):
    """The process is asked to end."""


@dataclass
class Beat:
    """A leader with its doubles."""

    sender: Sender = field(default_factory=Sender)
    claims: Claims = field(default_factory=Claims)
    ticks: int = 0

    def __post_init__(self) -> None:
        self.lease = Lease(
            MemoryLease(),
            owner="me",
            period=timedelta(seconds=10),
            monotonic=self.sender.monotonic_s,
            now=lambda: NOON,
        )
        self.lease.keep()
        self.publisher = KombuPublisher(self.sender, self.claims, self.lease, batch=3)

    def commit(self, *names: str, **changes: Any) -> Committed:  # noqa: ANN401  # fields of a commit
        self.ticks += 1
        given = {
            "fires": [fire_out(name) for name in names],
            "states": {name: JobState(watermark=NOON) for name in names},
            "tick": f"1.{self.ticks}",
            "tick_record": "",
            **changes,
        }
        return self.publisher.commit(Commit(term=1, now=NOON, **given))

    @property
    def recorded(self) -> list[tuple[str, str]]:
        entries = self.claims.ledger.entries("", 100)
        return [(entry.tick, entry.content.job) for entry in entries if isinstance(entry.content, Decision)]


def a_decision(name: str, verdict: Verdict = Verdict.FIRE) -> Decision:
    return Decision(
        job=name, nominal=NOON, planned=NOON, origin="schedule", at=NOON, verdict=verdict, reason=Reason.ON_TIME
    )


def fire_out(name: str) -> FireOut:
    job = Job(name, name, IntervalTrigger(MINUTE_MS), "area", Criticality.CRITICAL)
    return FireOut(Fire(job, a_decision(name)), ScheduleEntry(name=name, task=name, schedule=MINUTELY, app=APP))


def fates(done: Committed) -> list[Fate]:
    return [settled.fate for settled in done.settled]


def test_a_connection_that_broke_is_opened_again_and_the_message_sent_once_more() -> None:
    beat = Beat(Sender(errors=[AWAY]))

    done = beat.commit("a", "b")

    assert (fates(done), done.error) == ([ACCEPTED, ACCEPTED], None)
    assert (beat.sender.sent, beat.sender.reconnects) == (["a", "b"], 1)


def test_without_a_connection_the_rest_is_not_tried_and_can_be_claimed_again() -> None:
    beat = Beat(Sender(errors=[None, AWAY], connects=False))

    done = beat.commit("a", "b", "c", "d", "e", decisions=[a_decision("x", Verdict.SKIP)])

    assert fates(done) == [ACCEPTED, FAILED, FAILED, FAILED, FAILED]
    assert done.error is AWAY
    assert [settled.error for settled in done.settled[1:]] == [AWAY] * 4
    assert (beat.sender.sent, beat.sender.reconnects) == (["a"], 1)
    # What is kept elsewhere is kept.
    assert (list(done.kept), done.is_recorded) == (["a"], True)
    assert beat.recorded == [("1.1", "a"), ("1.1", "x")]
    assert list(beat.claims.unfinished()) == []
    assert beat.claims.calls == ["claim", "settle"]


def test_a_message_that_the_broker_refuses_on_a_new_connection_too_fails_alone() -> None:
    beat = Beat(Sender(errors=[AWAY, AWAY, None, AWAY, AWAY]))

    done = beat.commit("a", "b", "c", "d")

    assert (fates(done), done.error) == ([FAILED, ACCEPTED, FAILED, ACCEPTED], None)
    assert sorted(done.kept) == ["b", "d"]


def test_after_three_such_messages_it_is_the_broker() -> None:
    beat = Beat(Sender(errors=[AWAY] * 6, takes_s=0.3))

    done = beat.commit("a", "b", "c", "d", "e")

    assert (fates(done), done.error) == ([FAILED] * 5, AWAY)
    assert beat.sender.reconnects == 3
    assert beat.sender.sent == []


def test_messages_that_fail_at_once_do_not_hold_up_the_others() -> None:
    beat = Beat(Sender(errors=[AWAY] * 10))

    done = beat.commit("a", "b", "c", "d", "e", "f")

    assert (fates(done), done.error) == ([FAILED] * 5 + [ACCEPTED], None)


def test_asked_with_nothing_to_publish_whether_the_broker_is_back_it_looks() -> None:
    beat = Beat(Sender(errors=[AWAY], connects=False))
    beat.commit("a")

    still = beat.commit(decisions=[a_decision("x", Verdict.SKIP)])
    beat.sender.connects = True
    back = beat.commit()

    assert (still.error, still.is_recorded, back.error) == (AWAY, True, None)
    before = beat.sender.reconnects
    assert beat.commit().error is None
    # Looked at while it was away, and not any more.
    assert beat.sender.reconnects == before == 3


def test_options_that_are_none_fail_alone() -> None:
    beat = Beat()
    bad = fire_out("bad")
    bad.entry.options = 7  # type: ignore[assignment]  # that is the fault

    done = beat.commit(fires=[bad, fire_out("a")], states={})

    assert (fates(done), done.error, beat.sender.sent) == ([FAILED, ACCEPTED], None, ["a"])


def test_while_the_claims_are_away_nothing_is_published() -> None:
    beat = Beat()
    beat.claims.away = {"claim": "before"}

    done = beat.commit("a", "b", decisions=[a_decision("x", Verdict.SKIP)])

    assert fates(done) == [FAILED, FAILED]
    assert (list(done.kept), done.is_recorded, beat.sender.sent) == ([], False, [])
    assert isinstance(done.error, StoreAwayError)
    beat.claims.away = {}
    assert fates(beat.commit("a", "b")) == [ACCEPTED, ACCEPTED]


def test_a_claim_whose_answer_got_lost_is_published_by_the_next_try() -> None:
    beat = Beat()
    beat.claims.away = {"claim": "after"}
    assert fates(beat.commit("a", "b")) == [FAILED, FAILED]
    beat.claims.away = {}

    done = beat.commit("a", decisions=[a_decision("b", Verdict.SKIP)])

    assert (fates(done), beat.sender.sent) == ([ACCEPTED], ["a"])
    # Decided otherwise meanwhile: nobody else shall publish it.
    assert list(beat.claims.unfinished()) == []


@pytest.mark.parametrize("away", ["before", "after"])
def test_what_went_out_is_settled_by_the_next_commit_if_it_could_not_be(away: str) -> None:
    beat = Beat()
    beat.claims.away = {"settle": away}

    done = beat.commit("a", "b", "c", "d")

    assert fates(done) == [ACCEPTED, ACCEPTED, ACCEPTED, FAILED]
    assert (list(done.kept), done.is_recorded) == ([], False)
    assert isinstance(done.error, StoreAwayError)
    assert beat.sender.sent == ["a", "b", "c"]
    beat.claims.away = {}
    assert fates(beat.commit("b", "d")) == [CLAIMED, ACCEPTED]
    assert beat.sender.sent == ["a", "b", "c", "d"]
    assert beat.recorded == [("1.1", "a"), ("1.1", "b"), ("1.1", "c"), ("1.2", "d")]
    assert list(beat.claims.unfinished()) == []


def test_a_lease_that_is_lost_on_the_way_ends_the_round() -> None:
    beat = Beat()

    def lost_at_the_third() -> None:
        beat.claims.is_over = len(beat.sender.sent) == 2

    beat.sender.before = lost_at_the_third
    done = beat.commit("a", "b", "c", "d", "e")

    assert (fates(done), done.error) == ([ACCEPTED] * 3 + [REFUSED] * 2, None)
    assert (list(done.kept), done.is_recorded) == ([], False)
    assert (beat.lease.standing, beat.lease.leader) == (Standing.FOLLOWING, "another")


def test_what_went_out_under_a_lost_term_is_settled_when_the_same_replica_leads_again() -> None:
    beat = Beat()
    beat.claims.away = {"settle": "before"}
    beat.commit("a")
    beat.claims.away = {}

    assert beat.publisher.unfinished(2) == []
    assert beat.recorded == [("1.1", "a")]


def test_who_asks_for_the_unfinished_under_an_old_term_learns_that_it_is_over() -> None:
    beat = Beat()
    beat.claims.away = {"settle": "before"}
    beat.commit("a")
    beat.claims.is_over = True

    assert beat.publisher.unfinished(1) == ()
    assert beat.lease.standing is Standing.FOLLOWING


def test_a_slow_broker_costs_no_lease() -> None:
    beat = Beat(Sender(takes_s=1.0))
    renewed: list[float] = []
    beat.sender.before = lambda: renewed.append(beat.lease.is_trusted)

    done = beat.commit(*(f"job-{n}" for n in range(20)))

    assert fates(done) == [ACCEPTED] * 20
    assert all(renewed)
    assert len(renewed) == 20
    assert beat.lease.is_trusted


def test_within_a_batch_the_lease_is_renewed_by_settling_what_went_out() -> None:
    beat = Beat(Sender(takes_s=4.0))

    done = beat.commit("a", "b", "c")

    assert fates(done) == [ACCEPTED] * 3
    assert beat.claims.calls == ["claim", "settle", "settle", "settle", "settle"]
    assert sorted(done.kept) == ["a", "b", "c"]
    assert beat.recorded == [("1.1", "a"), ("1.1", "b"), ("1.1", "c")]


def test_each_fire_says_when_it_was_published() -> None:
    beat = Beat(Sender(takes_s=1.0))

    done = beat.commit("a", "b")

    assert [settled.at for settled in done.settled] == [NOON, NOON + 1_000]


def killed_after_two(beat: Beat) -> None:
    def kill() -> None:
        if len(beat.sender.sent) == 2:
            raise Killed

    beat.sender.before = kill
    with pytest.raises(Killed):
        beat.commit("a", "b", "c")


def test_closed_in_the_middle_it_settles_what_went_out() -> None:
    beat = Beat()
    killed_after_two(beat)

    beat.publisher.close()
    beat.publisher.close()

    assert beat.recorded == [("1.1", "a"), ("1.1", "b")]
    assert [claim.job for claim in beat.claims.unfinished()] == ["c"]
    assert beat.claims.closed == 3


def test_closed_after_its_lease_was_given_back_it_leaves_the_claims_to_the_next_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    beat = Beat()
    killed_after_two(beat)
    beat.claims.is_over = True

    beat.publisher.close()

    assert [claim.job for claim in beat.claims.unfinished()] == ["a", "b", "c"]
    assert "claims_left_pending" in [record.getMessage() for record in caplog.records]


def test_a_job_that_is_no_more_is_forgotten() -> None:
    beat = Beat()
    beat.commit("a")

    beat.publisher.forget("a")
    beat.publisher.forget("never known")

    assert fates(beat.commit("a")) == [CLAIMED]
