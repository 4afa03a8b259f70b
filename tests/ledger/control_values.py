"""Any state of the adaptive control, and any readings, for the tests."""

from hypothesis import strategies as st

from packages.scheduling.control.controllers import Controllers, LevelControl, QueueControl, TargetControl, WaitBasis
from packages.scheduling.instants import LAST_INSTANT
from packages.scheduling.model import Criticality

_instants = st.integers(0, LAST_INSTANT)
_maybe_instants = st.none() | _instants
_names = st.text(max_size=12)
_sets = st.frozensets(_names, max_size=3)
_shares = st.integers(0, 1_000_000)
_counts = st.integers(0, 10**12)
_criticalities = st.sampled_from(Criticality)


def _by_name(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.dictionaries(_names, values, max_size=3)


_queues = st.builds(
    QueueControl,
    wait_ms=st.none() | _counts,
    basis=st.none() | st.sampled_from(WaitBasis),
    above_since=_maybe_instants,
    rates=st.dictionaries(_criticalities, _shares),
    since=_maybe_instants,
    unserved=st.booleans(),
    beside=_sets,
)
_levels = st.builds(
    LevelControl, level=st.integers(0, 3), since=_instants, calm_since=_maybe_instants, sheds=st.none() | _sets
)
controllers = st.builds(
    Controllers,
    stepped_at=_maybe_instants,
    queues=_by_name(_queues),
    levels=_by_name(_levels),
    targets=_by_name(st.builds(TargetControl, rate=_shares, since=_instants)),
    coalesced=st.dictionaries(st.tuples(_names, _criticalities), _counts, max_size=3),
)
