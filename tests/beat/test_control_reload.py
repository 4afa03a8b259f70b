"""A running scheduler goes by the thresholds that the env files have now; bad ones leave it as it was."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from packages.catalogue.jobs import enabled_jobs
from packages.infra.beat.readings import NoReadings
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.infra.beat.wiring import open_for
from packages.infra.queue.entries import beat_entries
from packages.infra.queue.reload import EnvFilesSource
from packages.scheduling.control.controllers import NEUTRAL, Controllers
from packages.scheduling.model import Criticality
from packages.scheduling.readings import QueueReading
from packages.scheduling.requests import Request
from packages.scheduling.snapshot import Reading, Snapshot
from packages.shared_settings.beat import BeatSettings
from packages.shared_settings.loading import load
from tests.beat.stepped import Clock, make_app, on_clock, run_until, settle

QUEUE = "maintenance"
JOBS = "BACKTEST_STALE_JOB_CLEANUP_ENABLED=true\nBACKTEST_STALE_JOB_CLEANUP_INTERVAL_MINUTES=1\n"
OFF = "BACKLOG_GATE=off\nSLO_GATE=off\nFAILING_TARGET_GATE=off\n"
SECOND = timedelta(seconds=1)
# The wait has stood above its target for a minute, and the rate of sheddable work has been cut.
UNTIL_THROTTLED = timedelta(minutes=2)
STANDS = QueueReading(ready=400, oldest_ms=20_000, reserved=2, running=2, completed=10, over_ms=30_000, consumers=1)


class Stands(NoReadings):
    """The oldest message of a queue has waited for 20 s, always."""

    def read(self, now: int) -> tuple[Snapshot, Sequence[Request]]:
        return Snapshot(taken_at=now, queues={QUEUE: Reading(STANDS, now)}), ()


class World:
    """A scheduler on a queue that does not drain, with env files of its own."""

    def __init__(self, url: str, directory: Path) -> None:
        self.clock = Clock()
        self._file = directory / ".env.dev.beat"
        self._file.write_text(JOBS)
        environ = {"MINSY_ENV_DIR": str(directory)}
        source = EnvFilesSource(environ, monotonic=lambda: self.clock.monotonic_s)
        settings = load(BeatSettings, environ)
        jobs = enabled_jobs(settings)
        source.begin(settings, jobs)
        more = {"beat_schedule_source": source, "beat_control": source.control}
        self.scheduler = AdaptiveScheduler(make_app(beat_entries(jobs, priorities=True), broker=url, **more))
        on_clock(self.scheduler, self.clock)
        self.scheduler.open_for = lambda host: open_for(host)._replace(readings=Stands())

    @property
    def controllers(self) -> Controllers:
        assert self.scheduler._loop is not None
        return self.scheduler._loop._engine.controllers

    def rate(self) -> int | None:
        """Of sheddable work, in millionths; None while all of it is let through."""
        return self.controllers.queues[QUEUE].rates.get(Criticality.SHEDDABLE)

    def run(self, duration: timedelta) -> None:
        run_until(self.scheduler, self.clock, self.clock.now + duration)

    def write(self, text: str) -> None:
        """Have the files say something else, and beat look at them twice."""
        self._file.write_text(JOBS + text)
        for _ in range(3):
            self.clock.step(SECOND)
            settle(self.scheduler)


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> Iterator[World]:
    world = World(redis_url, tmp_path)
    yield world
    world.scheduler.close()


def test_another_target_holds_within_seconds(world: World) -> None:
    world.run(UNTIL_THROTTLED)
    assert world.rate() is not None
    world.write('BACKLOG_TARGET_SECONDS_BY_QUEUE={"maintenance": 30}\nBACKLOG_CALM_SHARE=0.9\nBACKLOG_INCREASE=1\n')
    # What waits for 20 s is no backlog then: an interval of the control, and a moment.
    world.run(timedelta(seconds=12))
    assert world.rate() is None
    assert not world.controllers.throttles
    world.write("")
    world.run(UNTIL_THROTTLED)
    assert world.rate() is not None


def test_bad_thresholds_are_refused_and_the_old_ones_go_on(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.run(UNTIL_THROTTLED)
    world.write("BACKLOG_TARGET_SECONDS=90\n")
    (refused,) = [record for record in caplog.records if record.getMessage() == "settings_reload_refused"]
    assert "BACKLOG_TARGET_SECONDS" in vars(refused)["error"]
    world.run(timedelta(seconds=30))
    assert world.rate() is not None
    assert world.controllers.queues[QUEUE].above_since is not None


def test_with_all_gates_off_everything_learnt_is_forgotten_and_learnt_anew_later(world: World) -> None:
    world.run(UNTIL_THROTTLED)
    assert world.rate() is not None
    world.write(OFF)
    assert world.controllers == NEUTRAL
    world.run(UNTIL_THROTTLED)
    assert world.controllers == NEUTRAL
    world.write("")
    assert world.rate() is None
    world.run(UNTIL_THROTTLED)
    assert world.rate() is not None
