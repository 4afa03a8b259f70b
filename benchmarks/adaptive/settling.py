"""How a rate behaves after a step: how many control intervals it takes to settle, and how far it swings after that."""

from collections.abc import Sequence
from typing import NamedTuple

from packages.scheduling.control.shares import ONE
from packages.scheduling.model import Criticality
from packages.scheduling.simulation.record import Outcome


class Settling(NamedTuple):
    """`rate`: which one, and where it settled, as a share. `intervals`: from the first cut until it stays there.

    `uncut`: the intervals before the first cut, from the beginning of the stretch.
    `swing`: the distance of its highest and lowest value behind that, as a share of `settled_at`; within `ALLOWED`.
    `overall_swing`: the same from twenty intervals behind the first cut on, whatever it is.
    """

    rate: str
    settled_at: float
    uncut: int
    intervals: int
    swing: float
    overall_swing: float


ALLOWED = 0.2
_EARLY = 20


def settling_of(outcome: Outcome, *, begins: int, ends: int) -> Settling | None:
    """The rate that was throttled most within the stretch (instants of the simulation); None if none was.

    A rate that stands at an end of its range (nothing, everything) is settled, but tells nothing: of several the one
    with most values in between is taken.
    """
    keys = {key for rates in outcome.record.rates for key in rates.rates if begins <= rates.at < ends}
    found = [
        (sum(0 < value < ONE for value in values), _settled(f"{key[0]} {key[1]}", values, uncut))
        for key in sorted(keys)
        for values, uncut in (_values(outcome, key, begins, ends),)
    ]
    return max(found, key=lambda each: each[0])[1] if found else None


def _values(outcome: Outcome, key: tuple[str, Criticality], begins: int, ends: int) -> tuple[list[int], int]:
    """One value for each control interval from the first cut on, and how many there are before it."""
    values = [rates.rates.get(key, ONE) for rates in outcome.record.rates if begins <= rates.at < ends]
    # From the last interval at which all went out: until then nothing was known of a step.
    first = next((position for position, value in enumerate(values) if value < ONE), 0)
    return values[first:], first


def _settled(name: str, values: Sequence[int], uncut: int) -> Settling:
    # From the end backwards: the longest rest of the stretch that keeps within the swing.
    low = high = total = values[-1]
    count = 1
    for value in reversed(values[:-1]):
        new_low, new_high = min(low, value), max(high, value)
        if new_high - new_low > ALLOWED * (total + value) / (count + 1):
            break
        low, high, total, count = new_low, new_high, total + value, count + 1
    mean = total / count
    later = values[_EARLY:] or values[-1:]
    later_mean = sum(later) / len(later)
    return Settling(
        rate=name,
        settled_at=mean / ONE,
        uncut=uncut,
        intervals=len(values) - count,
        swing=(high - low) / mean if mean else 0.0,
        overall_swing=(max(later) - min(later)) / later_mean if later_mean else 0.0,
    )
