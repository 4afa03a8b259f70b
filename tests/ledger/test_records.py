"""What is written is read again, the short way of writing is the long one, and what is not ours is said to be."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.infra.beat.stored_values import ForeignValueError, state_of, state_text, value_text
from packages.infra.ledger.control_record import ControlRecord
from packages.infra.ledger.records import decision_of, decision_text, tick_of, tick_text
from packages.scheduling.control.controllers import Controllers, QueueControl
from packages.scheduling.decision import Decision
from packages.scheduling.readings import QueueReading, TaskReading, WindowCount
from packages.scheduling.snapshot import Exemption, Pause, PauseScope, Pin, Reading, Run, Snapshot
from packages.scheduling.state import JobState
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.ledger.control_values import (
    controllers,
    exempt,
    objective_readings,
    pins,
    queue_readings,
    task_readings,
)
from tests.ledger.decisions import CANCEL, DEFER, SKIP, decisions, fire, snapshots, states, texts
from tests.scheduling.markets import table_of


@settings(max_examples=200)
@given(decisions)
def test_a_decision_is_written_as_the_general_way_writes_it(decision: Decision) -> None:
    text = decision_text(decision)
    assert text == value_text(decision, without="job")
    assert decision_of(decision.job, text) == decision_of(decision.job, text.encode()) == decision


@settings(max_examples=200)
@given(states)
def test_a_state_is_written_as_the_general_way_writes_it(state: JobState) -> None:
    text = state_text(state)
    assert text == value_text(state)
    assert state_of(text) == state_of(text.encode()) == state


@pytest.mark.parametrize("decision", [fire(), SKIP, DEFER, CANCEL], ids=["fire", "skip", "defer", "cancel"])
def test_a_decision_is_read_again(decision: Decision) -> None:
    assert decision_of(decision.job, decision_text(decision)) == decision


def test_these_are_the_texts() -> None:
    assert decision_text(fire()) == (
        '{"v":1,"nominal":1000,"planned":1500,"origin":"schedule","at":1700,"verdict":"fire","reason":"on_time"}'
    )
    assert state_text(JobState(5)) == '{"v":1,"watermark":5}'
    assert state_text(JobState(5, IntervalTrigger(60_000).describe(), clock=2, fired=7)) == (
        f'{{"v":1,"watermark":5,"trigger":{json.dumps(IntervalTrigger(60_000).describe())},"clock":2,"fired":7}}'
    )


controls = st.builds(
    ControlRecord,
    queues=queue_readings,
    tasks=task_readings,
    objectives=objective_readings,
    pins=pins,
    exempt=exempt,
    controllers=controllers,
)


@settings(max_examples=200)
@given(snapshots, st.none() | texts | controls)
def test_a_tick_is_read_again(snapshot: Snapshot, control: ControlRecord | str | None) -> None:
    looked_at = () if snapshot.running is None else tuple(snapshot.running.value)
    text = tick_text(tick="5.12", term=5, policies="abc", snapshot=snapshot, looked_at=looked_at, control=control)
    record = tick_of(text)
    assert record == tick_of(text.encode())
    assert (record.tick, record.term, record.policies, record.at) == ("5.12", 5, "abc", snapshot.taken_at)
    whole = control.put_into(snapshot) if isinstance(control, ControlRecord) else snapshot
    control_in = "5.12" if isinstance(control, ControlRecord) else control
    assert (record.snapshot, record.calendars, record.control_in) == (whole, {}, control_in)


def test_what_the_control_knew_is_written_in_short() -> None:
    reading = QueueReading(3, None, 0, 1, 12, 30_000, 2, frozenset("aq"))
    known = ControlRecord(
        queues={"q": Reading(reading, 4_000), "b": Reading(QueueReading(), 4_000)},
        tasks={"t": Reading(TaskReading(9, 3), 4_000)},
        objectives={"fast": Reading((WindowCount(300_000, 1, 40),), 4_500)},
        pins={("q", None): Pin("q", None, 500_000, 1, None, "")},
        exempt={"area.job": Exemption("area.job", 1, 9_000, "why")},
        controllers=Controllers(stepped_at=4_000, queues={"q": QueueControl(group=frozenset("qa"))}),
    )
    text = tick_text(tick="1.1", term=1, policies="abc", snapshot=Snapshot(taken_at=5_000), looked_at=(), control=known)
    assert text == (
        '{"v":1,"tick":"1.1","term":1,"at":5000,"policies":"abc","control":{'
        '"queues":{"b":[1000,[null,null,null,null,null,0,null]],"q":[1000,[3,null,0,1,12,30000,2,0]]},"tasks":{"t":[1000,[9,3]]},'
        '"objectives":{"fast":[500,[[300000,1,40]]]},"pins":[["q",null,500000,1,null,""]],'
        '"exempt":[["area.job",1,9000,"why"]],"controllers":{"stepped_at":4000,"queues":{"q":{"group":0}}},"groups":[["a","q"]]}}'
    )
    assert tick_of(text).snapshot == known.put_into(Snapshot(taken_at=5_000))


def test_what_the_tick_did_not_look_at_is_left_out() -> None:
    one, other = Run("a", 1_000, 9_000), Run("b", 2_000, 9_000)
    snapshot = Snapshot(
        taken_at=5_000,
        pauses=Reading((Pause(PauseScope.ALL, "", 1, None, "a release"),), 4_800),
        running=Reading({"area.job": (one,), "other": (other,)}, 4_900),
    )
    text = tick_text(tick="1.1", term=1, policies="abc", snapshot=snapshot, looked_at={"area.job"})
    assert text == (
        '{"v":1,"tick":"1.1","term":1,"at":5000,"policies":"abc","pauses":[200,[["all","",1,null,"a release"]]],'
        '"running":[100,{"area.job":[["a",1000,9000]]}]}'
    )
    assert tick_of(text).snapshot == snapshot._replace(running=Reading({"area.job": (one,)}, 4_900))


def test_calendars_are_told_by_their_digests() -> None:
    table = table_of([[(1_000, 2_000)]])
    snapshot = Snapshot(taken_at=5_000, markets={"TEST": table})
    record = tick_of(tick_text(tick="1.1", term=1, policies="abc", snapshot=snapshot, looked_at=()))
    assert record.calendars == {"TEST": table.digest}
    assert record.snapshot == Snapshot(taken_at=5_000)


NO_JSON_OF_OURS = [b"", b"not json", b"[1]", b"\xff\xfe", b'{"v":2}', b'{"v":1}', b"[" * 100_000]


@pytest.mark.parametrize(
    "text",
    [
        *NO_JSON_OF_OURS,
        json.dumps({**json.loads(decision_text(fire())), "nominal": "soon"}),
        json.dumps({**json.loads(decision_text(fire())), "job": 5}),
        json.dumps({**json.loads(decision_text(fire())), "verdict": "perhaps"}),
        json.dumps({**json.loads(decision_text(fire())), "opinions": [5]}),
        json.dumps({**json.loads(decision_text(fire())), "unknown": 5}),
    ],
)
def test_what_is_no_decision_is_said_to_be_none(text: str | bytes) -> None:
    with pytest.raises(ForeignValueError):
        decision_of("area.job", text)


@pytest.mark.parametrize("text", NO_JSON_OF_OURS)
def test_what_is_no_state_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(ForeignValueError):
        state_of(text)


TICK: dict[str, Any] = {"v": 1, "tick": "1.1", "term": 1, "at": 5_000, "policies": "abc"}


@pytest.mark.parametrize(
    "text",
    [
        *NO_JSON_OF_OURS,
        json.dumps({**TICK, "v": 2}),
        json.dumps({**TICK, "at": "soon"}),
        json.dumps({**TICK, "term": None}),
        json.dumps({**TICK, "pauses": 5}),
        json.dumps({**TICK, "pauses": [0, [["nobody", "", 1, None, ""]]]}),
        json.dumps({**TICK, "running": [0, {"job": [["id"]]}]}),
        json.dumps({**TICK, "running": [0]}),
        json.dumps({**TICK, "gate_modes": {"pause": "now and then"}}),
        json.dumps({**TICK, "calendars": ["XNYS"]}),
        json.dumps({**TICK, "control": []}),
        json.dumps({**TICK, "control": 5}),
        json.dumps({**TICK, "control": {"queues": {"q": [0, [1, 2]]}}}),
        json.dumps({**TICK, "control": {"queues": {"q": [0, [1, 0, 0, 0, 0, 0, 0, 1]]}}}),
        json.dumps({**TICK, "control": {"controllers": {"queues": {"q": {"group": 0}}}}}),
        json.dumps({**TICK, "control": {"controllers": {"queues": []}}}),
        json.dumps({**TICK, "control": {"queues": {"q": [0, ["many", None, 0, 0, 0, 0, 0]]}}}),
        json.dumps({**TICK, "control": {"tasks": {"t": [None, [1, 2]]}}}),
        json.dumps({**TICK, "control": {"tasks": {"t": [0, ["1", 2]]}}}),
        json.dumps({**TICK, "control": {"objectives": {"o": [0, [[1]]]}}}),
        json.dumps({**TICK, "control": {"pins": [["q", "nobody", 1, 1, None, ""]]}}),
        json.dumps({**TICK, "control": {"exempt": [["job"]]}}),
        json.dumps({**TICK, "control": {"controllers": {"stepped_at": "soon"}}}),
    ],
)
def test_what_is_no_tick_is_said_to_be_none(text: str | bytes) -> None:
    with pytest.raises(ForeignValueError):
        tick_of(text)
