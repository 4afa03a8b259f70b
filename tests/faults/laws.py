"""When each job of the fault tests is due, said in the simplest way there is and not by the triggers of the engine."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final, Protocol

MINUTE_MS: Final = 60_000


class Law(Protocol):
    """Says when a job is due."""

    def nominals(self, start: int, end: int) -> Iterator[int]:
        """The nominals in (start, end], in order."""
        ...


@dataclass(frozen=True, slots=True)
class Grid:
    """`phase_ms` + n * `period_ms` since the epoch."""

    period_ms: int
    phase_ms: int = 0

    def nominals(self, start: int, end: int) -> Iterator[int]:
        """See `Law`."""
        first = (start - self.phase_ms) // self.period_ms + 1
        last = (end - self.phase_ms) // self.period_ms
        for n in range(first, last + 1):
            yield n * self.period_ms + self.phase_ms


@dataclass(frozen=True, slots=True)
class Minutes:
    """Each minute in UTC, but for those of one hour of the day and one minute of the hour, where they are named."""

    but_hour: int | None = None
    but_minute: int | None = None

    def nominals(self, start: int, end: int) -> Iterator[int]:
        """See `Law`."""
        for instant in range((start // MINUTE_MS + 1) * MINUTE_MS, end + 1, MINUTE_MS):
            moment = datetime.fromtimestamp(instant / 1_000, UTC)
            if moment.hour != self.but_hour and moment.minute != self.but_minute:
                yield instant


class MakesUp(Enum):
    """Which of the fires that were missed a job makes up for."""

    ALL = auto()
    LATEST = auto()


@dataclass(frozen=True, slots=True)
class Declared:
    """One job. `law` is None for one every `period_ms` since beat first saw it: an ordinary entry of Celery's.

    `priority` is that of its messages, None if they do not say.
    """

    name: str
    law: Law | None
    makes_up: MakesUp
    jitter_ms: int = 0
    period_ms: int | None = None
    priority: int | None = None

    @property
    def queue(self) -> str:
        """Where its messages go."""
        return QUEUES[0] if self.makes_up is MakesUp.ALL else QUEUES[1]


QUEUES: Final = ("faults.a", "faults.b")
# As kombu keeps them: one for each step of priority.
LISTS: Final = tuple(f"{queue}{suffix}" for queue in QUEUES for suffix in ("", "\x06\x163", "\x06\x166", "\x06\x169"))
REMOVED: Final = "one-shifted"
ADDED: Final = "added"
FIXED: Final = "fixed-hours"


def catalogue(spared: datetime, *, version: int = 1) -> tuple[Declared, ...]:
    """The jobs. The one at fixed hours is due each minute, but not in the minute nor in the hour of `spared`.

    Version 2 lacks `REMOVED`, and has `ADDED`.
    """
    jobs = (
        Declared("half", Grid(500), MakesUp.ALL),
        Declared("one", Grid(1_000), MakesUp.ALL),
        Declared("two", Grid(2_000), MakesUp.ALL, priority=3),
        Declared("three-shifted", Grid(3_000, 700), MakesUp.ALL),
        Declared("two-jittered", Grid(2_000, 100), MakesUp.ALL, jitter_ms=400),
        Declared("one-latest", Grid(1_000), MakesUp.LATEST),
        Declared("two-latest", Grid(2_000, 500), MakesUp.LATEST, priority=6),
        Declared("five-latest", Grid(5_000), MakesUp.LATEST),
        Declared("minute", Minutes(), MakesUp.LATEST),
        Declared(FIXED, Minutes(spared.hour, spared.minute), MakesUp.LATEST),
        Declared("plain-one", None, MakesUp.LATEST, period_ms=1_000),
        Declared("plain-three", None, MakesUp.LATEST, period_ms=3_000, priority=6),
    )
    if version == 1:
        return (*jobs, Declared(REMOVED, Grid(1_000, 300), MakesUp.ALL))
    return (*jobs, Declared(ADDED, Grid(1_000, 600), MakesUp.ALL))
