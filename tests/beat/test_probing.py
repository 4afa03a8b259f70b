"""Beat asks the probes where its app has an adaptive control, about its own jobs, and nowhere else."""

import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from celery import Celery
from pydantic import SecretStr

from packages.infra.beat.broker_readings import BrokerReadings
from packages.infra.beat.celery_host import CeleryHost
from packages.infra.beat.probing import Asked, Probing, probing_of
from packages.infra.beat.readings import Readings
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.infra.beat.wiring import Opened, open_for
from packages.infra.probes.probe import ProbeReadings
from packages.scheduling.control.objective import Measure, Objective
from packages.scheduling.control.policy import ControlPolicy, SloPolicy
from packages.scheduling.instants import MINUTE_MS, SECOND_MS, to_datetime, to_instant
from packages.scheduling.model import Criticality, Job
from packages.scheduling.readings import QueueReading
from packages.scheduling.requests import Request
from packages.scheduling.snapshot import Reading, Snapshot
from packages.scheduling.triggers.interval import IntervalTrigger
from tests.beat.stepped import NOON, Clock, make_app, on_clock, settle

NOW = to_instant(NOON)
JOB = Job("job", "a.b", IntervalTrigger(MINUTE_MS), "area", Criticality.SHEDDABLE)
OBJECTIVE = Objective("good", Measure.SUCCESS, 990_000, task="a.b")


class Control:
    """As the setting of the app."""

    def __init__(self) -> None:
        self.policy = ControlPolicy(interval_ms=5 * SECOND_MS)
        self.prometheus_url: SecretStr | None = None


class Probe:
    """Writes down what it is asked."""

    def __init__(self, interval_ms: int) -> None:
        self.interval_ms = interval_ms
        self.wanted: list[tuple[set[str], set[str], list[Objective]]] = []
        self.asked_at: list[int] = []
        self.closed = False

    def want(self, queues: Collection[str], tasks: Collection[str], objectives: Collection[Objective]) -> None:
        self.wanted.append((set(queues), set(tasks), list(objectives)))

    def read(self, now_ms: int) -> ProbeReadings:
        self.asked_at.append(now_ms - NOW)
        return ProbeReadings(queues={"area": Reading(QueueReading(ready=1), now_ms)})

    def close(self) -> None:
        self.closed = True


class World:
    """A probing, and the probes that it has opened."""

    def __init__(self) -> None:
        self.control = Control()
        self.probes: list[Probe] = []
        self.probing = Probing(self.control, self._open)

    def _open(self, interval_ms: int) -> Asked:
        self.probes.append(Probe(interval_ms))
        return Asked(self.probes[-1], url=self.control.prometheus_url)


def asking() -> World:
    """One in which it has begun to ask, about `JOB`, at `NOW`."""
    world = World()
    world.probing.want([JOB])
    world.probing.look_ahead(NOW, None)
    return world


def test_nothing_is_opened_before_there_is_a_job() -> None:
    world = World()
    world.probing.look_ahead(NOW, None)
    world.probing.want([replace(JOB, queue="")])
    world.probing.look_ahead(NOW, None)
    assert world.probes == []
    world.probing.want([JOB])
    world.probing.look_ahead(NOW, None)
    assert world.probing.read(NOW) == world.probes[0].read(NOW)
    assert world.probing.read(NOW) == world.probing.read(NOW + 1)
    assert [probe.interval_ms for probe in world.probes] == [2_500]


@pytest.mark.parametrize("looks_at_ms", [None, 500])
def test_the_first_reading_is_left_to_when_there_is_time_or_to_a_second_later(looks_at_ms: int | None) -> None:
    world = World()
    world.probing.want([JOB])
    for after_ms in (0, 500, 1_000):
        assert (world.probing.read(NOW + after_ms) is None) == (after_ms <= (looks_at_ms or 500))
        if after_ms == looks_at_ms:
            world.probing.look_ahead(NOW + after_ms, stepped_at=NOW)
    assert world.probes[0].asked_at == [looks_at_ms or 1_000]


