"""Uses idle time: what the messages of jobs that are due soon have in common is made before they are due.

Many jobs are due at the same instant, a full minute or midnight, and what is not left to do then makes them less late.
Decides nothing: a fire that was not prepared is made when it is due.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from packages.infra.beat.messages.message import MakerAwayError
from packages.scheduling.engine import Engine
from packages.scheduling.instants import SECOND_MS

log = logging.getLogger(__name__)

AHEAD_MS: Final = 10 * SECOND_MS
_LOOKS_EVERY_MS: Final = SECOND_MS
# A fire that comes due meanwhile is no later than by this, and what one job takes.
AT_ONCE_S: Final = 0.002
# After each part, so that it takes half of a core at most.
PAUSE_S: Final = 0.002


class Preparing:
    """Of one loop. `prepare` is called with the name of each job, once before each time it is due, and the instant.

    What it raises stays with the job, which says so when it is due; but while the broker is away nobody is asked.
    """

    def __init__(
        self, engine: Engine, prepare: Callable[[str, int], None], *, monotonic_s: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._prepare = prepare
        self._monotonic_s = monotonic_s
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
        ends_s = self._monotonic_s() + AT_ONCE_S
        while names:
            name = names.popleft()
            try:
                self._prepare(name, now)
            except MakerAwayError:
                # Each of the others would wait for the broker, too.
                names.clear()
            except Exception:
                log.debug("message_not_prepared", exc_info=True, extra={"job": name})
            if self._monotonic_s() >= ends_s:
                break
        return bool(names)
