"""Entries as they are given: keys that are no text, copies, classes of somebody's own, changes of the configuration."""

from datetime import timedelta

import pytest
from celery.beat import ScheduleEntry
from celery.schedules import schedule

from packages.infra.beat.entries.configured_entries import LOOKS_EVERY_S, ConfiguredEntries
from packages.infra.beat.entries.entry import BeatEntry, has_fixed_start, mark_copied, options_and_kwargs
from packages.infra.beat.entries.names import Keys
from tests.beat.stepped import NOON, Clock, make_app, recorder, run_until
from tests.beat.test_roster import made

APP = make_app({})


def test_a_name_that_is_no_text() -> None:
    clock = Clock()
    scheduler = recorder(make_app({7: {"task": "task", "schedule": timedelta(minutes=1)}}), clock)  # type: ignore[dict-item]  # that is the case
    run_until(scheduler, clock, NOON + timedelta(minutes=2))
    assert scheduler.names == ["7", "7"]
    scheduler.close()


def test_keys_by_name() -> None:
    keys, schedule = Keys(), {"a": 1, 7: 2}
    for key in schedule:
        keys.note(key)
    assert (keys["a"], keys["7"], keys.get("b")) == ("a", 7, "b")
    assert [name in keys.names_in(schedule) for name in ("a", "7", 7)] == [True, True, False]
    keys.note("7")
    assert keys["7"] == "7"
    keys.note(7)
    keys.drop("7")
    assert keys["7"] == "7"


def test_a_copy_stays_a_copy() -> None:
    entry = made("one", last_run_at=NOON)
    assert has_fixed_start(entry)
    assert has_fixed_start(next(entry))
    mark_copied(entry, made("one"))
    assert not has_fixed_start(entry)
    assert not has_fixed_start(next(entry))
    assert next(entry) == entry


@pytest.mark.parametrize("count", [1, 6_000])
def test_what_changed_in_the_configuration_is_told_once(count: int) -> None:
    app = make_app({f"entry-{n}": {"task": "task"} for n in range(count)})
    configured = ConfiguredEntries(app, now_s=0)
    assert configured.changes(LOOKS_EVERY_S / 2) is None
    assert not configured.changes(0, at_once=True)
    app.conf.beat_schedule["entry-0"] = {"task": "other"}
    change = configured.changes(0, at_once=True)
    assert change is not None
    assert (change.changed, change.gone) == ({"entry-0": {"task": "other"}}, frozenset())
    assert not configured.changes(0, at_once=True)
    del app.conf.beat_schedule["entry-0"]
    app.conf.beat_schedule["new"] = {"task": "task"}
    change = configured.changes(0, at_once=True)
    assert change is not None
    assert (change.changed, change.gone) == ({"new": {"task": "task"}}, frozenset({"entry-0"}))
    assert not configured.changes(0, at_once=True)


class Dynamic(BeatEntry):
    """An entry class of a user's own, which makes its arguments when they are asked for."""

    @property
    def kwargs(self) -> dict[str, int]:
        return {"n": 1}

    @kwargs.setter
    def kwargs(self, given: object) -> None:
        """Nobody else says so."""


class Unlike(BeatEntry):
    """One that begins, and is updated, in its own way, as Celery's text has it."""

    def __init__(self, name: str) -> None:
        self.name, self.task, self.schedule, self.args = name, "task", schedule(60.0), ()
        self.app, self.last_run_at, self.total_run_count = APP, NOON, 0

    def update(self, other: ScheduleEntry) -> None:
        vars(self).update({"kwargs": other.kwargs, "options": other.options})


def test_entry_classes_of_somebodys_own() -> None:
    dynamic = Dynamic(name="a", task="task", schedule=schedule(60.0), app=APP)
    assert (dynamic.kwargs, options_and_kwargs(dynamic)) == ({"n": 1}, (None, {"n": 1}))
    unlike = Unlike("b")
    assert (unlike.kwargs, unlike.options, options_and_kwargs(unlike)) == ({}, {}, (None, None))
    unlike.update(made("b", kwargs={"k": 1}, options={"queue": "q"}))
    assert (unlike.kwargs, unlike.options) == ({"k": 1}, {"queue": "q"})
    assert options_and_kwargs(unlike) == ({"queue": "q"}, {"k": 1})
