"""Which entries are which jobs, what is known of them, and what the store is still owed."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from celery.beat import ScheduleEntry
from celery.schedules import schedule

from packages.infra.beat.entries.entry import BeatEntry
from packages.infra.beat.entries.roster import Roster
from packages.infra.beat.state_store import MemoryStateStore, StoreAwayError
from packages.scheduling.decision import Reason
from packages.scheduling.engine import Engine
from packages.scheduling.instants import HOUR_MS, MINUTE_MS, to_instant
from packages.scheduling.state import JobState, OpenFire
from tests.beat.stepped import NOON, make_app

AT = to_instant(NOON)
APP = make_app({})


class World:
    """A roster on its own. All is hourly and of one task; the period of `third` is no whole number of milliseconds."""

    def __init__(self, *names: Any, store: MemoryStateStore | None = None) -> None:  # noqa: ANN401  # Celery takes anything as a name
        self.engine = Engine()
        self.store = store or MemoryStateStore()
        self.roster = Roster(APP, engine=self.engine, store=self.store, is_polled=lambda _: False)
        self.schedule: dict[Any, ScheduleEntry] = {name: made(str(name)) for name in names}

    def take_in(self, *, leads: bool) -> None:
        self.roster.update(self.schedule, list(self.schedule), AT, leads=leads)

    def owed(self) -> dict[str, JobState]:
        """All that is not kept yet, taken out."""
        owed = {}
        while self.roster.unsaved:
            name, state = self.roster.unsaved.popitem()
            owed[name] = state
        return owed

    def grid(self, name: str) -> int | None:
        """The first nominal behind noon."""
        return self.engine.job(name).trigger.next_after(AT)


def made(name: str, **more: Any) -> ScheduleEntry:  # noqa: ANN401  # of Celery
    period = timedelta(hours=1) / 7 if name == "third" else timedelta(hours=1)
    return BeatEntry(name=name, task="task", app=APP, **{"schedule": schedule(period), **more})


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: setattr(entry, "task", "other"),
        lambda entry: setattr(entry, "schedule", schedule(timedelta(hours=1))),
        lambda entry: entry.options.update(queue="other"),
        lambda entry: entry.options.update(expires=5),
    ],
)
def test_what_its_job_is_made_from_is_noticed_when_it_changes_in_place(change: Callable[[Any], None]) -> None:
    world = World("one", "two")
    world.take_in(leads=True)
    assert world.roster.changed_in_place(world.schedule, tracked=True) == []
    change(world.schedule["two"])
    assert world.roster.changed_in_place(world.schedule, tracked=True) == ["two"]
    world.roster.update(world.schedule, ["two"], AT, leads=True)
    assert world.roster.changed_in_place(world.schedule, tracked=True) == []


def test_an_entry_that_was_put_aside_is_noticed_when_it_changes_in_place() -> None:
    world = World("one")
    no_interval: Any = schedule(timedelta(days=1))
    no_interval.run_every = None
    world.schedule["one"].schedule = no_interval
    world.take_in(leads=True)
    assert list(world.roster.quarantine.listed) == ["one"]
    assert world.roster.changed_in_place(world.schedule, tracked=True) == []
    world.schedule["one"].task = "other"
    assert world.roster.changed_in_place(world.schedule, tracked=True) == ["one"]


@pytest.mark.parametrize("name", ["one", "third"])
def test_an_anchor_that_the_store_has_lost_is_one_of_the_same_grid(name: str) -> None:
    world = World(name)
    world.take_in(leads=False)
    grid = world.grid(name)
    world.store.forget([name])
    world.roster.go_on_from_store(world.schedule, AT + MINUTE_MS)
    assert world.grid(name) == grid
    again = World(name)
    again.store.anchors(world.store.anchors({name: 1}))
    again.roster.update(again.schedule, [name], AT + 2 * MINUTE_MS, leads=True)
    assert again.grid(name) == grid


@pytest.mark.parametrize("name", ["one", "third"])
def test_the_grid_is_that_of_the_first_beat_to_name_it(name: str) -> None:
    world = World(name)
    world.take_in(leads=False)
    world.store.forget([name])
    world.store.anchors({name: AT + MINUTE_MS})
    world.roster.go_on_from_store(world.schedule, AT)
    assert world.grid(name) == AT + MINUTE_MS


def test_an_entry_that_says_where_its_grid_begins_needs_no_anchor() -> None:
    world = World()
    world.schedule["one"] = made("one", last_run_at=NOON)
    world.take_in(leads=False)
    world.roster.go_on_from_store(world.schedule, AT + MINUTE_MS)
    assert world.store.anchors({"one": 1}) == {"one": 1}


def test_a_follower_owes_nothing_and_the_first_leader_every_state() -> None:
    world = World("one", "two")
    world.take_in(leads=False)
    assert world.owed() == {}
    world.roster.go_on_from_store(world.schedule, AT)
    assert world.owed() == {name: world.engine.state(name) for name in ("one", "two")}
    world.schedule["three"] = made("three")
    world.roster.update(world.schedule, ["three"], AT, leads=False)
    assert list(world.owed()) == ["three"]


def test_what_is_taken_in_under_a_term_or_after_one_is_owed() -> None:
    world = World("one")
    world.take_in(leads=True)
    assert list(world.owed()) == ["one"]
    world.schedule["two"] = made("two")
    world.roster.update(world.schedule, ["two"], AT, leads=False)
    assert list(world.owed()) == ["two"]


def test_what_the_store_has_is_not_owed() -> None:
    world = World("one", "two")
    world.take_in(leads=False)
    world.store.save({"one": world.engine.state("one")})
    world.roster.go_on_from_store(world.schedule, AT)
    assert list(world.owed()) == ["two"]


def test_what_waited_here_while_another_one_led_is_not_published_again_where_the_store_has_lost_it() -> None:
    world = World("one")
    world.take_in(leads=True)
    failed = OpenFire(AT + HOUR_MS, AT + HOUR_MS, "schedule", AT + HOUR_MS, Reason.PUBLISH_FAILED, since=AT + HOUR_MS)
    asked_for = replace(failed, origin="trigger:1")
    later = replace(failed, nominal=AT + 2 * HOUR_MS, planned=AT + 2 * HOUR_MS)
    before = world.engine.state("one")._replace(watermark=AT + 2 * HOUR_MS, open=(failed, asked_for, later))
    world.engine.put_state("one", before, AT + 2 * HOUR_MS)
    world.store.forget(["one"])
    led_until = AT + 2 * HOUR_MS - 1
    world.roster.go_on_from_store(world.schedule, AT + 2 * HOUR_MS, led_until=led_until)
    assert world.engine.state("one").open == (asked_for, later)


def test_what_a_store_has_lost_under_a_term_is_owed_again() -> None:
    world = World("one", "two")
    world.take_in(leads=True)
    world.store.save(world.owed())
    world.store.forget(["two"])
    for _ in range(3):
        world.roster.keep_anew(world.schedule, AT)
    assert len(world.roster.unsaved) == 1
    assert world.owed() == {"two": world.engine.state("two")}


def test_a_grid_that_another_beat_has_named_after_the_store_had_lost_it_holds_at_once() -> None:
    world = World("one")
    world.take_in(leads=True)
    world.store.forget(["one"])
    world.store.anchors({"one": AT + MINUTE_MS})
    world.roster.keep_anew(world.schedule, AT)
    assert world.grid("one") == AT + MINUTE_MS


class Asked(MemoryStateStore):
    """Counts how often it is asked for anchors, and is away when it is asked for states the `away_at`th time."""

    asked = loads = 0
    away_at = -1

    def anchors(self, proposed: Mapping[str, int]) -> dict[str, int]:
        self.asked += bool(proposed)
        return super().anchors(proposed)

    def load(self, names: Collection[str]) -> dict[str, JobState]:
        self.loads += 1
        if self.loads == self.away_at:
            raise StoreAwayError("away")
        return super().load(names)


def test_a_term_of_many_jobs_begins_with_few_questions() -> None:
    store = Asked()
    world = World(*(f"job {number}" for number in range(5_000)), store=store)
    world.take_in(leads=False)
    store.asked = 0
    world.roster.go_on_from_store(world.schedule, AT)
    world.roster.keep_anew(world.schedule, AT)
    assert store.asked == 2


def test_a_grid_is_moved_although_the_store_went_away_meanwhile() -> None:
    store = Asked()
    world = World("one", "two", store=store)
    world.take_in(leads=False)
    store.forget(["one"])
    store.anchors({"one": AT + MINUTE_MS})
    # The second question of a term is for those that are taken in anew.
    store.away_at = store.loads + 2
    with pytest.raises(StoreAwayError):
        world.roster.go_on_from_store(world.schedule, AT)
    world.roster.go_on_from_store(world.schedule, AT)
    assert world.grid("one") == AT + MINUTE_MS
    del world.schedule["one"]
    world.roster.update(world.schedule, ["one"], AT, leads=True)
    assert list(world.engine.names) == ["two"]


def test_two_keys_of_one_name() -> None:
    world = World(1, "1", "other")
    world.take_in(leads=True)
    del world.schedule[1]
    world.roster.update(world.schedule, [1], AT, leads=True)
    changed = world.roster.changed_in_place(world.schedule, tracked=True)
    assert changed == ["1"]
    world.roster.update(world.schedule, changed, AT, leads=True)
    assert sorted(world.engine.names) == ["1", "other"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: setattr(entry, "schedule", None),
        lambda entry: setattr(entry, "options", 5),
        lambda entry: entry.options.update(expires=float("nan")),
    ],
)
def test_an_entry_that_is_spoilt_in_place_is_put_aside_alone(spoil: Callable[[Any], None]) -> None:
    world = World("bad", "good")
    world.take_in(leads=True)
    spoil(world.schedule["bad"])
    changed = world.roster.changed_in_place(world.schedule, tracked=True)
    assert changed == ["bad"]
    world.roster.update(world.schedule, changed, AT, leads=True)
    assert (list(world.roster.quarantine.listed), list(world.engine.names)) == (["bad"], ["good"])
    assert world.roster.changed_in_place(world.schedule, tracked=True) == []


def test_a_whole_schedule_is_owed_as_it_is_when_it_is_kept() -> None:
    world = World("one", "gone", "bad")
    world.take_in(leads=False)
    world.roster.go_on_from_store(world.schedule, AT)
    bad = world.engine.state("bad")
    world.engine.put_state("one", JobState(AT + HOUR_MS, world.engine.state("one").trigger), AT + HOUR_MS)
    del world.schedule["gone"]
    world.schedule["bad"].schedule = None
    world.roster.update(world.schedule, ["gone", "bad"], AT, leads=True)
    assert world.roster.forgotten == {"gone"}
    assert world.owed() == {"one": world.engine.state("one"), "bad": bad}
    assert world.engine.state("one").watermark == AT + HOUR_MS
