"""How the counts of ended runs stand in Redis: by time, in buckets of three lengths, so that no window is long to read.

    `<ns>:work:<step in s>:<start in s>`    a hash; its fields are <queue> US <task> US <criticality> US <what>

`what` is `ok`, `failed`, `expired`, `wait_ms` and `run_ms` (sums), `wait:<bound>` and `run:<bound>` (how many took at
most so many milliseconds, and more than the bound below; `inf` for more than all bounds). What is zero is not there.
US is the separator of units of ASCII. A bucket is of the clock of the server, as the worker knows it.
"""

from bisect import bisect_left
from typing import Final, NamedTuple

from packages.scheduling.instants import HOUR_MS, MINUTE_MS, SECOND_MS

SEPARATOR: Final = "\x1f"
OTHER: Final = "other"
NO_CRITICALITY: Final = "none"
BOUNDS_MS: Final = (100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000)
# The bound of what is more than all of them: beyond any limit that it may be compared with.
UNBOUNDED_MS: Final = 2**62

_INFINITE: Final = "inf"
_BOUND_NAMES: Final = (*map(str, BOUNDS_MS), _INFINITE)
OK, FAILED, EXPIRED, WAIT_MS, RUN_MS = range(5)
WAITS: Final = slice(5, 5 + len(_BOUND_NAMES))
RUNS: Final = slice(WAITS.stop, WAITS.stop + len(_BOUND_NAMES))
# What is counted of one key, each at its place in a list.
WHATS: Final = (
    *("ok", "failed", "expired", "wait_ms", "run_ms"),
    *(f"wait:{bound}" for bound in _BOUND_NAMES),
    *(f"run:{bound}" for bound in _BOUND_NAMES),
)
PLACES: Final = {what: place for place, what in enumerate(WHATS)}
# How long a bucket is still there after the last window that it is read for.
_SLACK_MS: Final = MINUTE_MS


class WorkKey(NamedTuple):
    """What is counted apart."""

    queue: str
    task: str
    criticality: str


class Bucket(NamedTuple):
    """The time from `start` (an instant) on, `step_ms` long."""

    step_ms: int
    start: int

    @property
    def end(self) -> int:
        """Exclusive."""
        return self.start + self.step_ms

    @property
    def name(self) -> str:
        """How its key is called."""
        return f"work:{self.step_ms // SECOND_MS}:{self.start // SECOND_MS}"


class Resolution(NamedTuple):
    """Buckets `step_ms` long, for windows of up to `reach_ms`."""

    step_ms: int
    reach_ms: int

    def at(self, instant: int) -> Bucket:
        """The bucket that has this instant."""
        return Bucket(self.step_ms, instant - instant % self.step_ms)

    def last(self, window_ms: int, now: int) -> list[Bucket]:
        """The buckets that have a part of the last `window_ms`, the oldest first."""
        starts = range(self.at(now - window_ms).start, now + 1, self.step_ms)
        return [Bucket(self.step_ms, start) for start in starts]

    @property
    def kept_ms(self) -> int:
        """How long a bucket is there after it was last added to."""
        return self.reach_ms + self.step_ms + _SLACK_MS


# The finest first.
RESOLUTIONS: Final = (
    Resolution(10 * SECOND_MS, 15 * MINUTE_MS),
    Resolution(5 * MINUTE_MS, 7 * HOUR_MS),
    Resolution(HOUR_MS, 80 * HOUR_MS),
)


def place_of_wait(wait_ms: int) -> int:
    """The place of the count that a wait is in."""
    return WAITS.start + bisect_left(BOUNDS_MS, wait_ms)


def place_of_run(run_ms: int) -> int:
    """The place of the count that a run time is in."""
    return RUNS.start + bisect_left(BOUNDS_MS, run_ms)
