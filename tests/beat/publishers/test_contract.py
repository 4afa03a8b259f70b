"""What every publisher promises, on each broker."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from celery.schedules import schedule

from packages.infra.beat.messages.fire_ids import task_id_of
from packages.infra.beat.publisher import Commit, Committed, Fate, FireOut, Settled
from packages.infra.beat.stored_controllers import controllers_text
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.control.controllers import Controllers
from packages.scheduling.decision import Decision, Reason, Verdict
from packages.scheduling.instants import HOUR_MS, MINUTE_MS, to_datetime
from packages.scheduling.model import Criticality, Job
from packages.scheduling.plan import Fire
from packages.scheduling.state import JobState
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.publishers.worlds import WORLDS, Killed, Opener, Replica, World

NOON = 1_767_614_400_000
GOOD, BAD = "area.good", "area.bad"


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    open_world: Opener = request.param
    with ExitStack() as stack:
        yield open_world(request, stack)


@pytest.fixture
def not_atomic(world: World) -> World:
    if world.is_atomic:
        pytest.skip("a message goes out together with its claim; nothing can end in between")
    return world


def a_decision(name: str, nominal: int = NOON, verdict: Verdict = Verdict.FIRE) -> Decision:
    reason = Reason.ON_TIME if verdict is Verdict.FIRE else Reason.PAUSED
    return Decision(
        job=name,
        nominal=nominal,
        planned=nominal + 5,
        origin="schedule",
        at=nominal + 5,
        verdict=verdict,
        reason=reason,
    )


def fire_out(world: World, replica: Replica, name: str = GOOD, nominal: int = NOON) -> FireOut:
    job = Job(name, name, IntervalTrigger(MINUTE_MS), world.queue, Criticality.CRITICAL)
    options = {"queue": world.queue}
    entry = replica.host.make_entry(name, {"task": name, "schedule": schedule(60.0), "options": options})
    return FireOut(Fire(job, a_decision(name, nominal)), entry)


def a_commit(replica: Replica, *fires: FireOut, **changes: Any) -> Commit:  # noqa: ANN401  # fields of a commit
    states = {out.fire.job.name: JobState(watermark=out.fire.decision.nominal) for out in fires}
    given = {"tick": f"{replica.term}.1", "tick_record": "", "fires": fires, "states": states, **changes}
    return Commit(term=replica.term, now=NOON + 10, **given)


def kept_in_the_end(replica: Replica, commit: Commit, done: Committed) -> list[str]:
    """The jobs whose states were kept, by this commit or, when they had several fires in it, by the next one."""
    failed = {out.fire.job.name for out, each in zip(commit.fires, done.settled, strict=True) if each.error is not None}
    owed = {name: state for name, state in commit.states.items() if name not in {*done.kept, *failed}}
    return sorted({*done.kept, *replica.publisher.commit(a_commit(replica, states=owed)).kept})


def fates(settled: Iterable[Settled]) -> list[Fate]:
    return [each.fate for each in settled]


def keys(decisions: Iterable[Decision]) -> list[tuple[str, int]]:
    return [(decision.job, decision.nominal) for decision in decisions]


def state_of(nominal: int = NOON) -> Mapping[str, JobState]:
    return {GOOD: JobState(watermark=nominal)}


def test_a_new_fire_is_accepted_and_delivered_once(world: World) -> None:
    replica = world.replica()

    done = replica.publisher.commit(a_commit(replica, fire_out(world, replica)))

    assert fates(done.settled) == [Fate.ACCEPTED]
    assert (list(done.kept), done.is_recorded, done.error) == ([GOOD], True, None)
    assert world.states(GOOD) == state_of()
    [headers] = world.messages()
    at = done.settled[0].at
    assert at is not None
    expected = {
        "task": GOOD,
        "id": task_id_of(GOOD, NOON, "schedule"),
        "beat_job": GOOD,
        "beat_origin": "schedule",
        "beat_term": replica.term,
        "scheduled_for": rfc3339(to_datetime(NOON)),
        "planned_for": rfc3339(to_datetime(NOON + 5)),
        "beat_published_at": rfc3339(to_datetime(at)),
        "celery_beat_task": True,
    }
    assert {name: headers[name] for name in expected} == expected


def test_a_repeat_is_found_claimed_and_delivers_nothing(world: World) -> None:
    replica = world.replica()
    commit = a_commit(replica, fire_out(world, replica))
    replica.publisher.commit(commit)

    again = replica.publisher.commit(commit)

    assert again.settled == [Settled(Fate.CLAIMED)]
    assert list(again.kept) == [GOOD]
    assert len(world.messages()) == 1
    assert keys(world.decisions()) == [(GOOD, NOON)]


def test_another_replica_finds_it_claimed_too(world: World) -> None:
    first = world.replica()
    first.publisher.commit(a_commit(first, fire_out(world, first)))
    second = world.replica()

    commit = a_commit(second, fire_out(world, second), fire_out(world, second, nominal=NOON + MINUTE_MS))
    done = second.publisher.commit(commit)

    assert fates(done.settled) == [Fate.CLAIMED, Fate.ACCEPTED]
    assert kept_in_the_end(second, commit, done) == [GOOD]
    assert world.states(GOOD) == state_of(NOON + MINUTE_MS)
    assert [headers["beat_term"] for headers in world.messages()] == [first.term, second.term]


def test_under_an_old_term_nothing_is_done(world: World) -> None:
    old, new = world.replica(), world.replica()
    new.publisher.commit(a_commit(new))

    done = old.publisher.commit(
        a_commit(
            old,
            fire_out(world, old),
            decisions=[a_decision(BAD, verdict=Verdict.SKIP)],
            forgotten=[BAD],
            controllers=controllers_text(Controllers(stepped_at=NOON)),
        )
    )

    assert fates(done.settled) == [Fate.REFUSED]
    assert (list(done.kept), done.is_recorded, done.error) == ([], False, None)
    assert (world.messages(), world.states(GOOD), world.decisions(), world.controllers()) == ([], {}, [], None)
    # And the new one may publish it.
    assert fates(new.publisher.commit(a_commit(new, fire_out(world, new))).settled) == [Fate.ACCEPTED]
    assert len(world.messages()) == 1


def test_one_bad_message_fails_alone(world: World) -> None:
    replica = world.replica()
    replica.host.broken = {BAD}
    fires = [fire_out(world, replica, name, nominal) for name in (GOOD, BAD) for nominal in (NOON, NOON + MINUTE_MS)]

    commit = a_commit(replica, *fires)
    done = replica.publisher.commit(commit)

    assert fates(done.settled) == [Fate.ACCEPTED, Fate.ACCEPTED, Fate.FAILED, Fate.FAILED]
    assert [str(settled.error) for settled in done.settled[2:]] == ["this is no message"] * 2
    assert (done.is_recorded, done.error) == (True, None)
    assert kept_in_the_end(replica, commit, done) == [GOOD]
    assert world.states(GOOD, BAD) == state_of(NOON + MINUTE_MS)
    assert [headers["beat_job"] for headers in world.messages()] == [GOOD, GOOD]
    assert keys(world.decisions()) == [(GOOD, NOON), (GOOD, NOON + MINUTE_MS)]
    # Once it can be made a message it goes out.
    replica.host.broken = set()
    again = replica.publisher.commit(a_commit(replica, *fires[2:]))
    assert fates(again.settled) == [Fate.ACCEPTED, Fate.ACCEPTED]
    assert [headers["beat_job"] for headers in world.messages()] == [BAD, BAD]


def test_the_state_of_a_job_is_not_kept_if_the_first_of_its_fires_fails(world: World) -> None:
    replica = world.replica()
    fires = [fire_out(world, replica, GOOD, nominal) for nominal in (NOON, NOON + MINUTE_MS)]
    # Options that are none.
    fires[0].entry.options = 7  # type: ignore[assignment]  # that is the fault

    done = replica.publisher.commit(a_commit(replica, *fires))

    assert fates(done.settled) == [Fate.FAILED, Fate.ACCEPTED]
    assert (list(done.kept), world.states(GOOD)) == ([], {})
    assert len(world.messages()) == 1


def test_decisions_are_recorded_whatever_becomes_of_the_fires(world: World) -> None:
    replica = world.replica()
    replica.host.broken = {BAD}
    others = [a_decision("area.other", nominal, Verdict.SKIP) for nominal in range(NOON, NOON + 5)]

    fires = [fire_out(world, replica), fire_out(world, replica, BAD)]
    done = replica.publisher.commit(a_commit(replica, *fires, decisions=others))

    assert done.is_recorded
    recorded = world.decisions()
    assert {*recorded} == {*others, fires[0].fire.decision}
    assert [decision for decision in recorded if decision.job == "area.other"] == others


def test_states_without_a_fire_are_kept_and_jobs_that_are_no_more_forgotten(world: World) -> None:
    replica = world.replica()
    states = {f"job-{n}": JobState(watermark=n, trigger="every") for n in range(1_200)}
    done = replica.publisher.commit(a_commit(replica, states={**states, "gone": JobState(watermark=1)}))
    assert set(done.kept) == {*states, "gone"}

    replica.publisher.commit(a_commit(replica, states={}, forgotten=["gone", "never"]))

    assert world.states(*states, "gone") == states


def test_the_controllers_are_kept_with_whatever_goes_along(world: World) -> None:
    replica = world.replica()
    first, second = (Controllers(stepped_at=NOON + n) for n in (1, 2))
    replica.publisher.commit(a_commit(replica, fire_out(world, replica)))
    assert world.controllers() is None
    done = replica.publisher.commit(a_commit(replica, controllers=controllers_text(first)))
    assert (done.is_recorded, done.error, world.controllers()) == (True, None, first)
    replica.host.broken = {BAD}
    fires = [fire_out(world, replica, name, NOON + n) for name in (BAD, GOOD) for n in range(250)]
    replica.publisher.commit(a_commit(replica, *fires, controllers=controllers_text(second)))
    assert world.controllers() == second
    replica.publisher.commit(a_commit(replica, fire_out(world, replica, nominal=NOON + HOUR_MS)))
    assert world.controllers() == second


def test_more_fires_than_go_into_one_call(world: World) -> None:
    replica = world.replica()
    fires = [fire_out(world, replica, f"area.{n % 7}", NOON + n) for n in range(250)]
    states = {f"area.{n}": JobState(watermark=NOON + n) for n in range(7)}

    commit = a_commit(replica, *fires, states=states)
    done = replica.publisher.commit(commit)

    assert fates(done.settled) == [Fate.ACCEPTED] * 250
    assert kept_in_the_end(replica, commit, done) == sorted(states)
    ids = [headers["id"] for headers in world.messages()]
    assert len({*ids}) == len(ids) == 250
    assert len(world.decisions()) == 250


def test_the_same_fire_twice_in_one_commit_goes_out_once(world: World) -> None:
    replica = world.replica()
    fire = fire_out(world, replica)

    done = replica.publisher.commit(a_commit(replica, fire, fire))

    assert sorted(fate.value for fate in fates(done.settled)) == ["accepted", "claimed"]
    assert len(world.messages()) == 1


def test_nothing_to_publish_and_nothing_to_keep(world: World) -> None:
    replica = world.replica()

    done = replica.publisher.commit(a_commit(replica))

    assert (list(done.settled), list(done.kept), done.is_recorded, done.error) == ([], [], True, None)


def test_while_the_broker_is_away_all_fails_and_goes_out_once_when_it_is_back(world: World) -> None:
    replica = world.replica()
    fires = [fire_out(world, replica, GOOD, NOON + n * MINUTE_MS) for n in range(3)]
    commit = a_commit(replica, *fires)
    with world.cut_off(replica):
        done = replica.publisher.commit(commit)
        assert fates(done.settled) == [Fate.FAILED] * 3
        assert all(settled.error is not None for settled in done.settled)
        assert done.error is not None
        assert list(done.kept) == []
        # Asked with nothing to publish it does not say that the broker is back.
        assert replica.publisher.commit(a_commit(replica)).error is not None
    assert world.messages() == []

    assert replica.publisher.commit(a_commit(replica)).error is None
    done = replica.publisher.commit(commit)
    assert fates(done.settled) == [Fate.ACCEPTED] * 3
    assert fates(replica.publisher.commit(commit).settled) == [Fate.CLAIMED] * 3
    assert kept_in_the_end(replica, commit, done) == [GOOD]
    assert len(world.messages()) == 3
    assert world.states(GOOD) == state_of(NOON + 2 * MINUTE_MS)


def test_a_crash_before_the_publish_leaves_the_fire_unfinished(not_atomic: World) -> None:
    world, first = not_atomic, not_atomic.replica()
    first.host.dies = "before"
    with pytest.raises(Killed):
        first.publisher.commit(a_commit(first, fire_out(world, first), fire_out(world, first, nominal=NOON + HOUR_MS)))
    assert world.messages() == []

    second = world.replica()
    unfinished = second.publisher.unfinished(second.term)

    assert sorted(unfinished) == [(GOOD, n, n + 5, "schedule") for n in (NOON, NOON + HOUR_MS)]
    fires = [fire_out(world, second, job, nominal) for job, nominal, _, _ in unfinished]
    done = second.publisher.commit(a_commit(second, *fires))
    assert fates(done.settled) == [Fate.ACCEPTED] * 2
    ids = sorted(headers["id"] for headers in world.messages())
    assert ids == sorted(task_id_of(GOOD, n, "schedule") for n in (NOON, NOON + HOUR_MS))
    assert world.replica().publisher.unfinished(second.term + 1) == []


def test_a_crash_before_the_settling_sends_the_message_again_under_the_same_id(not_atomic: World) -> None:
    world, first = not_atomic, not_atomic.replica()
    first.host.dies = "after"
    with pytest.raises(Killed):
        first.publisher.commit(a_commit(first, fire_out(world, first)))

    second = world.replica()
    assert second.publisher.unfinished(second.term) == [(GOOD, NOON, NOON + 5, "schedule")]
    done = second.publisher.commit(a_commit(second, fire_out(world, second)))

    assert fates(done.settled) == [Fate.ACCEPTED]
    assert [headers["id"] for headers in world.messages()] == [task_id_of(GOOD, NOON, "schedule")] * 2
    assert keys(world.decisions()) == [(GOOD, NOON)]
    assert second.publisher.unfinished(second.term) == []


def test_an_unfinished_fire_that_is_skipped_is_finished(not_atomic: World) -> None:
    world, first = not_atomic, not_atomic.replica()
    first.host.dies = "before"
    with pytest.raises(Killed):
        first.publisher.commit(a_commit(first, fire_out(world, first)))
    second = world.replica()
    second.publisher.unfinished(second.term)

    second.publisher.commit(a_commit(second, decisions=[a_decision(GOOD, verdict=Verdict.SKIP)]))

    third = world.replica()
    assert third.publisher.unfinished(third.term) == []


def test_nothing_is_unfinished_without_a_crash(world: World) -> None:
    first = world.replica()
    first.host.broken = {BAD}
    first.publisher.commit(a_commit(first, fire_out(world, first), fire_out(world, first, BAD)))
    second = world.replica()

    assert list(second.publisher.unfinished(second.term)) == []
