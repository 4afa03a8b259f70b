"""The script that commits, where the server or an account refuses, forgets, is full, or its answer is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from packages.infra.beat.messages.fire_ids import task_id_of
from packages.infra.beat.messages.message import Message, Push, Route
from packages.infra.beat.publisher import Commit, Fate
from packages.infra.beat.publishers.commit_script import MOST_FIRES
from packages.infra.beat.publishers.redis_publisher import RedisPublisher
from packages.infra.beat.standing import Trouble
from packages.infra.beat.trouble import trouble_of
from packages.scheduling.decision import SCHEDULE
from packages.scheduling.instants import HOUR_MS
from tests.beat.one_script import NOW, QUEUE, Made, World, fire_of, leading_world

CONTROLLERS = '{"v":1,"stepped_at":5}'


@pytest.fixture(params=["whole", "in pieces"])
def world(redis_url: str, request: pytest.FixtureRequest) -> Iterator[World]:
    with leading_world(redis_url, in_pieces=request.param == "in pieces") as world:
        yield world


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


def as_user(url: str, name: str) -> str:
    """The server by the name of another one, whose password is `pass`."""
    password = url.split(":")[2].split("@", maxsplit=1)[0]
    return url.replace("redis://:", f"redis://{name}:").replace(password, "pass")


@contextmanager
def limited(world: World, redis_url: str, name: str, *rules: str) -> Iterator[World]:
    """Another publisher of the same owner, with an account that these rules limit."""
    world.client.execute_command("ACL", "SETUSER", name, "on", ">pass", "+@all", *rules)
    try:
        with leading_world(as_user(redis_url, name), in_pieces=world.made.in_pieces) as other:
            yield other
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
