"""The instant by the broker's clock, in a process that has its own: what several machines count goes by one clock.

The broker tells its instant beside something else that it is asked. Until it has, the own clock is the best there is.
"""

import logging
from collections.abc import Callable
from typing import Final

from packages.scheduling.instants import SECOND_MS

log = logging.getLogger(__name__)

# Further apart than this, what is dated by the one and read by the other is far off: delays above all.
DISTANT_MS: Final = 10 * SECOND_MS
# What took longer to come does not say what time it is.
_LONGEST_MS: Final = 2 * SECOND_MS


class BrokerClock:
    """`clock` is the own one. One thread may hear of the broker's while others ask for the instant."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._behind_ms = 0

    def __call__(self) -> int:
        """The instant."""
        return self._clock() + self._behind_ms

    def hear(self, ask: Callable[[], int]) -> None:
        """Go by the instant that `ask` gets from the broker from now on; raises what `ask` raises."""
        begun = self._clock()
        told = ask()
        took_ms = self._clock() - begun
        # Below zero: the own clock was set back meanwhile.
        if not 0 <= took_ms <= _LONGEST_MS:
            return
        before_ms, self._behind_ms = self._behind_ms, told - begun - took_ms // 2
        if abs(self._behind_ms) >= DISTANT_MS > abs(before_ms):
            log.warning("clock_differs_from_broker", extra={"ahead_ms": -self._behind_ms})
