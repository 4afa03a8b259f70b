"""How long the claim of a fire must be kept, and in which set of claims it stands.

A claim says that a fire was published. It is needed as long as somebody might publish the fire again: a leader that
never heard that it had been, or one that goes on from an older state. Sets are dropped whole, one stretch of time after
the other, so nothing is searched for what is too old. Nothing is claimed, kept or dropped here.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from packages.scheduling.decision import SCHEDULE
from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS
from packages.scheduling.model import Job
from packages.scheduling.policies import CatchUpMode, Policies
from packages.scheduling.triggers.base import Trigger
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.waiting import is_scheduled

# Beyond what the policies say: a publish is tried again every half a minute, and clocks of machines differ.
MARGIN_MS: Final = 10 * MINUTE_MS
# A catch-up over a longer time than this is guarded by the watermark alone.
LONGEST_KEPT_MS: Final = 100 * DAY_MS
# How long sets of claims are kept. The third one has room for two days, the default of a job that makes up for all
# that it missed, and two hours of jitter.
CLASSES_MS: Final = (20 * MINUTE_MS, 2 * HOUR_MS, 50 * HOUR_MS, 14 * DAY_MS, 110 * DAY_MS)
# Until the second of the next nominals the last one may be published, and no later.
_MOST_SHELVES: Final = 1_000
_GAPS_LOOKED_AT: Final = 2
_ALL: Final = CatchUpMode.ALL


class Shelf(NamedTuple):
    """One set of claims: its name within the namespace, and for how long after the last claim it is kept."""

    name: str
    kept_ms: int


def shelf_of(job: Job, nominal: int, origin: str) -> Shelf:
    """The set that the claim of a fire belongs to: the same one whoever asks, while trigger and policies stay.

    What an operator asked for has a set for each request: its nominals may be long past, so the sets of their time may
    have been dropped.
    """
    if not is_scheduled(origin):
        return Shelf(f"asked:{origin}", _class_of(_at_most_ms(job)))
    # Without a catch-up of many the next nominals decide; with one they are not looked at.
    gap_ms = None if job.policies.catch_up.mode is CatchUpMode.ALL else longest_gap(job.trigger, nominal)
    class_ms, bucket = bucket_of(kept_ms(job, gap_ms), nominal)
    return Shelf(f"{class_ms}:{bucket}", class_ms)


def kept_ms(job: Job, gap_ms: int | None) -> int:
    """How long after its nominal the claim of a scheduled fire of `job` is to be kept at least.

    `gap_ms` is the longest gap between the next nominals, None if nobody knows.

    A job that makes up for all of its fires takes a nominal for as long as the window, and the fire may then wait for
    as long as it may be stale. Any other job takes the last nominal only: it is replaced by the one behind it, which
    jitter puts off to before the one behind that. So two gaps will do, if the window is not shorter.
    """
    policies, at_most_ms = job.policies, _at_most_ms(job)
    if policies.catch_up.mode is CatchUpMode.ALL:
        return at_most_ms
    window_ms = policies.catch_up.window_ms
    replaced_ms = window_ms if gap_ms is None else min(window_ms, 2 * gap_ms)
    return min(replaced_ms + policies.jitter_ms + MARGIN_MS, at_most_ms)


def bucket_of(needed_ms: int, nominal: int) -> tuple[int, int]:
    """The shortest class (in milliseconds) that keeps a claim for `needed_ms`, and the number of the set within it.

    A set has the nominals of half a class.

    Raises:
        ValueError: no class is long enough.
    """
    class_ms = _class_of(needed_ms)
    return class_ms, nominal // (class_ms // 2)


def longest_gap(trigger: Trigger, nominal: int) -> int | None:
    """The longest of the next two gaps from `nominal` on, in milliseconds; None if nothing follows.

    Raises:
        Exception: whatever the trigger raises.
    """
    if isinstance(trigger, IntervalTrigger):
        return trigger.period_ms
    return _longest_gap(trigger, nominal)  # type: ignore[arg-type]  # hashable by its contract


# Many jobs at the same hour share a trigger, and the fires of one tick are asked about one after the other.
@lru_cache(maxsize=4096)
def _longest_gap(trigger: Trigger, nominal: int) -> int | None:
    longest_ms: int | None = None
    for _ in range(_GAPS_LOOKED_AT):
        following = trigger.next_after(nominal)
        if following is None:
            break
        longest_ms = max(longest_ms or 0, following - nominal)
        nominal = following
    return longest_ms


def _at_most_ms(job: Job) -> int:
    policies = job.policies
    return min(policies.catch_up.window_ms + policies.stale_after_ms + policies.jitter_ms, LONGEST_KEPT_MS)


def _class_of(needed_ms: int) -> int:
    for class_ms in CLASSES_MS:
        if needed_ms <= class_ms:
            return class_ms
    raise ValueError(f"claims are kept for {CLASSES_MS[-1]} ms at most, not {needed_ms} ms")


class Shelves:
    """`shelf_of` for many fires: what hangs on policies and period alone is found out once; a set is one object."""

    def __init__(self) -> None:
        # By the policies, as an object, and the period: most jobs of an app share both.
        self._classes: dict[tuple[int, int], tuple[Policies, int]] = {}
        self._shelves: dict[tuple[int, int], Shelf] = {}

    def of(self, job: Job, nominal: int, origin: str) -> Shelf:
        """The set that the claim of a fire belongs to."""
        policies, trigger = job.policies, job.trigger
        if isinstance(trigger, IntervalTrigger):
            period_ms = trigger.period_ms
        elif policies.catch_up.mode is _ALL:
            period_ms = 0
        else:
            # The last fire before a night may be kept for longer than another one.
            return shelf_of(job, nominal, origin)
        if origin != SCHEDULE and not is_scheduled(origin):
            return shelf_of(job, nominal, origin)
        known = self._classes.get((id(policies), period_ms))
        if known is None or known[0] is not policies:
            if len(self._classes) >= _MOST_SHELVES:
                self._classes.clear()
            known = self._classes[id(policies), period_ms] = (policies, shelf_of(job, nominal, origin).kept_ms)
        class_ms = known[1]
        number = (class_ms, nominal // (class_ms // 2))
        shelf = self._shelves.get(number)
        if shelf is None:
            if len(self._shelves) >= _MOST_SHELVES:
                self._shelves.clear()
            shelf = self._shelves[number] = Shelf(f"{number[0]}:{number[1]}", class_ms)
        return shelf
