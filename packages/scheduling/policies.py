"""The policies of a job as frozen values, checked when built. Durations are in whole milliseconds."""

from dataclasses import dataclass
from enum import StrEnum

from packages.scheduling.instants import DAY_MS, MINUTE_MS

MINUTES_OF_A_DAY = DAY_MS // MINUTE_MS
# One-sided offsets are 32 bits wide; a day is more than any jitter needs.
LONGEST_JITTER_MS = DAY_MS
MOST_CAUGHT_UP = 10_000


class PolicyError(ValueError):
    """A policy contradicts itself; the text names what and says what is allowed."""


class GateMode(StrEnum):
    """What a gate's objection does: nothing at all, is recorded only, or holds the fire back."""

    OFF = "off"
    OBSERVE = "observe"
    ENFORCE = "enforce"


class CatchUpMode(StrEnum):
    """Which of the fires that were missed are made up for: none, the last one, or all up to a limit."""

    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


class OverlapMode(StrEnum):
    """What becomes of a fire while an earlier run of its job is not over.

    Both run; the fire is skipped; the fire waits, one at most; the earlier run is revoked.
    """

    ALLOW = "allow"
    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    CANCEL_OTHER = "cancel_other"


class UnknownDates(StrEnum):
    """What a date that a calendar does not know does to a fire: it lets it pass, or holds it back."""

    FAIL_OPEN = "fail_open"
    FAIL_CLOSED = "fail_closed"


class WindowAction(StrEnum):
    """What a fire outside its window does: waits for the window, or is skipped."""

    DEFER = "defer"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class CatchUp:
    """`window_ms`: a fire planned longer ago than this is not made up for. `limit`: at most so many for `all`."""

    mode: CatchUpMode = CatchUpMode.LATEST
    window_ms: int = DAY_MS
    limit: int = 100

    def __post_init__(self) -> None:
        if self.window_ms <= 0:
            raise PolicyError(f"the window of a catch-up must be above zero, not {self.window_ms} ms")
        if not 1 <= self.limit <= MOST_CAUGHT_UP:
            raise PolicyError(f"the limit of a catch-up is 1 to {MOST_CAUGHT_UP}, not {self.limit}")


_DEFAULT_CATCH_UP = CatchUp()


@dataclass(frozen=True, slots=True)
class TradingHours:
    """Fires only while one of `markets` (MIC codes, or `24/7`) is open, from `before_ms` ahead to `after_ms` behind.

    The markets that the workers report as in use, when they do, are added to `markets`.
    """

    markets: tuple[str, ...]
    before_ms: int = 0
    after_ms: int = 0
    unknown: UnknownDates = UnknownDates.FAIL_OPEN
    mode: GateMode = GateMode.ENFORCE

    def __post_init__(self) -> None:
        if not self.markets:
            raise PolicyError("trading hours need at least one market")
        if min(self.before_ms, self.after_ms) < 0:
            raise PolicyError("the margins of trading hours may not be negative")


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """From `start_minute` (inclusive) to `end_minute` (exclusive) of the local day, on `days`, 0 being Monday.

    With `end_minute` not above `start_minute` the span crosses midnight and belongs to the day on which it starts;
    the whole day is 0 to 1440.
    """

    days: frozenset[int]
    start_minute: int
    end_minute: int

    def __post_init__(self) -> None:
        if not self.days or not self.days <= frozenset(range(7)):
            raise PolicyError(f"the days of a window are 0 (Monday) to 6, at least one, not {sorted(self.days)}")
        if not (0 <= self.start_minute < MINUTES_OF_A_DAY and 0 <= self.end_minute <= MINUTES_OF_A_DAY):
            raise PolicyError(f"a window is within 00:00 and 24:00, not {self.start_minute} to {self.end_minute} min")


@dataclass(frozen=True, slots=True)
class Windows:
    """Fires only inside one of `spans` in `zone` and while none of `outside_sessions_of` (MIC codes) is in session.

    Without spans any time of day will do.
    """

    zone: str = "UTC"
    spans: tuple[WindowSpan, ...] = ()
    outside_sessions_of: tuple[str, ...] = ()
    action: WindowAction = WindowAction.DEFER
    unknown: UnknownDates = UnknownDates.FAIL_OPEN
    mode: GateMode = GateMode.ENFORCE

    def __post_init__(self) -> None:
        if not self.spans and not self.outside_sessions_of:
            raise PolicyError("windows need a span of time or a session to stay outside of")


@dataclass(frozen=True, slots=True)
class Policies:
    """All policies of one job.

    `jitter_ms`: the offset of a fire is below this, and below the gap to the following nominal.
    `max_staleness_ms`: a fire that still waits this long after its planned instant ends, by criticality; None means
    the window of the catch-up.
    """

    jitter_ms: int = 0
    catch_up: CatchUp = _DEFAULT_CATCH_UP
    overlap: OverlapMode = OverlapMode.ALLOW
    trading_hours: TradingHours | None = None
    windows: Windows | None = None
    max_staleness_ms: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.jitter_ms <= LONGEST_JITTER_MS:
            raise PolicyError(f"a jitter is 0 to {LONGEST_JITTER_MS} ms, not {self.jitter_ms}")
        if self.max_staleness_ms is not None and self.max_staleness_ms <= 0:
            raise PolicyError(f"max_staleness must be above zero, not {self.max_staleness_ms} ms")

    @property
    def shuts(self) -> bool:
        """Whether there are times at which the job may not run."""
        return self.trading_hours is not None or self.windows is not None

    @property
    def stale_after_ms(self) -> int:
        """How long after its planned instant a fire may still wait."""
        return self.catch_up.window_ms if self.max_staleness_ms is None else self.max_staleness_ms


DEFAULT_POLICIES = Policies()
