"""The state of the adaptive control as text: read again as it was, the same for equal states, and nothing else's."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packages.infra.beat.stored_controllers import controllers_of, controllers_text
from packages.infra.beat.stored_values import ForeignValueError
from packages.scheduling.control.controllers import (
    NEUTRAL,
    Controllers,
    LevelControl,
    QueueControl,
    TargetControl,
    WaitBasis,
)
from packages.scheduling.model import Criticality
from tests.ledger.control_values import FIELDS, controllers


def test_every_field_is_drawn() -> None:
    """One that is added is to be written, too."""
    drawn = {kind: tuple(fields) for kind, fields in FIELDS.items()}
    assert drawn == {kind: kind._fields for kind in (QueueControl, LevelControl, TargetControl, Controllers)}


@given(controllers)
def test_what_is_written_is_read_again_as_the_same(state: Controllers) -> None:
    text = controllers_text(state)
    assert controllers_of(text) == controllers_of(text.encode()) == state
    assert controllers_text(controllers_of(text)) == text


@given(controllers, st.randoms(use_true_random=False))
def test_the_order_in_which_it_came_about_does_not_matter(state: Controllers, random: Any) -> None:  # noqa: ANN401  # of hypothesis
    def shuffled(given: Any) -> Any:  # noqa: ANN401  # a mapping of anything
        items = list(given.items())
        random.shuffle(items)
        return dict(items)

    parts = {name: shuffled(part) for name, part in state._asdict().items() if isinstance(part, Mapping)}
    other = state._replace(**parts)
    assert controllers_text(other) == controllers_text(state)


def test_it_is_short_and_a_person_can_read_it() -> None:
    assert controllers_text(NEUTRAL) == '{"v":1}'
    queue = QueueControl(0, WaitBasis.EMPTY, rates={Criticality.SHEDDABLE: 0}, since=9, group=frozenset("qa"))
    state = Controllers(
        7,
        {"q": queue, "idle": QueueControl()},
        {"fast": LevelControl(0, 0, sheds=frozenset())},
        {"t": TargetControl(0, 5)},
        {("q", Criticality.SHEDDABLE_PLUS): 3},
    )
    assert controllers_text(state) == (
        '{"v":1,"stepped_at":7,"queues":{"idle":{},'
        '"q":{"wait_ms":0,"basis":"empty","rates":{"sheddable":0},"since":9,"group":0}},'
        '"levels":{"fast":{"level":0,"since":0,"sheds":[]}},"targets":{"t":{"rate":0,"since":5}},'
        '"coalesced":[["q","sheddable_plus",3]],"groups":[["a","q"]]}'
    )


def test_queues_that_share_workers_are_named_once_however_many_they_are() -> None:
    names = [f"queue_{number}" for number in range(1_000)]
    group = frozenset(names)
    text = controllers_text(Controllers(7, {name: QueueControl(group=group) for name in names}))
    assert len(text) < 100 * len(names)
    assert len({id(queue.group) for queue in controllers_of(text).queues.values()}) == 1


FOREIGN: tuple[dict[str, Any], ...] = (
    {"unknown": 1},
    {"stepped_at": "soon"},
    {"stepped_at": -1},
    {"stepped_at": 10**30},
    {"stepped_at": True},
    {"observed": 1},
    {"queues": []},
    {"queues": {"q": 5}},
    {"queues": {"q": {"rate": 5}}},
    {"queues": {"q": {"basis": "felt"}}},
    {"queues": {"q": {"rates": {"sheddable": 1_000_001}}}},
    {"queues": {"q": {"rates": {"sheddable": 0.5}}}},
    {"queues": {"q": {"rates": {"nobody": 5}}}},
    {"queues": {"q": {"unserved_since": "now"}}},
    {"queues": {"q": {"unheard": 5}}},
    {"queues": {"q": {"unheard": [1, 2]}}},
    {"queues": {"q": {"unheard": [-1, None, None, None]}}},
    {"queues": {"q": {"unheard": [1, None, None, "now"]}}},
    {"queues": {"q": {"group": ["q"]}}},
    {"queues": {"q": {"group": 0}}},
    {"queues": {"q": {"group": 1}}, "groups": [["q"]]},
    {"queues": {"q": {"group": -1}}, "groups": [["q"]]},
    {"queues": {"q": {"group": False}}, "groups": [["q"]]},
    {"groups": {"q": 5}},
    {"groups": ["q"]},
    {"groups": [[1]]},
    {"queues": {"q": {"wait_ms": -1}}},
    {"levels": {"o": {"level": 4, "since": 1}}},
    {"levels": {"o": {"level": 1}}},
    {"targets": {"t": {"rate": 5}}},
    {"coalesced": {"q": 5}},
    {"coalesced": [["q", "sheddable"]]},
    {"coalesced": [["q", "sheddable", -5]]},
)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"not json",
        b"[1]",
        b"\xff\xfe",
        b"{}",
        b"[" * 100_000,
        '{"v":2}',
        *(json.dumps({"v": 1, **fields}) for fields in FOREIGN),
    ],
)
def test_what_is_not_ours_is_said_to_be_foreign(text: str | bytes) -> None:
    with pytest.raises(ForeignValueError):
        controllers_of(text)
