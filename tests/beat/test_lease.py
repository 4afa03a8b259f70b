"""Who leads, for how long, and what each failure makes of it: on a store of the test's own, then on a real server."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import redis
from celery import Celery

from packages.infra.beat.lease import ASKED_EVERY_S, Lease
from packages.infra.beat.lease_store import Holder
from packages.infra.beat.redis_lease import KEEP, RedisLease
from packages.infra.beat.standing import Standing
from packages.infra.beat.state_store import StoreAwayError
from packages.infra.queue.broker_redis import open_broker_redis
from packages.infra.queue.script_wire import ScriptWire

PERIOD = timedelta(seconds=10)


class Server:
    """One lease on a clock of its own, as the script keeps it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.holder: tuple[str, int, float] | None = None
        self.term = 0
        self.is_away = False
        self.resigned: list[str] = []

    def keep(self, owner: str, *, remembered: int, period_ms: int) -> Holder:
        if self.is_away:
            raise StoreAwayError("gone")
        if self.holder is not None and self.holder[2] <= self.now_s:
            self.holder = None
        if self.holder is None:
            self.term = max(self.term, remembered) + 1
            self.holder = (owner, self.term, 0)
        name, term, ends_s = self.holder
        if name == owner:
            ends_s = self.now_s + period_ms / 1_000
            self.holder = (owner, term, ends_s)
        ends_in_ms = round((ends_s - self.now_s) * 1_000)
        return Holder(name == owner, term, name, ends_in_ms, server_now=round(self.now_s * 1_000) + 1)

    def resign(self, owner: str) -> None:
        self.resigned.append(owner)
        if self.is_away:
            raise StoreAwayError("gone")
        if self.holder is not None and self.holder[0] == owner:
            self.holder = None


def lease_on(server: Server, owner: str) -> Lease:
    return Lease(
        server, owner=owner, period=PERIOD, monotonic=lambda: server.now_s, now=lambda: round(server.now_s * 1_000)
    )


@pytest.fixture
def server() -> Server:
    return Server()


def test_the_first_one_leads_and_the_others_follow(server: Server) -> None:
    first, second = lease_on(server, "a"), lease_on(server, "b")
    assert (first.keep(), second.keep()) == (Standing.LEADING, Standing.FOLLOWING)
    assert (first.term, first.is_trusted, second.term, second.leader) == (1, True, 0, "a")


def test_a_leader_that_renews_leads_on_under_the_same_term(server: Server) -> None:
    first, second = lease_on(server, "a"), lease_on(server, "b")
    for _ in range(100):
        assert (first.keep(), second.keep()) == (Standing.LEADING, Standing.FOLLOWING)
        server.now_s += 1
    assert first.term == 1


def test_nobody_is_asked_more_often_than_there_is_need(server: Server) -> None:
    leader, follower = lease_on(server, "a"), lease_on(server, "b")
    leader.keep()
    follower.keep()
    assert leader.ask_in_s == pytest.approx(PERIOD.total_seconds() / 4)
    assert follower.ask_in_s == pytest.approx(ASKED_EVERY_S)
    server.is_away = True
    assert (leader.keep(), follower.keep()) == (Standing.LEADING, Standing.FOLLOWING)


def test_a_follower_takes_over_when_the_leader_is_heard_of_no_more(server: Server) -> None:
    lease_on(server, "a").keep()
    follower = lease_on(server, "b")
    waited_s = 0.0
    while follower.keep() is not Standing.LEADING:
        waited_s += follower.ask_in_s
        server.now_s += follower.ask_in_s
    assert follower.term == 2
    assert waited_s <= PERIOD.total_seconds() + ASKED_EVERY_S


def test_a_leader_that_was_frozen_follows(server: Server) -> None:
    frozen, follower = lease_on(server, "a"), lease_on(server, "b")
    frozen.keep()
    server.now_s += 3 * PERIOD.total_seconds()
    assert follower.keep() is Standing.LEADING
    assert not frozen.is_trusted
    assert frozen.keep() is Standing.FOLLOWING
    assert (frozen.term, frozen.leader) == (1, "b")


def test_trust_ends_before_the_lease_does_and_counts_from_the_start_of_the_renewal(server: Server) -> None:
    lease = lease_on(server, "a")
    lease.keep()
    server.is_away = True
    server.now_s = 8.9
    assert lease.keep() is Standing.LEADING
    server.now_s = 9.0
    assert lease.keep() is Standing.NO_BROKER
    server.is_away = False
    server.now_s = 9.5
    assert (lease.keep(), lease.term) == (Standing.LEADING, 1)


def test_a_commit_renews(server: Server) -> None:
    lease = lease_on(server, "a")
    lease.keep()
    server.is_away = True
    server.now_s = 8
    lease.renewed(7.5)
    server.now_s = 16
    assert lease.keep() is Standing.LEADING
    server.now_s = 16.6
    assert lease.keep() is Standing.NO_BROKER


