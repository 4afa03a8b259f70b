"""The index of what wakes when, against a plain sorted list."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from packages.scheduling.wake_index import WakeIndex


@dataclass(eq=False)
class Sleeper:
    """Something that wakes."""

    name: int
    wake: int | None = None


INSTANTS = st.integers(0, 9)
# Which item moves where; or how far the clock is, and how many are taken.
STEPS = st.lists(
    st.tuples(st.just("put"), st.integers(0, 5), st.none() | INSTANTS)
    | st.tuples(st.just("take"), INSTANTS, st.integers(0, 4)),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS)
def test_it_gives_what_wakes_the_earliest_first_and_each_once(steps: list[tuple[str, int, int | None]]) -> None:
    index: WakeIndex[Sleeper] = WakeIndex()
    sleepers = [Sleeper(name) for name in range(6)]
    wakes: dict[int, int] = {}
    for step, which, value in steps:
        if step == "put":
            index.put(sleepers[which], value)
            if value is None:
                wakes.pop(which, None)
            else:
                wakes[which] = value
        else:
            taken = [(wakes.pop(sleeper.name), sleeper) for sleeper in index.take(which, value or 0)]
            woken = [wake for wake, _ in taken]
            assert woken == sorted(woken)
            assert all(sleeper.wake is None and wake <= which for wake, sleeper in taken)
            waiting = [wake for wake in wakes.values() if wake <= which]
            assert len(taken) == value or not waiting
            assert not taken or not waiting or max(woken) <= min(waiting)
        assert index.next_wake() == min(wakes.values(), default=None)
        assert len(index) >= len(wakes)


def test_of_equal_instants_the_first_put_there_comes_first() -> None:
    index: WakeIndex[Sleeper] = WakeIndex()
    sleepers = [Sleeper(name) for name in range(5)]
    for sleeper in reversed(sleepers):
        index.put(sleeper, 7)
    taken = [sleeper.name for _ in range(3) for sleeper in index.take(7, 2)]
    assert taken == [4, 3, 2, 1, 0]
    assert len(index) == 0


def test_moving_to_and_fro_does_not_fill_it() -> None:
    index: WakeIndex[Sleeper] = WakeIndex()
    moving, staying = Sleeper(0), Sleeper(1)
    index.put(staying, 3)
    for n in range(10_000):
        index.put(moving, n % 2)
        assert len(index) <= 1_010
    for n in range(10_000):
        index.put(moving, 100 + n)
    assert len(index) <= 1_010
    assert index.take(20_000, 10) == [staying, moving]
    assert index.next_wake() is None


@given(
    wakes=st.lists(st.none() | st.integers(-50, 50), max_size=40),
    after=st.integers(-60, 60),
    until=st.integers(-60, 60),
)
def test_what_wakes_between_two_instants(wakes: list[int | None], after: int, until: int) -> None:
    index: WakeIndex[Sleeper] = WakeIndex()
    sleepers = [Sleeper(number) for number in range(len(wakes))]
    for sleeper, wake in zip(sleepers, wakes, strict=True):
        # It was to wake at another instant before.
        index.put(sleeper, 0)
        index.put(sleeper, wake)
    found = sorted(sleeper.name for sleeper in index.between(after, until))
    assert found == [number for number, wake in enumerate(wakes) if wake is not None and after < wake <= until]
