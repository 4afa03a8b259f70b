"""The objectives that somebody else counts the events of: asked in a thread of its own, so that beat never waits.

    thread:  ask about each window, the shortest first ──> keep the answers ──> pause for the control interval
               ^                                                                          │
               └──────────────────────────────────────────────────────────────────────────┘
    beat:    read what was answered last, with its age

A window is asked about again once its last answer is older than a 60th of it: three days need not be added up every few
seconds. What is not answered then is left out, so that it is absent and not zero. While the server is away, or has an
answer to nothing, the last readings stay, and grow old.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from packages.infra.objectives import WINDOW
from packages.infra.probes.prometheus import NoNumberError, PrometheusAwayError, PrometheusError
from packages.scheduling.control.burn import WINDOWS_MS
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from packages.scheduling.readings import ObjectiveReading, WindowCount
from packages.scheduling.snapshot import Reading

log = logging.getLogger(__name__)

# How old an answer may be, as a part of the window that it is about.
_FRESH_FOR: Final = 60
_UNITS: Final = (("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS))


class Answering(Protocol):
    """See `packages.infra.probes.prometheus.PrometheusClient`."""

    def value(self, query: str) -> float:
        """One number.

        Raises:
            PrometheusError: there is none.
        """
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class _Answer(NamedTuple):
    asked_at: int
    events: WindowCount


class ExternalObjectives:
    """Asks `server` about the objectives that are read, with a pause of `interval_ms`, which may be changed.

    `now_ms` is beat's clock, by which readings are dated.
    """

    def __init__(self, server: Answering, *, interval_ms: int, now_ms: Callable[[], int]) -> None:
        self.interval_ms = interval_ms
        self._server = server
        self._now_ms = now_ms
        # Both are replaced and never changed: one thread writes, the other one reads.
        self._wanted: tuple[Objective, ...] = ()
        self._readings: Mapping[Objective, Reading[ObjectiveReading]] = {}
        # Of the thread alone.
        self._answers: dict[tuple[Objective, int], _Answer] = {}
        self._failing: set[str] = set()
        self._is_stopped = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def read(self, objectives: Iterable[Objective]) -> Mapping[str, Reading[ObjectiveReading]]:
        """What is known of those of these that are external, by name. From now on it asks about these. Never waits."""
        wanted = tuple(objective for objective in objectives if objective.measure is Measure.EXTERNAL)
        if wanted != self._wanted:
            self._wanted = wanted
            self._wake.set()
        if wanted and self._thread is None and not self._is_stopped:
            self._thread = threading.Thread(target=self._run, name="objectives", daemon=True)
            self._thread.start()
        readings = self._readings
        return {objective.name: readings[objective] for objective in wanted if objective in readings}

    @property
    def has_ended(self) -> bool:
        """Whether nothing is under way."""
        return self._thread is None or not self._thread.is_alive()

    def stop(self) -> None:
        """Ask no more. Never waits: a question under way ends by itself, and the connection is let go of then."""
        self._is_stopped = True
        self._wake.set()

    def wait_for_end(self, timeout_s: float) -> None:
        """Wait for what is under way after `stop`, so long at most."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while True:
                self._wake.clear()
                if self._is_stopped:
                    return
                try:
                    self._ask_about(self._wanted, self._now_ms())
                except Exception:
                    # The loop boundary: what is wrong with one round must not end the others.
                    log.exception("objectives_not_asked")
                self._wake.wait(self.interval_ms / SECOND_MS)
        finally:
            self._server.close()

    def _ask_about(self, objectives: tuple[Objective, ...], now: int) -> None:
        self._answers = {key: answer for key, answer in self._answers.items() if key[0] in objectives}
        failed: dict[str, tuple[int, PrometheusError]] = {}
        answered: set[Objective] = set()
        try:
            for window_ms in WINDOWS_MS:
                for objective in (each for each in objectives if self._is_due(each, window_ms, now)):
                    if self._is_stopped:
                        return
                    try:
                        events = self._events(objective, window_ms)
                    except PrometheusAwayError as error:
                        failed.setdefault(objective.name, (window_ms, error))
                        return
                    except PrometheusError as error:
                        failed.setdefault(objective.name, (window_ms, error))
                        self._answers.pop((objective, window_ms), None)
                        # The server is there, and the other windows are as well known as ever.
                        answered |= {objective} if isinstance(error, NoNumberError) else set()
                    else:
                        self._answers[objective, window_ms] = _Answer(now, events)
                        answered.add(objective)
        finally:
            readings = {objective: self._reading(objective, now) for objective in answered}
            renewed = {objective: reading for objective, reading in readings.items() if reading.value}
            self._readings = {each: old for each, old in self._readings.items() if each in objectives} | renewed
            self._tell(failed, {objective.name for objective in answered})

    def _is_due(self, objective: Objective, window_ms: int, now: int) -> bool:
        # The shortest one tells that the server is there.
        return window_ms == WINDOWS_MS[0] or self._known(objective, window_ms, now) is None

    def _known(self, objective: Objective, window_ms: int, now: int) -> WindowCount | None:
        answer = self._answers.get((objective, window_ms))
        if answer is None or not 0 <= now - answer.asked_at < window_ms // _FRESH_FOR:
            return None
        return answer.events

    def _events(self, objective: Objective, window_ms: int) -> WindowCount:
        length = promql_duration(window_ms)
        bad, total = (
            round(self._server.value(query.replace(WINDOW, length)))
            for query in (objective.bad_query or "", objective.total_query or "")
        )
        # What is counted between two scrapes is an estimate, and may be above the whole.
        return WindowCount(window_ms, min(bad, total), total)

    def _reading(self, objective: Objective, now: int) -> Reading[ObjectiveReading]:
        known = (self._known(objective, window_ms, now) for window_ms in WINDOWS_MS)
        return Reading(tuple(events for events in known if events is not None), now)

    def _tell(self, failed: Mapping[str, tuple[int, PrometheusError]], answered: set[str]) -> None:
        for name, (window_ms, error) in failed.items():
            if name not in self._failing:
                extra = {"objective": name, "window": promql_duration(window_ms), "error": str(error)}
                log.warning("objective_query_failed", extra=extra)
        for name in (answered & self._failing) - failed.keys():
            log.info("objective_query_works_again", extra={"objective": name})
        self._failing = (self._failing - answered) | failed.keys()


def promql_duration(length_ms: int) -> str:
    """A whole number of seconds as PromQL writes it: `5m`, `1h`, `3d`.

    Raises:
        ValueError: it is not above 0 and whole.
    """
    for unit, unit_ms in _UNITS:
        if length_ms > 0 and length_ms % unit_ms == 0:
            return f"{length_ms // unit_ms}{unit}"
    raise ValueError(f"{length_ms} ms are no whole number of seconds above 0")
