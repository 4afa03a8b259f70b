"""A scheduler on clocks that a test sets, and what it has sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery

from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.scheduling.instants import to_datetime, to_instant

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@dataclass
class Clock:
    """Both clocks of a process."""

    now: datetime = NOON
    monotonic_s: float = 1_000.0

    def step(self, duration: timedelta) -> None:
        """Let time pass."""
        self.now += duration
        self.monotonic_s += duration.total_seconds()

    def to(self, moment: datetime) -> None:
        """Let time pass until `moment`."""
        self.step(moment - self.now)


@dataclass(frozen=True)
class Sent:
    """A message as it was handed to `send_task`."""

    task: str
    args: Any
    kwargs: Any
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, Any]:
        found: dict[str, Any] = self.options["headers"]
        return found


class Recorder(AdaptiveScheduler):
    """Hands its messages to the test. `broken` has what is in the way of a task, by its name, "" for every one."""

    def __init__(self, app: Celery, **kwargs: object) -> None:
        self.sent: list[Sent] = []
        self.broken: dict[str, Exception] = {}
        super().__init__(app, **kwargs)

    def send_task(self, name: str, args: object = None, kwargs: object = None, **options: object) -> None:
        if error := self.broken.get(name, self.broken.get("")):
            raise error
        self.sent.append(Sent(name, args, kwargs, options))

    @property
    def names(self) -> list[str]:
        """The names of the entries in the order in which they were sent."""
        return [str(sent.headers["beat_job"]) for sent in self.sent]

    @property
    def nominals(self) -> list[str]:
        """The nominal of each message, in the order in which they were sent."""
        return [str(sent.headers["scheduled_for"]) for sent in self.sent]


def make_app(schedule: Mapping[str, Any], *, broker: str = "memory://", **conf: object) -> Celery:
    app = Celery("test", broker=broker, set_as_current=False)
    app.conf.update(beat_schedule=dict(schedule), timezone="UTC", **conf)
    return app


def on_clock(scheduler: AdaptiveScheduler, clock: Clock) -> None:
    scheduler.wall_clock = lambda: clock.now
    scheduler.monotonic = lambda: clock.monotonic_s


def recorder(app: Celery, clock: Clock) -> Recorder:
    scheduler = Recorder(app)
    on_clock(scheduler, clock)
    return scheduler


def settle(scheduler: AdaptiveScheduler) -> float:
    """Tick until there is nothing more to do at once."""
    for _ in range(100):
        delay = scheduler.tick()
        if delay > 0:
            return delay
    raise AssertionError("the scheduler spins")


def run_until(scheduler: AdaptiveScheduler, clock: Clock, end: datetime) -> None:
    """Tick at every instant at which the scheduler has something to do, up to `end` inclusive."""
    delay_s = settle(scheduler)
    while clock.now < end:
        assert scheduler._loop is not None
        wake = scheduler._loop.next_wake()
        if wake is None:
            clock.to(end)
        elif wake > to_instant(clock.now):
            clock.to(min(end, to_datetime(wake)))
        else:
            # It is overdue: the broker takes nothing.
            clock.to(min(end, clock.now + timedelta(seconds=delay_s)))
        delay_s = settle(scheduler)
