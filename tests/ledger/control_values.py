"""Any state of the adaptive control, and any readings, for the tests."""

from collections.abc import Mapping
from typing import Any, Final

from hypothesis import strategies as st

from packages.scheduling.control.controllers import (
    Controllers,
    LevelControl,
    QueueControl,
    TargetControl,
    Unheard,
    WaitBasis,
)
from packages.scheduling.instants import LAST_INSTANT
from packages.scheduling.model import Criticality
from packages.scheduling.readings import QueueReading, TaskReading, WindowCount
from packages.scheduling.snapshot import Exemption, Pin, Reading

Values = st.SearchStrategy[Any]

_instants = st.integers(0, LAST_INSTANT)
_maybe_instants = st.none() | _instants
_names = st.text(max_size=12)
_sets = st.frozensets(_names, max_size=3)
_shares = st.integers(0, 1_000_000)
_counts = st.integers(0, 10**12)
_maybe_counts = st.none() | _counts
_criticalities = st.sampled_from(Criticality)


def _by_name(values: Values) -> Values:
    return st.dictionaries(_names, values, max_size=3)


_QUEUE: Final[dict[str, Values]] = {
    "wait_ms": _maybe_counts,
    "basis": st.none() | st.sampled_from(WaitBasis),
    "messages": _maybe_counts,
    "above_since": _maybe_instants,
    "looked_at": _maybe_instants,
    "looked_messages": _maybe_counts,
    "calm_since": _maybe_instants,
    "fits": st.dictionaries(_criticalities, _shares),
    "rates": st.dictionaries(_criticalities, _shares),
    "since": _maybe_instants,
    "unserved_since": _maybe_instants,
    "group": _sets,
    "unheard": st.none() | st.builds(Unheard, _maybe_counts, _maybe_instants, _maybe_instants, _maybe_instants),
    "told_at": _maybe_instants,
    "by_length": st.booleans(),
}
_LEVEL: Final[dict[str, Values]] = {
    "level": st.integers(0, 3),
    "since": _instants,
    "calm_since": _maybe_instants,
    "sheds": st.none() | _sets,
}
_TARGET: Final[dict[str, Values]] = {"rate": _shares, "since": _instants}
_ALL: Final[dict[str, Values]] = {
    "stepped_at": _maybe_instants,
    "queues": _by_name(st.builds(QueueControl, **_QUEUE)),
    "levels": _by_name(st.builds(LevelControl, **_LEVEL)),
    "targets": _by_name(st.builds(TargetControl, **_TARGET)),
    "coalesced": st.dictionaries(st.tuples(_names, _criticalities), _counts, max_size=3),
    "observed": st.booleans(),
}
# What is drawn for each field.
FIELDS: Final[Mapping[Any, Mapping[str, Values]]] = {
    QueueControl: _QUEUE,
    LevelControl: _LEVEL,
    TargetControl: _TARGET,
    Controllers: _ALL,
}
controllers = st.builds(Controllers, **_ALL)


def _readings(values: Values) -> Values:
    return _by_name(st.builds(Reading, values, _instants))


queue_readings = _readings(
    st.builds(
        QueueReading,
        ready=_maybe_counts,
        oldest_ms=_maybe_counts,
        reserved=_maybe_counts,
        running=_maybe_counts,
        completed=_maybe_counts,
        over_ms=_counts,
        consumers=_maybe_counts,
        group=_sets,
    )
)
task_readings = _readings(st.builds(TaskReading, _counts, _counts))
objective_readings = _readings(st.lists(st.builds(WindowCount, _counts, _counts, _counts), max_size=3).map(tuple))
pins = st.lists(
    st.builds(Pin, _names, st.none() | _criticalities, _shares, _instants, _maybe_instants, _names), max_size=3
).map(lambda drawn: {(pin.queue, pin.criticality): pin for pin in drawn})
exempt = st.lists(st.builds(Exemption, _names, _instants, _maybe_instants, _names), max_size=3).map(
    lambda drawn: {each.job: each for each in drawn}
)
