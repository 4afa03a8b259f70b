"""The operator's word as text reads again as the same, and what is not of its form is refused and nothing else."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from packages.infra.control.records import (
    RecordError,
    decode_exemption,
    decode_gate_mode,
    decode_pause,
    decode_pin,
    decode_request,
    encode_exemption,
    encode_gate_mode,
    encode_pause,
    encode_pin,
    encode_request,
)
from packages.scheduling.instants import LAST_INSTANT
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode
from packages.scheduling.requests import BackfillRequest, ResetRequest, TriggerRequest
from packages.scheduling.snapshot import Exemption, Pause, PauseScope, Pin

texts = st.text(max_size=20)
instants = st.integers(0, LAST_INSTANT)
ends = st.none() | instants

pauses = st.builds(Pause, st.sampled_from(PauseScope), texts, since=instants, until=ends, note=texts)
pins = st.builds(
    Pin,
    texts,
    st.none() | st.sampled_from(Criticality),
    st.integers(0, 1_000_000),
    since=instants,
    until=ends,
    note=texts,
)
exemptions = st.builds(Exemption, texts, since=instants, until=ends, note=texts)
triggers = st.builds(TriggerRequest, texts, texts, instants, st.booleans())
resets = st.builds(ResetRequest, texts, instants, st.none() | texts)
backfills = st.builds(
    lambda id_, job, span, every_ms, at: BackfillRequest(id_, job, min(span), max(span), every_ms, at),
    texts,
    texts,
    st.tuples(instants, instants),
    st.integers(1, 10**9),
    instants,
)

Said = tuple[Any, Callable[[Any], str], Callable[[bytes], Any]]

WORDS: list[tuple[st.SearchStrategy[Any], Callable[[Any], str], Callable[[bytes], Any]]] = [
    (pauses, encode_pause, decode_pause),
    (pins, encode_pin, decode_pin),
    (exemptions, encode_exemption, decode_exemption),
    (triggers | resets | backfills, encode_request, decode_request),
    (st.sampled_from(GateMode), encode_gate_mode, decode_gate_mode),
]
said = st.one_of(*(st.tuples(words, st.just(encode), st.just(decode)) for words, encode, decode in WORDS))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300)
@given(said)
def test_what_was_written_reads_again_as_the_same(
    one: tuple[Any, Callable[[Any], str], Callable[[bytes], Any]],
) -> None:
    value, encode, decode = one
    assert decode(encode(value).encode()) == value
    assert type(decode(encode(value).encode())) is type(value)


@settings(max_examples=300)
@given(said, st.data())
def test_one_field_of_another_kind_is_refused_or_read_and_never_anything_else(one: Said, data: st.DataObject) -> None:
    value, encode, decode = one
    fields = json.loads(encode(value))
    name = data.draw(st.sampled_from(sorted(fields)))
    if data.draw(st.booleans()):
        del fields[name]
    else:
        fields[name] = data.draw(anything)
    try:
        read = decode(json.dumps(fields).encode())
    except RecordError:
        return
    # What is read can be written, and is then read as itself.
    assert decode(encode(read).encode()) == read
