"""Sends the fires of a tick in their order, as many as fit into the time for it, and says what became of each.

A broker that is away ends the round: the rest is not tried, and counts as failed. Any other failure is its own fire's.
A fire leaves the queue only when what became of it has been noted, so that none is lost when beat is ended in between.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from kombu.exceptions import OperationalError

from packages.scheduling.plan import Fire

# Then the loop has a look at the world again, and goes on.
PUBLISHES_FOR_S: Final = 0.5


class Dispatch:
    """The fires that are to be published.

    `send` publishes one and returns what was in the way, if anything; `settle` is told the same. `reconnect` drops the
    connection after an error and opens another one; whether the broker is there.
    """

    def __init__(
        self,
        *,
        send: Callable[[Fire], BaseException | None],
        settle: Callable[[Fire, BaseException | None], None],
        reconnect: Callable[[BaseException], bool],
        monotonic: Callable[[], float],
    ) -> None:
        self._send = send
        self._settle = settle
        self._reconnect = reconnect
        self._monotonic = monotonic
        self._waiting: deque[Fire] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def jobs(self) -> frozenset[str]:
        """The names of the jobs that have a fire waiting."""
        return frozenset({fire.job.name for fire in self._waiting})

    def add(self, fires: Iterable[Fire]) -> None:
        """Send these after those that wait already."""
        self._waiting.extend(fires)

    def run(self) -> None:
        """Send until nothing waits, the time is up, or the broker is away."""
        ends_at = self._monotonic() + PUBLISHES_FOR_S
        away: BaseException | None = None
        while self._waiting:
            fire = self._waiting[0]
            error = away or self._send(fire)
            if away is None and isinstance(error, OperationalError):
                # It may be the connection, the broker, or what this one message asks of the broker.
                if self._reconnect(error):
                    error = self._send(fire)
                else:
                    away = error
            self._settle(fire, error)
            self._waiting.popleft()
            if away is None and self._monotonic() >= ends_at:
                return
