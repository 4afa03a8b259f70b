"""The names of requests: short, and sorted as they were made."""

from hypothesis import given, settings
from hypothesis import strategies as st

from packages.infra.control.request_ids import new_request_id, request_id
from packages.scheduling.instants import LAST_INSTANT

instants = st.integers(0, LAST_INSTANT)
luck = st.integers(0, 2**20 - 1)


@settings(max_examples=200)
@given(instants, luck, instants, luck)
def test_their_order_is_that_of_the_instants(first: int, one: int, second: int, other: int) -> None:
    ids = request_id(first, one), request_id(second, other)
    assert {len(id_) for id_ in ids} == {13}
    assert (ids[0] < ids[1]) is ((first, one) < (second, other))


def test_many_of_one_instant_are_different() -> None:
    assert len({new_request_id(1_795_330_000_000) for _ in range(100)}) > 95