def test_a_leader_that_commits_all_the_time_asks_all_the_same(server: Server) -> None:
    lease, follower = lease_on(server, "a"), lease_on(server, "b")
    lease.keep()
    server.now_s = 3
    server.is_away = True
    lease.keep()
    troubles = [lease.trouble]
    server.is_away = False
    lease.renewed(server.now_s)
    troubles.append(lease.trouble)
    assert [trouble is None for trouble in troubles] == [False, True]
    for _ in range(9):
        server.now_s += 1
        lease.keep()
        lease.renewed(server.now_s)
    follower.keep()
    # By `keep` alone: this store is told of no commit.
    assert (follower.standing, follower.leader) == (Standing.FOLLOWING, "a")
    assert follower.leader_lived_at is not None
    assert follower.leader_lived_at >= 9_000


def test_a_refused_commit_means_following_until_the_lease_is_ours_again(server: Server) -> None:
    lease = lease_on(server, "a")
    lease.keep()
    server.holder = None
    lease.lost("")
    assert lease.standing is Standing.FOLLOWING
    assert (lease.keep(), lease.term) == (Standing.LEADING, 2)


def test_a_server_that_forgot_all_gives_no_term_twice(server: Server) -> None:
    first, second = lease_on(server, "a"), lease_on(server, "b")
    first.keep()
    second.keep()
    for _ in range(5):
        server.now_s += 11
        second.keep()
        server.now_s += 11
        first.keep()
    terms = first.term
    server.holder, server.term = None, 0
    server.now_s += 3
    assert (first.keep(), first.term) == (Standing.LEADING, terms + 1)


def test_a_follower_remembers_the_terms_of_others_when_the_server_forgets_them(server: Server) -> None:
    first, second = lease_on(server, "a"), lease_on(server, "b")
    server.term = 41
    first.keep()
    second.keep()
    server.holder, server.term = None, 0
    server.now_s += ASKED_EVERY_S
    assert (second.keep(), second.term) == (Standing.LEADING, 43)


def test_a_follower_knows_when_the_leader_renewed_for_the_last_time(server: Server) -> None:
    first, second = lease_on(server, "a"), lease_on(server, "b")
    first.keep()
    server.now_s = 4
    second.keep()
    assert (first.leader_lived_at, second.leader_lived_at) == (None, 0)
    first.keep()
    server.now_s = 11
    second.keep()
    assert second.leader_lived_at == 4_000


def test_resigning_gives_the_lease_back_once_and_for_all(server: Server) -> None:
    leader, follower = lease_on(server, "a"), lease_on(server, "b")
    leader.keep()
    follower.keep()
    leader.resign()
    leader.resign()
    follower.resign()
    assert server.resigned == ["a"]
    server.now_s += 60
    assert (leader.keep(), follower.keep()) == (Standing.FOLLOWING, Standing.FOLLOWING)


class Interrupted(Server):
    """A signal comes while it is asked: before it has answered, or before it has heard."""

    def __init__(self, *, heard: bool) -> None:
        super().__init__()
        self.heard = heard
        self.lease: Lease | None = None

    def keep(self, owner: str, *, remembered: int, period_ms: int) -> Holder:
        if self.lease is not None and not self.heard:
            self.lease.resign()
        holder = super().keep(owner, remembered=remembered, period_ms=period_ms)
        if self.lease is not None and self.heard:
            self.lease.resign()
        return holder


@pytest.mark.parametrize("heard", [True, False])
def test_a_follower_that_is_ended_while_it_takes_over_gives_the_lease_back(heard: bool) -> None:  # noqa: FBT001  # a parameter
    server = Interrupted(heard=heard)
    leader, follower = lease_on(server, "a"), lease_on(server, "b")
    leader.keep()
    follower.keep()
    leader.resign()
    server.now_s += 1
    server.lease = follower
    assert follower.keep() is Standing.FOLLOWING
    assert server.holder is None


