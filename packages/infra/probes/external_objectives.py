"""The objectives that somebody else counts the events of: asked in a thread of its own, so that beat never waits.

    thread:  ask about the shortest window of each, then about longer ones while there is time ──> pause
               ^                     └──(each answer)──> readings                                   │
               └────────────────────────────────────────────────────────────────────────────────────┘
    beat:    read what was answered last, with its age

A window is asked about again once its last answer is older than a 60th of it: three days need not be added up every few
seconds. What is not answered then is left out, so that it is absent and not zero, and left alone for a while: a window
that takes too long must not make the others old. While the server is away, or has an answer to nothing, the last
readings stay, and grow old.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from packages.infra.objectives import WINDOW
from packages.infra.probes.prometheus import NoNumberError, PrometheusAwayError, PrometheusError
from packages.scheduling.control.burn import WINDOWS_MS
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.instants import DAY_MS, FIRST_INSTANT, HOUR_MS, MINUTE_MS, SECOND_MS
from packages.scheduling.readings import ObjectiveReading, WindowCount
from packages.scheduling.snapshot import Reading

log = logging.getLogger(__name__)

# How old an answer may be, as a part of the window that it is about.
_FRESH_FOR: Final = 60
# For how long a window that failed is left alone, if a 60th of it is shorter, or longer.
_LEAST_PAUSE_MS: Final = MINUTE_MS
_MOST_PAUSE_MS: Final = 10 * MINUTE_MS
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
        self._failed_at: dict[tuple[Objective, int], int] = {}
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
                began = self._now_ms()
                try:
                    self._ask_about(self._wanted, began)
                except Exception:
                    # The loop boundary: what is wrong with one round must not end the others.
                    log.exception("objectives_not_asked")
                left_ms = self.interval_ms - abs(self._now_ms() - began)
                self._wake.wait(max(left_ms, self.interval_ms // 2) / SECOND_MS)
        finally:
            self._server.close()

    def _ask_about(self, objectives: tuple[Objective, ...], began: int) -> None:
        self._answers = {key: answer for key, answer in self._answers.items() if key[0] in objectives}
        self._failed_at = {key: at for key, at in self._failed_at.items() if key[0] in objectives}
        self._readings = {each: reading for each, reading in self._readings.items() if each in objectives}
        failed: dict[str, tuple[int, PrometheusError]] = {}
        answered: set[str] = set()
        # The shortest one tells that the server is there, and what goes on now.
        due = [(objective, WINDOWS_MS[0]) for objective in objectives]
        longer = self._longer(objectives, began)
        try:
            for number, (objective, window_ms) in enumerate(due + longer):
                asked_at = self._now_ms()
                # One longer window at least: where the shortest take all of the time the others are known in the end.
                is_late = number > len(due) and abs(asked_at - began) >= self.interval_ms // 2
                if self._is_stopped or is_late:
                    return
                if (objective, WINDOWS_MS[0]) in self._failed_at and number >= len(due):
                    # What is wrong is not that it is long.
                    continue
                try:
                    self._answers[objective, window_ms] = _Answer(asked_at, self._events(objective, window_ms))
                except PrometheusAwayError as error:
                    failed.setdefault(objective.name, (window_ms, error))
                    return
                except PrometheusError as error:
                    failed.setdefault(objective.name, (window_ms, error))
                    self._answers.pop((objective, window_ms), None)
                    if not isinstance(error, NoNumberError):
                        self._failed_at[objective, window_ms] = asked_at
                        continue
                    # The server is there, and the other windows are as well known as ever.
                self._failed_at.pop((objective, window_ms), None)
                answered.add(objective.name)
                self._publish(objective, asked_at)
        finally:
            self._tell(failed, answered)

    def _longer(self, objectives: tuple[Objective, ...], now: int) -> list[tuple[Objective, int]]:
        """The longer windows that are to be asked about, those first that have not been for the longest."""
        tried: dict[tuple[Objective, int], int] = {}
        for window_ms in WINDOWS_MS[1:]:
            for key in ((objective, window_ms) for objective in objectives):
                answer, failed_at = self._answers.get(key), self._failed_at.get(key)
                if answer is not None and 0 <= now - answer.asked_at < window_ms // _FRESH_FOR:
                    continue
                pause_ms = min(max(window_ms // _FRESH_FOR, _LEAST_PAUSE_MS), _MOST_PAUSE_MS)
                if failed_at is not None and 0 <= now - failed_at < pause_ms:
                    continue
                tried[key] = FIRST_INSTANT if answer is None else answer.asked_at
                tried[key] = tried[key] if failed_at is None else failed_at
        return sorted(tried, key=tried.__getitem__)

    def _publish(self, objective: Objective, now: int) -> None:
        """Tell what is known, as of the answer about the shortest window, if there is one."""
        answers = (self._answers.get((objective, window_ms)) for window_ms in WINDOWS_MS)
        # One that is due has been asked about by the end of a round or the next ones, unless the server went away.
        known = [
            answer
            for answer in answers
            if answer and 0 <= now - answer.asked_at < answer.events.window_ms // _FRESH_FOR + _LEAST_PAUSE_MS
        ]
        if known:
            taken_at = known[0].asked_at if known[0].events.window_ms == WINDOWS_MS[0] else now
            reading: Reading[ObjectiveReading] = Reading(tuple(answer.events for answer in known), taken_at)
            self._readings = {**self._readings, objective: reading}

    def _events(self, objective: Objective, window_ms: int) -> WindowCount:
        length = promql_duration(window_ms)
        bad, total = (
            round(self._server.value(query.replace(WINDOW, length)))
            for query in (objective.bad_query or "", objective.total_query or "")
        )
        # What is counted between two scrapes is an estimate, and may be above the whole.
        return WindowCount(window_ms, min(bad, total), total)

    def _tell(self, failed: Mapping[str, tuple[int, PrometheusError]], answered: set[str]) -> None:
        for name, (window_ms, error) in failed.items():
            if name not in self._failing:
                extra = {"objective": name, "window": promql_duration(window_ms), "error": str(error)}
                log.warning("objective_query_failed", extra=extra)
        # Also what failed in another round, and is left alone in this one.
        left_out = failed.keys() | {objective.name for objective, _ in self._failed_at}
        for name in (answered & self._failing) - left_out:
            log.info("objective_query_works_again", extra={"objective": name})
        self._failing = (self._failing - answered) | left_out


def promql_duration(length_ms: int) -> str:
    """A whole number of seconds as PromQL writes it: `5m`, `1h`, `3d`.

    Raises:
        ValueError: it is not above 0 and whole.
    """
    for unit, unit_ms in _UNITS:
        if length_ms > 0 and length_ms % unit_ms == 0:
            return f"{length_ms // unit_ms}{unit}"
    raise ValueError(f"{length_ms} ms are no whole number of seconds above 0")
