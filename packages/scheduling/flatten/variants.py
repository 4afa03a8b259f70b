"""Where a job could stand: the job itself, and the same with another phase, another time of day, or a window.

    interval                         its grid, shifted by whole seconds
    cron with one hour and minute    another minute of the day, in its zone
    interval that is named for it    a window of so many hours of the day
    all others                       stay: what follows a market, or names several times, says when on purpose

Which of these is best is not decided here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from packages.scheduling.flatten.load import LoadError
from packages.scheduling.instants import DAY_MS, FIRST_INSTANT, HOUR_MS, LAST_INSTANT, MINUTE_MS, SECOND_MS
from packages.scheduling.model import Job
from packages.scheduling.policies import MINUTES_OF_A_DAY, GateMode, Windows, WindowSpan
from packages.scheduling.sessions import SessionTable
from packages.scheduling.triggers.cron import CronTrigger
from packages.scheduling.triggers.interval import IntervalTrigger
from packages.scheduling.window_times import inside_until, next_inside

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Finer than half a slot makes no difference, and more than this many phases take long to compare.
_MOST_PHASES: Final = 240
_EVERY_DAY: Final = frozenset(range(7))
_HOURS_OF_A_DAY: Final = 24
# Sessions move with the clocks and with the seasons: a time of day must do for all of a year.
_YEAR_MS: Final = 366 * DAY_MS
# A window that is offered keeps this share of its length outside of sessions, on each day.
_LEAST_LEFT: Final = 0.9


@dataclass(frozen=True, slots=True)
class OffPeak:
    """When a job with a time of day may run: inside `windows`, and `away_ms` from their edges. None: at any time.

    `hours`: the length of the window that a named interval is given, 1 to 23.

    Raises:
        LoadError: a number is out of range.
    """

    windows: Windows | None = None
    away_ms: int = 0
    hours: int = 8

    def __post_init__(self) -> None:
        if self.away_ms < 0:
            raise LoadError(f"how far to stay away is no less than 0 ms, not {self.away_ms}")
        if not 1 <= self.hours < _HOURS_OF_A_DAY:
            raise LoadError(f"a window is 1 to {_HOURS_OF_A_DAY - 1} hours long, not {self.hours}")


@dataclass(frozen=True, slots=True)
class Variants:
    """The job as it is, then what it could be, in the order in which one prefers them.

    `is_misplaced`: it has a time of day at which it should not run.
    """

    jobs: tuple[Job, ...]
    is_misplaced: bool = False


class OffPeakTimes:
    """The spans of a year from `start` on in which work may be done, by windows; found once for all jobs."""

    def __init__(self, off_peak: OffPeak, markets: Mapping[str, SessionTable], start: int) -> None:
        self.off_peak = off_peak
        self._markets = markets
        self._start = start
        self._end = min(start + _YEAR_MS, LAST_INSTANT)
        self._spans: dict[Windows, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = {}

    def allow(self, job: Job, work_ms: int) -> bool:
        """Whether no run of the year, wherever its jitter puts it, comes too near to where it must not be."""
        own = job.policies.windows
        wanted = [(self.off_peak.windows, self.off_peak.away_ms)]
        wanted += [(own, 0)] if own is not None and own.mode is not GateMode.OFF else []
        return all(self._are_inside(windows, away_ms, job, work_ms) for windows, away_ms in wanted if windows)

    def least_left(self, start_ms: int, length_ms: int) -> float:
        """Of a window that opens each day `start_ms` after midnight in UTC: what the sessions leave of it, at worst.

        A share of its length, on the day of the year on which least is left.
        """
        import numpy as np

        outside = self.outside_sessions_of
        if not outside:
            return 1.0
        opens, shuts = self._spans_of(Windows(outside_sessions_of=outside))
        if not len(opens):
            return 0.0
        before = np.concatenate(([0], np.cumsum(shuts - opens)))

        def open_until(at: "npt.NDArray[np.int64]") -> "npt.NDArray[np.int64]":
            span = np.searchsorted(opens, at, side="right") - 1
            inside: npt.NDArray[np.int64] = np.minimum(at, shuts[span]) - opens[span]
            return np.where(span < 0, 0, before[span] + inside)

        midnight = -(-self._start // DAY_MS) * DAY_MS
        begins = np.arange(midnight + start_ms, self._end - length_ms, DAY_MS, dtype=np.int64)
        left = open_until(begins + length_ms) - open_until(begins)
        return float(left.min(initial=length_ms)) / length_ms

    @property
    def outside_sessions_of(self) -> tuple[str, ...]:
        """The markets whose sessions are to be kept free."""
        return self.off_peak.windows.outside_sessions_of if self.off_peak.windows is not None else ()

    def _are_inside(self, windows: Windows, away_ms: int, job: Job, work_ms: int) -> bool:
        import numpy as np

        opens, shuts = self._spans_of(windows)
        for nominals in job.trigger.between(self._start, self._end - DAY_MS):
            span = np.searchsorted(opens, nominals - away_ms, side="right") - 1
            if (span < 0).any() or (shuts[span] < nominals + job.policies.jitter_ms + work_ms + away_ms).any():
                return False
        return True

    def _spans_of(self, windows: Windows) -> "tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]":
        import numpy as np

        if windows not in self._spans:
            spans: list[tuple[int, int]] = []
            at = next_inside(windows, max(self._start - DAY_MS, FIRST_INSTANT), self._markets)
            while at is not None and at < self._end:
                until = inside_until(windows, at, self._markets) or at + 1
                if spans and spans[-1][1] == at:
                    # A calendar begins or ends there, which is no edge of the window.
                    spans[-1] = spans[-1][0], until
                else:
                    spans.append((at, until))
                at = next_inside(windows, until, self._markets)
            edges = np.array(spans, dtype=np.int64).reshape(-1, 2)
            self._spans[windows] = edges[:, 0], edges[:, 1]
        return self._spans[windows]


def variants_of(job: Job, times: OffPeakTimes, *, work_ms: int, slot_ms: int, wants_window: bool = False) -> Variants:
    """What the job could be. A run takes `work_ms`; `wants_window`: it may be given a window, if it has none."""
    trigger = job.trigger
    if isinstance(trigger, IntervalTrigger):
        if wants_window and job.policies.windows is None:
            return Variants((job, *_windowed(job, times)))
        others: Sequence[Job] = [_at(job, IntervalTrigger(trigger.period_ms, at)) for at in _phases(trigger, slot_ms)]
        has_time_of_day = trigger.period_ms % DAY_MS == 0
    elif isinstance(trigger, CronTrigger) and len(trigger.hours) == len(trigger.minutes) == 1:
        others = [_at(job, each) for each in _times_of_day(trigger)]
        has_time_of_day = True
    else:
        return Variants((job,))
    if not has_time_of_day:
        return Variants((job, *others))
    allowed = tuple(other for other in others if times.allow(other, work_ms))
    return Variants((job, *allowed), is_misplaced=not times.allow(job, work_ms))


def _at(job: Job, trigger: IntervalTrigger | CronTrigger) -> Job:
    return replace(job, trigger=trigger)


def _phases(trigger: IntervalTrigger, slot_ms: int) -> Iterator[int]:
    """Phases of whole seconds, the least shift first; none if each slot has a run of its own at any of them."""
    period_ms = trigger.period_ms
    if period_ms <= slot_ms:
        return
    step_ms = max(slot_ms // 2, -(-period_ms // _MOST_PHASES), SECOND_MS)
    step_ms = -(-step_ms // SECOND_MS) * SECOND_MS
    shifts = (phase for phase in range(0, period_ms, step_ms) if phase != trigger.phase_ms)
    yield from sorted(shifts, key=lambda phase: _on_circle(phase - trigger.phase_ms, period_ms))


def _times_of_day(trigger: CronTrigger) -> Iterator[CronTrigger]:
    """Other minutes of the day, the least shift first."""
    (hour,), (minute,) = trigger.hours, trigger.minutes
    present = hour * 60 + minute
    others = (other for other in range(MINUTES_OF_A_DAY) if other != present)
    for other in sorted(others, key=lambda other: _on_circle(other - present, MINUTES_OF_A_DAY)):
        hours, minutes = frozenset({other // 60}), frozenset({other % 60})
        yield CronTrigger(minutes, hours, trigger.days, trigger.zone, trigger.gap, trigger.fold)


def _windowed(job: Job, times: OffPeakTimes) -> Iterator[Job]:
    """The job in windows of the day that begin at a full hour in UTC, beside what it must stay out of anyway.

    Of these only such as sessions leave (nearly) whole on every day: in the rest of one it would hardly run.
    """
    length = times.off_peak.hours * HOUR_MS // MINUTE_MS
    for start in range(0, MINUTES_OF_A_DAY, HOUR_MS // MINUTE_MS):
        if times.least_left(start * MINUTE_MS, length * MINUTE_MS) < _LEAST_LEFT:
            continue
        span = WindowSpan(_EVERY_DAY, start, (start + length) % MINUTES_OF_A_DAY)
        windows = Windows(spans=(span,), outside_sessions_of=times.outside_sessions_of)
        yield replace(job, policies=replace(job.policies, windows=windows))


def _on_circle(distance: int, length: int) -> int:
    return min(distance % length, -distance % length)
