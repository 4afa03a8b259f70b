"""What beat tells the world of itself while it runs: metrics and health over HTTP, and notices to systemd.

    made (nothing is opened) ──(first tick)──> served, READY=1 ──(each tick)──> counted, WATCHDOG=1
                                                    └──(stopping)──> STOPPING=1 ──(close)──> the port is free

The port is opened after the first tick, so that beat starts as fast as without. Decides nothing about a fire.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from packages.infra.beat.standing import Standing, Trouble
from packages.infra.telemetry.beat_metrics import BeatMetrics
from packages.infra.telemetry.health_server import health_server_of
from packages.infra.telemetry.sd_notify import SystemdNotices

if TYPE_CHECKING:
    from celery import Celery


class BeatTelemetry:
    """Of one scheduler. `monotonic_s` is a clock in seconds; `environment` is that of the process unless given."""

    def __init__(
        self, app: "Celery", monotonic_s: Callable[[], float], environment: Mapping[str, str] | None = None
    ) -> None:
        self.metrics = BeatMetrics()
        self._monotonic_s = monotonic_s
        self._server = health_server_of(app, self.metrics, monotonic_s)
        self._notices = SystemdNotices(monotonic_s, environment)
        self._is_started = False
        self._told: tuple[Standing | None, int, Trouble | None] | None = None
        self._status = ""

    @property
    def port(self) -> int | None:
        """The port that is served; None without one, also as long as it is not open yet."""
        return None if self._server is None else self._server.bound_port(0)

    def ticked(self, *, pending: int) -> None:
        """A tick is over, whatever came of it; `pending` fires wait."""
        metrics = self.metrics
        metrics.ticked(self._monotonic_s(), pending=pending)
        if not self._is_started:
            self._is_started = True
            if self._server is not None:
                self._server.start()
        stands = metrics.standing, metrics.term, metrics.trouble
        if stands != self._told:
            self._told = stands
            self._status = _in_words(*stands)
        self._notices.ticked(self._status)

    def stopping(self) -> None:
        """Beat is asked to end; may be called from the handler of a signal."""
        self._notices.stopping()

    def close(self) -> None:
        """Let go of the port."""
        if self._server is not None:
            self._server.stop()


def _in_words(standing: Standing | None, term: int, trouble: Trouble | None) -> str:
    words = "starting" if standing is None else standing.value
    if term:
        words = f"{words}, term {term}"
    return words if trouble is None else f"{words}, broker: {trouble.value}"
