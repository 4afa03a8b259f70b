"""The one script that claims, pushes, records and keeps: what it does, what it refuses, and what a failure leaves."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from celery.beat import ScheduleEntry

from packages.infra.beat.entries.entry import BeatEntry
from packages.infra.beat.lease import Lease
from packages.infra.beat.messages.fire_ids import task_id_of
from packages.infra.beat.messages.message import Message, Pieces, Push, Route
from packages.infra.beat.publisher import Commit, Committed, Fate, FireOut
from packages.infra.beat.publishers.commit_script import COMMIT, MOST_FIRES
from packages.infra.beat.publishers.redis_publisher import RedisPublisher
from packages.infra.beat.redis_lease import KEEP, RedisLease
from packages.infra.beat.standing import Standing, Trouble
from packages.infra.beat.stored_values import state_of
from packages.infra.beat.trouble import trouble_of
from packages.infra.ledger.records import decision_of
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.queue.script_wire import ScriptWire
from packages.scheduling.decision import SCHEDULE, Decision, Reason, Verdict
from packages.scheduling.instants import HOUR_MS
from packages.scheduling.model import Criticality, Job
from packages.scheduling.plan import Fire
from packages.scheduling.policies import OverlapMode, Policies
from packages.scheduling.state import JobState
from packages.scheduling.triggers.interval import IntervalTrigger

NOW = 1_767_614_400_000
QUEUE = Route("queue")
CONTROLLERS = '{"v":1,"stepped_at":5}'
FRAME = (" <", ",", ",", ",", ">")


@dataclass
class Made:
    """Makes messages as told: `pushes` by job, else one to `queue`; a job in `broken` cannot be made one.

    Those to `queue` are whole, or `in_pieces`.
    """

    in_pieces: bool = False
    pushes: dict[str, tuple[Push, ...]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    accepted: list[str] = field(default_factory=list)

    def make(self, fire: Fire, entry: ScheduleEntry, *, term: int, published_at: int, task_id: str) -> Message | Pieces:
        assert entry.name == fire.job.name
        assert (term > 0, published_at) == (True, NOW)
        name = fire.job.name
        if name in self.broken:
            raise ValueError(f"{name} cannot be written")
        pushes = self.pushes.get(name, (Push(QUEUE, f"message of {name}"),))
        assert task_id == task_id_of(name, fire.decision.nominal, fire.decision.origin)
        if self.in_pieces and name not in self.pushes:
            return Pieces(QUEUE, f"message of {name}", f" at {fire.decision.nominal}", FRAME)
        return Message(task_id, pushes, lambda: self.accepted.append(name))

    def prepare(self, name: str, entry: ScheduleEntry, *, now: int) -> None:
        """There is nothing to prepare."""

    def forget(self, name: str) -> None:
        """Nothing is remembered."""


@dataclass
class World:
    """A publisher on a server, and another client to look with."""

    broker: BrokerRedis
    wire: ScriptWire
    lease: Lease
    publisher: RedisPublisher
    made: Made
    client: Any

    def commit(self, fires: Sequence[FireOut] = (), **given: Any) -> Committed:  # noqa: ANN401  # the fields of a commit
        states = {out.fire.job.name: state_after(out.fire) for out in fires}
        usual: dict[str, Any] = {"term": self.lease.term, "now": NOW, "tick": "1.1", "states": states}
        usual["tick_record"] = '{"v":1}'
        return self.publisher.commit(Commit(fires=fires, **(usual | given)))

    def messages(self, key: str = "queue") -> list[str]:
        """What was pushed, in its order; of those in pieces the head."""
        return [text.decode().split(" at ")[0] for text in reversed(self.client.lrange(key, 0, -1))]

    def states(self) -> dict[str, JobState]:
        return {name.decode(): state_of(text) for name, text in self.client.hgetall("test:beat:state").items()}

    def ledger(self) -> list[tuple[str, str]]:
        """The kind of each entry, and the job of a decision."""
        entries = [fields for _, fields in self.client.xrange("test:ledger")]
        return [
            ("d", decision_of(f[b"j"].decode(), f[b"d"]).job) if b"d" in f else ("s", f[b"s"].decode()) for f in entries
        ]

    def claims(self) -> int:
        return sum(self.client.scard(key) for key in self.client.scan_iter("test:beat:claims:*"))


def state_after(fire: Fire) -> JobState:
    return JobState(watermark=fire.decision.nominal, trigger="every hour", fired=1)


def fire_of(name: str, nominal: int = NOW, policies: Policies | None = None) -> FireOut:
    job = Job(name, f"task.{name}", IntervalTrigger(HOUR_MS), "queue", Criticality.CRITICAL)
    if policies is not None:
        job = Job(name, job.task, job.trigger, "queue", job.criticality, 60_000, policies)
    decision = Decision(name, nominal, nominal, SCHEDULE, NOW, Verdict.FIRE, Reason.ON_TIME)
    return FireOut(Fire(job, decision), BeatEntry(name=name, task=job.task, schedule=timedelta(hours=1)))


def world_on(url: str) -> World:
    broker = open_broker_redis(Celery("test", broker=url, set_as_current=False))
    assert broker is not None
    wire = ScriptWire(broker, (KEEP, COMMIT), timeout_s=2)
    lease = Lease(
        RedisLease(broker, wire), owner="me", period=timedelta(seconds=10), monotonic=lambda: 0.0, now=lambda: NOW
    )
    made = Made()
    publisher = RedisPublisher(broker, wire, made, lease, ledger_length=3_000, now=lambda: NOW, monotonic=lambda: 0.0)
    return World(broker, wire, lease, publisher, made, redis.Redis.from_url(url))


@pytest.fixture(params=["whole", "in pieces"])
def world(redis_url: str, request: pytest.FixtureRequest) -> Iterator[World]:
    world = world_on(redis_url)
    world.made.in_pieces = request.param == "in pieces"
    assert world.lease.keep() is Standing.LEADING
    yield world
    world.publisher.close()
    world.broker.close()
    world.client.close()


def test_a_new_fire_is_claimed_pushed_recorded_and_kept(world: World) -> None:
    skipped = fire_of("c").fire.decision._replace(verdict=Verdict.SKIP, reason=Reason.PAUSED)
    done = world.commit([fire_of("a"), fire_of("b")], decisions=[skipped])
    assert [settled.fate for settled in done.settled] == [Fate.ACCEPTED, Fate.ACCEPTED]
    assert (sorted(done.kept), done.is_recorded, done.error) == (["a", "b"], True, None)
    assert world.messages() == ["message of a", "message of b"]
    assert world.ledger() == [("s", '{"v":1}'), ("d", "a"), ("d", "b"), ("d", "c")]
    assert world.claims() == 2
    assert world.states() == {name: state_after(fire_of(name).fire) for name in ("a", "b")}
    assert world.made.accepted == ([] if world.made.in_pieces else ["a", "b"])


def test_a_fire_is_pushed_once_however_often_it_is_committed(world: World) -> None:
    world.commit([fire_of("a"), fire_of("b")])
    done = world.commit([fire_of("b"), fire_of("c"), fire_of("a")])
    assert [settled.fate for settled in done.settled] == [Fate.CLAIMED, Fate.ACCEPTED, Fate.CLAIMED]
    assert world.messages() == ["message of a", "message of b", "message of c"]
    assert [job for kind, job in world.ledger() if kind == "d"] == ["a", "b", "c"]
    assert world.made.accepted == ([] if world.made.in_pieces else ["a", "b", "c"])
    assert world.claims() == 3


def test_the_pieces_are_joined_as_they_say(world: World) -> None:
    world.made.in_pieces = True
    fires = [fire_of(name, NOW + hours * HOUR_MS) for hours in (0, 1) for name in ("a", "b")]
    world.commit(fires[1:2])
    world.commit(fires)
    expected = []
    for out in [fires[1], fires[0], *fires[2:]]:
        decision = out.fire.decision
        task_id = task_id_of(decision.job, decision.nominal, decision.origin)
        made = world.made.make(*out, term=1, published_at=NOW, task_id=task_id)
        assert isinstance(made, Pieces)
        expected += [push.payload for push in made.whole(task_id).pushes]
    assert [text.decode() for text in reversed(world.client.lrange("queue", 0, -1))] == expected
    assert expected[0].startswith(f"message of b at {NOW} <")


def test_fires_that_are_alike_but_for_what_is_kept_of_them(world: World) -> None:
    """One job has no state to keep, one has another one, one a decision of its own."""
    fires = [fire_of(name) for name in "abcd"]
    late = fires[3].fire
    fires[3] = fires[3]._replace(fire=late._replace(decision=late.decision._replace(reason=Reason.CAUGHT_UP)))
    states = {"b": JobState(NOW, fired=5), "c": JobState(NOW, fired=6), "d": JobState(NOW, fired=6)}
    done = world.commit(fires, states=states)
    assert sorted(done.kept) == ["b", "c", "d"]
    assert world.states() == states
    decided = [decision_of(f[b"j"].decode(), f[b"d"]) for _, f in world.client.xrange("test:ledger") if b"d" in f]
    assert decided == [out.fire.decision for out in fires]


def test_the_same_fire_twice_in_a_commit_is_pushed_once(world: World) -> None:
    done = world.commit([fire_of("a"), fire_of("a")])
    assert [settled.fate for settled in done.settled] == [Fate.ACCEPTED, Fate.CLAIMED]
    assert world.messages() == ["message of a"]


@pytest.mark.parametrize("count", [MOST_FIRES, MOST_FIRES + 1, 5 * MOST_FIRES + 3])
def test_many_fires_go_out_in_their_order(world: World, count: int) -> None:
    names = [f"job-{number:04}" for number in range(count)]
    skipped = fire_of("c").fire.decision._replace(verdict=Verdict.SKIP, reason=Reason.PAUSED)
    idle = {f"idle-{number}": JobState(NOW) for number in range(count)}
    states = {name: state_after(fire_of(name).fire) for name in names} | idle
    done = world.commit([fire_of(name) for name in names], states=states, decisions=[skipped] * count)
    assert world.messages() == [f"message of {name}" for name in names]
    assert {settled.fate for settled in done.settled} == {Fate.ACCEPTED}
    assert set(done.kept) == world.states().keys() == {*names, *idle}
    kinds = [kind for kind, _ in world.ledger()]
    assert (kinds.count("s"), kinds.count("d")) == (1, 2 * count)


def test_what_is_accepted_is_told_while_the_server_works_on_the_rest(world: World) -> None:
    world.commit([fire_of("job-0001")])
    fires = [fire_of(f"job-{number:04}") for number in range(3 * MOST_FIRES)]
    told: list[int] = []
    still_unanswered: list[int] = []

    def accepted(numbers: Sequence[int], at: int) -> None:
        assert at == NOW
        told.extend(numbers)
        still_unanswered.append(world.wire.unanswered)

    commit = Commit(term=world.lease.term, now=NOW, tick="1.1", tick_record="", fires=fires)
    done = world.publisher.commit(commit, accepted)
    assert sorted(told) == [number for number in range(len(fires)) if number != 1]
    assert [number for number, each in enumerate(done.settled) if each.fate is Fate.ACCEPTED] == sorted(told)
    assert still_unanswered[0] > still_unanswered[-1] == 0


def test_under_an_old_term_nothing_is_done(world: World) -> None:
    world.client.set("test:beat:lease", "somebody:2", px=10_000)
    done = world.commit([fire_of("a")])
    assert [settled.fate for settled in done.settled] == [Fate.REFUSED]
    assert (list(done.kept), done.is_recorded, done.error) == ([], False, None)
    assert (world.messages(), world.ledger(), world.states(), world.claims()) == ([], [], {}, 0)
    assert (world.lease.standing, world.lease.leader) == (Standing.FOLLOWING, "somebody")
    assert world.client.pttl("test:beat:lease") <= 10_000


def test_the_same_owner_under_another_term_is_refused(world: World) -> None:
    done = world.commit([fire_of("a")], term=world.lease.term + 1)
    assert [settled.fate for settled in done.settled] == [Fate.REFUSED]
    assert world.messages() == []


def test_a_commit_renews_the_lease(world: World) -> None:
    world.client.pexpire("test:beat:lease", 1_000)
    world.commit()
    assert world.client.pttl("test:beat:lease") > 9_000


def test_a_queue_of_another_kind_refuses_its_own_fires_alone(world: World) -> None:
    world.client.set("spoilt", "no list")
    both = (Push(QUEUE, "one"), Push(Route("spoilt"), "two"))
    world.made.pushes = {"bad": (Push(Route("spoilt"), "x"),), "half": both}
    done = world.commit([fire_of("a"), fire_of("bad"), fire_of("half"), fire_of("b")])
    fates = [settled.fate for settled in done.settled]
    assert fates == [Fate.ACCEPTED, Fate.FAILED, Fate.FAILED, Fate.ACCEPTED]
    assert done.error is None
    assert world.messages() == ["message of a", "message of b"]
    assert sorted(done.kept) == sorted(world.states()) == ["a", "b"]
    world.client.delete("spoilt")
    again = world.commit([fire_of("bad"), fire_of("half")])
    assert {settled.fate for settled in again.settled} == {Fate.ACCEPTED}
    assert world.messages()[2:] == ["one"]
    assert world.messages("spoilt") == ["x", "two"]


def test_an_entry_that_cannot_be_made_a_message_fails_alone(world: World) -> None:
    world.made.broken = {"bad"}
    done = world.commit([fire_of("bad"), fire_of("a")])
    assert [settled.fate for settled in done.settled] == [Fate.FAILED, Fate.ACCEPTED]
    assert str(done.settled[0].error) == "bad cannot be written"
    assert (list(done.kept), list(world.states())) == (["a"], ["a"])


@pytest.mark.parametrize(
    "key",
    ["beat:state", "ledger", "running:runs", "beat:counters", "beat:anchors", "beat:claims", "beat:controllers"],
)
def test_a_key_of_ours_of_another_kind_is_set_aside(world: World, key: str) -> None:
    world.client.rpush(f"test:{key}", "foreign")
    done = world.commit([fire_of("a")], controllers=CONTROLLERS)
    assert [settled.fate for settled in done.settled] == [Fate.FAILED]
    assert done.error is not None
    assert world.messages() == []
    assert world.client.lrange(f"test:{key}:foreign", 0, -1) == [b"foreign"]
    again = world.commit([fire_of("a")], controllers=CONTROLLERS)
    assert world.client.get("test:beat:controllers") == CONTROLLERS.encode()
    assert [settled.fate for settled in again.settled] == [Fate.ACCEPTED]


@pytest.mark.parametrize("field", ["commits", "published", "claimed_before"])
def test_counts_that_are_none_are_set_aside(world: World, field: str) -> None:
    world.client.hset("test:beat:counters", field, "many")
    done = world.commit([fire_of("a")])
    assert [settled.fate for settled in done.settled] == [Fate.FAILED]
    assert (world.messages(), world.claims()) == ([], 0)
    again = world.commit([fire_of("a")])
    assert ([settled.fate for settled in again.settled], world.messages()) == ([Fate.ACCEPTED], ["message of a"])
    assert world.client.hget("test:beat:counters:foreign", field) == b"many"


def test_answers_of_a_commit_that_was_broken_off_are_not_taken_for_those_of_the_next(world: World) -> None:
    def broken_off() -> None:
        raise SystemExit

    leaves = Made()
    message = Message(task_id_of("a", NOW, SCHEDULE), (Push(QUEUE, "message of a"),), broken_off)
    leaves.make = lambda *_, **__: message  # type: ignore[method-assign]
    publisher = RedisPublisher(
        world.broker,
        world.wire,
        leaves,
        world.lease,
        ledger_length=3_000,
        now=lambda: NOW,
        monotonic=lambda: 0.0,
    )
    fires = [fire_of("a", NOW + number * HOUR_MS) for number in range(2 * MOST_FIRES)]
    with pytest.raises(SystemExit):
        publisher.commit(Commit(term=world.lease.term, now=NOW, tick="1.1", tick_record="", fires=fires))
    assert world.wire.unanswered == 1
    done = world.commit([fire_of("b")])
    assert [settled.fate for settled in done.settled] == [Fate.ACCEPTED]


def test_channels_and_queues_that_expire(world: World) -> None:
    expiring = Route("short", expires=(("short", 60_000), ("short:3", 60_000)))
    world.client.lpush("short:3", "there")
    world.made.pushes = {"a": (Push(Route("/0.fanout", is_fanout=True), "to all"), Push(expiring, "to one"))}
    with world.client.pubsub() as listener:
        listener.subscribe("/0.fanout")
        assert listener.get_message(timeout=2)["type"] == "subscribe"
        world.commit([fire_of("a")])
        heard = listener.get_message(timeout=2)
    assert heard["data"] == b"to all"
    assert world.messages("short") == ["to one"]
    assert 0 < world.client.pttl("short") <= 60_000
    assert 0 < world.client.pttl("short:3") <= 60_000


def test_a_message_that_somebody_sent_himself_is_claimed_and_recorded(world: World) -> None:
    world.made.pushes = {"a": ()}
    done = world.commit([fire_of("a")])
    assert [settled.fate for settled in done.settled] == [Fate.ACCEPTED]
    assert (world.claims(), world.ledger()[1:]) == (1, [("d", "a")])


def test_a_run_that_holds_the_next_one_back_is_written_with_its_message(world: World) -> None:
    world.commit([fire_of("a", policies=Policies(overlap=OverlapMode.SKIP))])
    [(task_id, run)] = world.client.hgetall("test:running:runs").items()
    assert task_id.decode() == task_id_of("a", NOW, SCHEDULE)
    assert b'"job":"a"' in run
    assert f'"counts_until":{NOW + 60_000}'.encode() in run


def test_jobs_that_are_no_more_are_forgotten(world: World) -> None:
    world.commit([fire_of("a"), fire_of("b")])
    world.client.hset("test:beat:anchors", mapping={"a": 1, "b": 1})
    world.commit(forgotten=["a"])
    assert list(world.states()) == ["b"]
    assert world.client.hkeys("test:beat:anchors") == [b"b"]


def test_a_full_server_takes_nothing_and_loses_nothing(world: World) -> None:
    world.client.config_set("maxmemory-policy", "noeviction")
    world.client.config_set("maxmemory", 1)
    try:
        done = world.commit([fire_of("a")])
        assert [settled.fate for settled in done.settled] == [Fate.FAILED]
        assert done.error is not None
        assert trouble_of(done.error) is Trouble.FULL
        assert (world.messages(), world.claims(), world.states()) == ([], 0, {})
    finally:
        world.client.config_set("maxmemory", 0)
    assert [settled.fate for settled in world.commit([fire_of("a")]).settled] == [Fate.ACCEPTED]
    assert world.messages() == ["message of a"]


def test_a_server_that_forgot_the_script_is_told_it_again(world: World) -> None:
    world.commit([fire_of("a")])
    world.client.script_flush()
    world.commit([fire_of("b")])
    done = world.commit([fire_of("b")])
    assert {settled.fate for settled in done.settled} <= {Fate.ACCEPTED, Fate.CLAIMED}
    assert world.messages() == ["message of a", "message of b"]


def test_an_answer_that_was_lost_is_found_to_have_been_ours(world: World) -> None:
    world.commit([fire_of("before")])
    # The server does what it is told, and nobody is there to hear of it.
    lose_an_answer(world.wire._connection)
    done = world.commit([fire_of("a")])
    assert [settled.fate for settled in done.settled] == [Fate.FAILED]
    assert done.error is not None
    assert world.messages() == ["message of before", "message of a"]
    again = world.commit([fire_of("a"), fire_of("before")])
    assert [settled.fate for settled in again.settled] == [Fate.ACCEPTED, Fate.CLAIMED]
    assert world.messages() == ["message of before", "message of a"]
    assert world.made.accepted == ([] if world.made.in_pieces else ["before", "a"])


def lose_an_answer(connection: Any) -> None:  # noqa: ANN401  # a connection of redis
    """Let the next answer be given, and get lost on its way."""
    read = connection.read_response

    def lose(**given: Any) -> None:  # noqa: ANN401  # as redis has it
        read(**given)
        raise redis.ConnectionError("the connection was lost")

    connection.read_response = lose


def test_old_claims_are_dropped_while_a_lease_is_kept(world: World) -> None:
    world.commit([fire_of("a")])
    [(name, ends)] = world.client.zrange("test:beat:claims", 0, -1, withscores=True)
    assert world.client.exists(name) == 1
    assert world.client.pttl(name) > 0
    world.client.zadd("test:beat:claims", {name: 1})
    world.lease._ask_at_s = float("-inf")
    world.lease.keep()
    assert (world.client.exists(name), world.client.zcard("test:beat:claims")) == (0, 0)
    assert ends > 1


def test_the_ledger_keeps_to_its_length(world: World) -> None:
    skipped = fire_of("c").fire.decision._replace(verdict=Verdict.SKIP, reason=Reason.PAUSED)
    for _ in range(20):
        world.commit(decisions=[skipped] * 200)
    assert world.client.xlen("test:ledger") < 3_500


def as_user(url: str, name: str) -> str:
    """The server by the name of another one, whose password is `pass`."""
    password = url.split(":")[2].split("@", maxsplit=1)[0]
    return url.replace("redis://:", f"redis://{name}:").replace(password, "pass")


@contextmanager
def limited(world: World, redis_url: str, name: str, *rules: str) -> Iterator[World]:
    """Another publisher of the same owner, with an account that these rules limit."""
    world.client.execute_command("ACL", "SETUSER", name, "on", ">pass", "+@all", *rules)
    try:
        other = world_on(as_user(redis_url, name))
        other.lease._owner = world.lease.owner
        assert other.lease.keep() is Standing.LEADING
        yield other
        other.publisher.close()
        other.broker.close()
        other.client.close()
    finally:
        world.client.execute_command("ACL", "DELUSER", name)


def test_a_channel_that_is_forbidden_fails_its_own_fires_alone(world: World, redis_url: str) -> None:
    """As with every account for which nobody has said otherwise."""
    with limited(world, redis_url, "silent", "~*", "resetchannels") as other:
        both = (Push(QUEUE, "to one"), Push(Route("/0.fanout", is_fanout=True), "to all"))
        other.made.pushes = {"bad": both}
        fires = [fire_of("a"), fire_of("bad"), fire_of("b")]
        done = other.commit(fires)
        assert [settled.fate for settled in done.settled] == [Fate.ACCEPTED, Fate.FAILED, Fate.ACCEPTED]
        assert sorted(done.kept) == ["a", "b"]
        assert world.messages() == ["message of a", "message of b"]
        world.client.execute_command("ACL", "SETUSER", "silent", "allchannels")
        with world.client.pubsub() as listener:
            listener.subscribe("/0.fanout")
            assert listener.get_message(timeout=2)["type"] == "subscribe"
            again = other.commit(fires)
            assert listener.get_message(timeout=2)["data"] == b"to all"
        assert [settled.fate for settled in again.settled] == [Fate.CLAIMED, Fate.ACCEPTED, Fate.CLAIMED]
        assert world.messages() == ["message of a", "message of b", "to one"]


def test_long_messages_are_cut_into_more_calls(world: World) -> None:
    world.made.in_pieces = True
    head = "x" * 30_000
    fires = [fire_of(f"job-{number:03}") for number in range(MOST_FIRES)]
    world.client.config_resetstat()
    make = world.made.make
    frame = (head, ",", ",", ",", ">")

    def long(*given: Any, **more: Any) -> Message | Pieces:  # noqa: ANN401  # as `make`
        made = make(*given, **more)
        return made._replace(frame=frame) if isinstance(made, Pieces) else made

    world.made.make = long  # type: ignore[method-assign]
    done = world.commit(fires)
    assert {settled.fate for settled in done.settled} == {Fate.ACCEPTED}
    assert world.client.info("commandstats")["cmdstat_evalsha"]["calls"] == 3


def test_a_queue_that_is_out_of_bounds_fails_its_own_fires_alone(world: World, redis_url: str) -> None:
    rules = ("~test:*", "~queue", "&*", "resetkeys", "~test:*", "~queue")
    with limited(world, redis_url, "bounded", *rules) as other:
        other.made.pushes = {"bad": (Push(Route("forbidden"), "x"),)}
        # The first part of the call is the one that is refused.
        fires = [fire_of("bad"), fire_of("a"), fire_of("b")]
        done = other.commit(fires, controllers=CONTROLLERS)
        assert [settled.fate for settled in done.settled] == [Fate.FAILED, Fate.ACCEPTED, Fate.ACCEPTED]
        assert (done.error, done.is_recorded) == (None, True)
        assert world.client.get("test:beat:controllers") == CONTROLLERS.encode()
        assert ("s", '{"v":1}') in world.ledger()
        assert sorted(done.kept) == ["a", "b"]
        assert world.messages() == ["message of a", "message of b"]
        other.made.pushes = {"a2": (Push(Route("forbidden"), "x"),), "b2": (Push(Route("forbidden"), "y"),)}
        none = other.commit([fire_of("a2"), fire_of("b2")])
        assert [settled.fate for settled in none.settled] == [Fate.FAILED, Fate.FAILED]
        assert none.error is not None


def test_the_state_of_a_job_with_several_fires_waits_for_the_next_commit(world: World) -> None:
    fires = [fire_of("a"), fire_of("a", NOW + HOUR_MS), fire_of("b")]
    done = world.commit(fires)
    assert [settled.fate for settled in done.settled] == [Fate.ACCEPTED] * 3
    assert list(done.kept) == list(world.states()) == ["b"]
    assert list(world.commit(states={"a": state_after(fires[1].fire)}).kept) == ["a"]