def test_the_queues_and_tasks_of_the_jobs_are_wanted_once() -> None:
    world = asking()
    for step in range(2):
        world.probing.read(NOW + step * MINUTE_MS)
        world.probing.want([JOB, replace(JOB, name="again")])
    [probe] = world.probes
    assert probe.wanted == [({"area"}, {"a.b"}, [])]
    world.probing.want([replace(JOB, queue="other", task="a.c")])
    world.probing.read(NOW + 2 * MINUTE_MS)
    assert probe.wanted[1:] == [({"area", "other"}, {"a.b", "a.c"}, [])]


def test_what_no_job_has_any_more_is_not_asked_about() -> None:
    world = asking()
    world.probing.want([replace(JOB, name="again"), replace(JOB, name="far", queue="far", task="a.c")])
    world.probing.want([replace(JOB, name="far", queue="further", task="a.c")])
    for step, gone in enumerate((["again", "never heard of"], ["far"], ["job", "job"]), 1):
        world.probing.let_go(gone)
        world.probing.read(NOW + step * MINUTE_MS)
    assert world.probes[0].wanted[1:] == [
        ({"area", "further"}, {"a.b", "a.c"}, []),
        ({"area"}, {"a.b"}, []),
        (set(), set(), []),
    ]


def test_other_thresholds_hold_from_the_next_reading_on() -> None:
    world = asking()
    world.control.policy = ControlPolicy(interval_ms=SECOND_MS, slo=SloPolicy(objectives=(OBJECTIVE,)))
    world.probing.read(NOW + 2 * SECOND_MS)
    [probe] = world.probes
    assert probe.interval_ms == SECOND_MS // 2
    assert probe.wanted[-1] == ({"area"}, {"a.b"}, [OBJECTIVE])


@pytest.mark.parametrize(
    ("looks", "asked"),
    [
        # There was time shortly before the control goes by the readings, and they are asked for once.
        ([4_200, 4_299, 4_300, 4_400, 4_900], [0, 4_300]),
        ([4_900, 4_999], [0, 4_900]),
        ([], [0]),
    ],
)
def test_readings_are_asked_for_when_there_is_time_shortly_before_they_are_wanted(
    looks: list[int], asked: list[int]
) -> None:
    world = asking()
    for after_ms in looks:
        world.probing.read(NOW + after_ms)
        world.probing.look_ahead(NOW + after_ms, stepped_at=NOW)
    world.probing.read(NOW + 5_000)
    assert world.probes[0].asked_at == asked


def test_where_there_is_never_time_they_are_asked_for_all_the_same() -> None:
    world = asking()
    for after_ms in (0, 5_000, 5_999, 6_000, 11_999, 12_000, 11_000):
        world.probing.read(NOW + after_ms)
    # The last one by a clock that was set back.
    assert world.probes[0].asked_at == [0, 6_000, 12_000, 11_000]


@pytest.mark.parametrize("late_ms", [0, 400, 5_000])
def test_whenever_the_control_goes_by_readings_they_are_fresh(late_ms: int) -> None:
    world, stepped_at, ages = asking(), NOW, []
    for now in range(NOW, NOW + 2 * MINUTE_MS, 500):
        told = world.probing.read(now)
        assert told is not None
        if now >= world.control.policy.interval_end(stepped_at) + late_ms:
            stepped_at = now
            ages.append(now - told.queues["area"].taken_at)
        world.probing.look_ahead(now, stepped_at)
    assert len(ages) > 10
    assert max(ages) <= 700 + max(late_ms, 500)


def test_a_probe_is_closed_and_opened_again() -> None:
    world = asking()
    world.probing.close()
    assert world.probing.read(NOW) is None
    world.probing.look_ahead(NOW, NOW)
    assert [probe.closed for probe in world.probes] == [True, False]
    assert world.probes[1].wanted == [({"area"}, {"a.b"}, [])]


