"""The sped-up clock of a recording: which recorded instant is "now". Reads no clock and no file.

The replay begins at `start` when the wall clock stands at `anchor`, and runs `speed` times as fast. A clock made
again with the same three values goes on where it was; another `speed` or `start` makes it jump.
"""

import datetime as dt
import math
from dataclasses import dataclass

# The recordings begin a year earlier, so that strategies have history from the first refresh on.
DEFAULT_START = dt.datetime(2000, 1, 3, tzinfo=dt.UTC)
_END_OF_TIME = dt.datetime.max.replace(tzinfo=dt.UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayClock:
    """Maps the wall clock to recorded time. `speed` is recorded seconds for each real one.

    Raises:
        ValueError: a naive instant, or a speed that is not a positive finite number.
    """

    anchor: dt.datetime
    speed: float
    start: dt.datetime = DEFAULT_START

    def __post_init__(self) -> None:
        for name, value in (("anchor", self.anchor), ("start", self.start)):
            if value.utcoffset() is None:
                raise ValueError(f"replay clock: {name} must carry a time zone: {value.isoformat()}")
        if not math.isfinite(self.speed) or self.speed <= 0:
            raise ValueError(f"replay clock: speed must be a finite number above 0: {self.speed}")

    def replay_now(self, now: dt.datetime) -> dt.datetime:
        """The recorded instant at the wall-clock instant `now`: never before `start`, never past year 9999."""
        elapsed = max(now - self.anchor, dt.timedelta(0))
        try:
            return self.start + elapsed * self.speed
        except OverflowError:
            return _END_OF_TIME
