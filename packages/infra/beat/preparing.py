"""Uses idle time: what the messages of jobs that are due soon have in common is made before they are due.

Many jobs are due at the same instant, a full minute or midnight, and what is not left to do then makes them less late.
Decides nothing: a fire that was not prepared is made when it is due.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from packages.scheduling.engine import Engine
from packages.scheduling.instants import SECOND_MS

AHEAD_MS: Final = 10 * SECOND_MS
_LOOKS_EVERY_MS: Final = SECOND_MS
# A millisecond or two: a fire that comes due meanwhile is no later for it.
_AT_ONCE: Final = 500


class Preparing:
    """Of one loop. `prepare` is called with the name of each job, once before each time it is due, and the instant."""

    def __init__(self, engine: Engine, prepare: Callable[[str, int], None]) -> None:
        self._engine = engine
        self._prepare = prepare
        self._names: deque[str] = deque()
        # When it looked last, and up to which instant it has seen all that was due then.
        self._looked_at = self._seen_until = 0

    def run(self, now: int) -> bool:
        """Prepare some of what is due soon. Whether there is more."""
        names = self._names
        if not self._looked_at <= now < self._looked_at + _LOOKS_EVERY_MS:
            # Not if the clock was set back.
            seen_until = self._seen_until if self._looked_at <= now else now
            self._looked_at, self._seen_until = now, now + AHEAD_MS
            names.extend(self._engine.waking(max(now, seen_until), self._seen_until))
        for _ in range(min(len(names), _AT_ONCE)):
            self._prepare(names.popleft(), now)
        return bool(names)
