"""The sums of a window that moves on are those that one finds by adding everything up."""

from hypothesis import given
from hypothesis import strategies as st

from packages.infra.queue.work_buckets import Bucket, WorkKey
from packages.infra.queue.work_window import Values, WindowSums

KEYS = [WorkKey("q", task, "none") for task in "abc"]
values = st.tuples(*[st.integers(0, 3)] * 2)
buckets = st.dictionaries(st.sampled_from(KEYS), values, max_size=3)
# By number: which buckets are in the window then, and what the one that is not over says.
steps = st.lists(st.tuples(st.sets(st.integers(0, 5)), buckets), max_size=8)


def added_up(counts: list[dict[WorkKey, Values]]) -> dict[WorkKey, Values]:
    return {
        key: tuple(sum(column) for column in zip(*(each[key] for each in counts if key in each), strict=True))
        for key in KEYS
        if any(key in each for each in counts)
    }


@given(st.lists(buckets, min_size=6, max_size=6), steps)
def test_only_what_is_in_the_window_counts(
    history: list[dict[WorkKey, Values]], steps: list[tuple[set[int], dict[WorkKey, Values]]]
) -> None:
    sums = WindowSums()
    for within, present in steps:
        settled = {Bucket(10, number): history[number] for number in within}
        told = sums.of(settled, [present])
        expected = added_up([*settled.values(), present])
        assert {key: each for key, each in told.items() if any(each)} == {
            key: each for key, each in expected.items() if any(each)
        }


def test_a_bucket_that_was_read_anew_counts_as_it_is_now() -> None:
    sums, bucket = WindowSums(), Bucket(10, 0)
    assert sums.of({bucket: {KEYS[0]: (1, 2)}}, []) == {KEYS[0]: (1, 2)}
    assert sums.of({bucket: {KEYS[0]: (5, 0)}}, []) == {KEYS[0]: (5, 0)}
    assert sums.of({}, []) == {}