def test_another_server_for_external_objectives_is_asked_by_another_probe() -> None:
    world = asking()
    world.control.prometheus_url = SecretStr("http://one:9090")
    for step in range(1, 3):
        world.probing.read(NOW + step * MINUTE_MS)
    assert [probe.closed for probe in world.probes] == [True, False]
    assert world.probes[1].wanted == [({"area"}, {"a.b"}, [])]


def test_what_is_told_is_in_the_snapshot() -> None:
    world = World()
    readings = BrokerReadings(None, None, world.probing)
    assert readings.has_probes
    assert readings.read(NOW)[0].queues == {}
    readings.want([JOB])
    readings.look_ahead(NOW, None)
    assert readings.read(NOW)[0].queues == {"area": Reading(QueueReading(ready=1), NOW)}
    readings.close()
    assert world.probes[0].closed


def test_an_app_without_a_control_has_no_probing() -> None:
    app = Celery("test", broker="memory://", set_as_current=False)
    assert probing_of(app, None) is None
    assert not BrokerReadings(None, None, None).has_probes
    app.conf.beat_control = Control()
    assert probing_of(app, None) is not None


class Recorded:
    """Readings, and the snapshots that they gave."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self.snapshots: list[Snapshot] = []
        self.want = readings.want
        self.look_ahead = readings.look_ahead
        self.let_go = readings.let_go
        self.acknowledge = readings.acknowledge
        self.close = readings.close
        self.has_probes = readings.has_probes

    def read(self, now: int) -> tuple[Snapshot, Sequence[Request]]:
        snapshot, requests = self._readings.read(now)
        self.snapshots.append(snapshot)
        return snapshot, requests


@pytest.mark.parametrize("broker", ["redis", "memory"])
def test_a_running_beat_sees_the_queues_of_plain_entries(redis_url: str, broker: str) -> None:
    queue, recorded = f"area-{broker}", []
    app = make_app(
        {"one": {"task": "a.b", "schedule": timedelta(seconds=1), "options": {"queue": queue}}},
        broker=redis_url if broker == "redis" else "memory://",
        beat_control=Control(),
    )

    def opened_for(host: CeleryHost) -> Opened:
        opened = open_for(host)
        recorded.append(Recorded(opened.readings))
        return opened._replace(readings=recorded[-1])

    begins = Control().policy.interval_end(to_instant(datetime.now(UTC)))
    scheduler, clock = AdaptiveScheduler(app), Clock(to_datetime(begins))
    scheduler.open_for = opened_for
    on_clock(scheduler, clock)
    settle(scheduler)
    for _ in range(30):
        clock.step(timedelta(seconds=0.5))
        settle(scheduler)
    in_the_end = [snapshot.queues for snapshot in recorded[0].snapshots][-1]
    del scheduler.schedule["one"]
    for _ in range(20):
        clock.step(timedelta(seconds=0.5))
        settle(scheduler)
    assert in_the_end
    assert not recorded[0].snapshots[-1].queues
    scheduler.close()
    told = [snapshot.queues for snapshot in recorded[0].snapshots if snapshot.queues]
    assert {name for queues in told for name in queues} == {queue}
    # Seen when there is time after the first tick, and shortly before the end of an interval; one message a second.
    lengths = {queues[queue].taken_at: queues[queue].value.ready or 0 for queues in told}
    assert [later - earlier for earlier, later in pairwise(lengths)] == [4_000, 5 * SECOND_MS, 5 * SECOND_MS]
    assert [later - earlier for earlier, later in pairwise(lengths.values())] == [4, 5, 5]


def test_without_a_control_no_probe_is_even_imported() -> None:
    code = """
import sys
from celery import Celery
from packages.infra.beat.scheduler import AdaptiveScheduler
from packages.infra.beat.wiring import Opened, open_for
app = Celery("test", broker="memory://", set_as_current=False)
app.conf.beat_schedule = {"one": {"task": "a.b", "schedule": 60.0}}
scheduler = AdaptiveScheduler(app)
scheduler.tick()
scheduler.close()
print([name for name in sys.modules if name.startswith(("packages.infra.probes", "packages.infra.queue.work"))])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
