"""The one script that claims, pushes, records and keeps: what it does, what it refuses, and what a failure leaves."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from packages.infra.beat.messages.fire_ids import task_id_of
from packages.infra.beat.messages.message import Message, Pieces, Push, Route
from packages.infra.beat.publisher import Commit, Fate
from packages.infra.beat.publishers.commit_script import MOST_FIRES
from packages.infra.beat.standing import Standing
from packages.infra.ledger.records import decision_of
from packages.scheduling.decision import SCHEDULE, Reason, Verdict
from packages.scheduling.instants import HOUR_MS
from packages.scheduling.policies import OverlapMode, Policies
from packages.scheduling.state import JobState
from tests.beat.one_script import NOW, World, fire_of, leading_world, state_after


@pytest.fixture(params=["whole", "in pieces"])
def world(redis_url: str, request: pytest.FixtureRequest) -> Iterator[World]:
    with leading_world(redis_url, in_pieces=request.param == "in pieces") as world:
        yield world


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


def test_the_state_of_a_job_with_several_fires_waits_for_the_next_commit(world: World) -> None:
    fires = [fire_of("a"), fire_of("a", NOW + HOUR_MS), fire_of("b")]
    done = world.commit(fires)
    assert [settled.fate for settled in done.settled] == [Fate.ACCEPTED] * 3
    assert list(done.kept) == list(world.states()) == ["b"]
    assert list(world.commit(states={"a": state_after(fires[1].fire)}).kept) == ["a"]