def test_resigning_while_the_store_is_away_raises_nothing(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    lease = lease_on(server, "a")
    lease.keep()
    server.is_away = True
    lease.resign()
    assert "lease_not_resigned" in [record.getMessage() for record in caplog.records]


def test_an_outage_is_said_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    lease = lease_on(server, "a")
    server.is_away = True
    for _ in range(10):
        assert lease.keep() is Standing.NO_BROKER
        server.now_s += 1
    assert [record.getMessage() for record in caplog.records].count("lease_not_answered") == 1


def test_the_distance_of_the_clocks_is_known(server: Server) -> None:
    lease = Lease(server, owner="a", period=PERIOD, monotonic=lambda: server.now_s, now=lambda: 5_001)
    assert lease.clock_distance_ms is None
    lease.keep()
    assert lease.clock_distance_ms == 5_000


@pytest.fixture
def on_server(redis_url: str) -> Iterator[Callable[[str], Lease]]:
    app = Celery("test", broker=redis_url, set_as_current=False)
    opened = []

    def make(owner: str, *, period: timedelta = PERIOD) -> Lease:
        broker = open_broker_redis(app)
        assert broker is not None
        wire = ScriptWire(broker, (KEEP,), timeout_s=2)
        opened.append((wire, broker))
        clock = Server()
        lease = Lease(
            RedisLease(broker, wire), owner=owner, period=period, monotonic=lambda: clock.now_s, now=lambda: 0
        )
        # Each look at the clock is a moment later, so that every `keep` asks.
        clock.now_s = 0.0
        lease_clocks[id(lease)] = clock
        return lease

    lease_clocks: dict[int, Server] = {}
    yield make
    for wire, broker in opened:
        wire.reset()
        broker.close()


def asked_again(lease: Lease) -> Standing:
    lease._ask_at_s = float("-inf")
    return lease.keep()


def test_on_a_server_one_leads_and_a_new_term_is_above_all_others(
    on_server: Callable[[str], Lease], redis_url: str
) -> None:
    first, second = on_server("host:1:aa"), on_server("host:2:bb")
    assert (first.keep(), second.keep()) == (Standing.LEADING, Standing.FOLLOWING)
    assert (first.term, second.leader) == (1, "host:1:aa")
    with redis.Redis.from_url(redis_url) as client:
        assert client.get("test:beat:lease") == b"host:1:aa:1"
        assert 9_000 < client.pttl("test:beat:lease") <= 10_000
        client.delete("test:beat:lease")
        assert (asked_again(second), second.term) == (Standing.LEADING, 2)
        assert asked_again(first) is Standing.FOLLOWING
        client.flushall()
        assert (asked_again(second), second.term) == (Standing.LEADING, 3)
        client.flushall()
        # The other one's first term of those that it was told of; of the last one it does not know.
        assert (asked_again(first), first.term) == (Standing.LEADING, 3)
        client.delete("test:beat:lease")
        assert (asked_again(second), second.term) == (Standing.LEADING, 4)


def test_on_a_server_an_answer_that_was_lost_is_learnt_at_the_next_call(
    on_server: Callable[[str], Lease], redis_url: str
) -> None:
    lease = on_server("me")
    with redis.Redis.from_url(redis_url) as client:
        client.set("test:beat:lease", "me:7", px=5_000)
    assert (lease.keep(), lease.term) == (Standing.LEADING, 7)


def test_on_a_server_resigning_frees_only_ones_own(on_server: Callable[[str], Lease]) -> None:
    first, second = on_server("a"), on_server("b")
    first.keep()
    first.resign()
    assert (second.keep(), second.term) == (Standing.LEADING, 2)
    first._is_resigned, first.standing = False, Standing.LEADING
    first.resign()
    assert asked_again(second) is Standing.LEADING
    assert second.term == 2


def test_on_a_server_a_flushed_script_and_a_key_of_another_kind_are_got_over(
    on_server: Callable[[str], Lease], redis_url: str
) -> None:
    lease = on_server("a")
    with redis.Redis.from_url(redis_url) as client:
        client.lpush("test:beat:term", "no term")
        assert (lease.keep(), lease.term) == (Standing.LEADING, 1)
        assert client.type("test:beat:term:foreign") == b"list"
        client.script_flush()
        asked_again(lease)
        assert asked_again(lease) is Standing.LEADING


@pytest.mark.parametrize("text", ["not ours", "", "somebody:else", f"somebody:{'9' * 400}", "somebody:5"])
def test_a_lease_that_is_not_ours_or_never_ends_holds_nobody_up(
    on_server: Callable[[str], Lease], redis_url: str, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    lease = on_server("a")
    with redis.Redis.from_url(redis_url) as client:
        client.set("test:beat:lease", text)
        assert (lease.keep(), lease.term) == (Standing.LEADING, 1)
        assert client.get("test:beat:lease:foreign") == text.encode()
    assert "stored_value_quarantined" in [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("text", ["9" * 400, "-5", "1.5", "a", ""])
def test_a_highest_term_that_is_none_is_set_aside(on_server: Callable[[str], Lease], redis_url: str, text: str) -> None:
    lease = on_server("a")
    with redis.Redis.from_url(redis_url) as client:
        client.set("test:beat:term", text)
        assert (lease.keep(), lease.term) == (Standing.LEADING, 1)
        assert client.get("test:beat:term:foreign") == text.encode()
        assert client.get("test:beat:lease") == b"a:1"
