"""What a real worker makes of the record of what still runs, from publish to the end, whatever the end is."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from celery import Celery
from sqlalchemy.orm import Session

from packages.domain.market_data.models import Subscription
from packages.infra.queue.active_markets import ActiveMarketsStore
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.queue.running import LEASE, JobRun, RunningStore, run_text
from packages.infra.queue.running_signals import present
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.instants import HOUR_MS, to_datetime, to_ms
from packages.scheduling.snapshot import Run
from packages.shared_settings.layers import ROOT
from tests.queue.running_app import TASK, make_app

PATIENCE_S = 60.0
LEASE_MS = to_ms(LEASE)
PUBLISHED_AT = 1_795_330_000_123


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class World:
    """A worker, its Redis, and a job of this test alone."""

    def __init__(self, app: Celery, directory: Path) -> None:
        redis = open_broker_redis(app)
        assert redis is not None
        self.app, self.redis, self.store = app, redis, RunningStore(redis)
        self.directory = directory
        self.job = f"job-{uuid4().hex}"
        self.task_id = uuid4().hex

    def publish(self, order: str, *, task: str = TASK, expires: datetime | None = None, headers: bool = True) -> None:
        if headers:
            run = Run(self.task_id, PUBLISHED_AT, present() + HOUR_MS)
            # As the script does by which beat publishes.
            self.redis.client.hset(self.redis.key("running:runs"), run.task_id, run_text(JobRun(self.job, run)))
            assert self.runs() == (run,)
        self.app.send_task(
            task,
            args=(order, str(self.directory)),
            task_id=self.task_id,
            queue="maintenance",
            expires=expires,
            headers={"beat_job": self.job, "beat_published_at": rfc3339(to_datetime(PUBLISHED_AT))} if headers else {},
        )

    def runs(self, *, later_ms: int = 0) -> tuple[Run, ...]:
        """The runs of the job; known, since a worker lives."""
        reading = self.store.read(present() + later_ms)
        assert reading is not None
        return reading.value.get(self.job, ())

    def pids(self) -> list[int]:
        path = self.directory / "pids"
        return [int(pid) for pid in path.read_text(encoding="ascii").split()] if path.exists() else []

    def let_go(self) -> None:
        (self.directory / "go").touch()


@contextmanager
def working(url: str, directory: Path, *arguments: str, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker that is ready; its processes are gone after the block."""
    log = directory / "worker.log"
    command = [sys.executable, "-m", "celery", "-A", "tests.queue.running_app", "worker", "-Q", "maintenance"]
    with log.open("wb") as stream:
        worker = subprocess.Popen(
            [*command, "-l", "info", "-n", f"{uuid4().hex}@h", *arguments],
            cwd=ROOT,
            env={**os.environ, **variables, "RUNNING_APP_URL": url},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        eventually(lambda: " ready." in log.read_text() or worker.poll() is not None, "the worker is not ready")
        assert worker.poll() is None, log.read_text()
        redis = open_broker_redis(make_app(url))
        assert redis is not None
        eventually(lambda: RunningStore(redis).read(present()) is not None, "the worker does not say that it lives")
        redis.close()
        yield worker
    finally:
        # None of them is left if the test has ended them.
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(30)


@pytest.fixture(scope="module")
def one_worker(valkey_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis with a worker on it; nothing may be flushed while it works."""
    with working(valkey_server, tmp_path_factory.mktemp("worker")):
        yield valkey_server


@pytest.fixture
def world(one_worker: str, tmp_path: Path) -> Iterator[World]:
    world = World(make_app(one_worker), tmp_path)
    yield world
    world.redis.close()
    world.app.close()


def test_a_run_counts_from_its_publish_to_its_end_and_is_renewed_meanwhile(world: World) -> None:
    world.publish("wait")
    eventually(world.pids, "it does not start")
    [started] = world.runs()
    assert (started.task_id, started.published_at) == (world.task_id, PUBLISHED_AT)
    # Not the hour for which it counted unstarted.
    assert started.counts_until <= present() + LEASE_MS
    eventually(lambda: world.runs()[0].counts_until > started.counts_until, "it is not renewed")
    world.let_go()
    eventually(lambda: not world.runs(), "it is not over")


@pytest.mark.parametrize("order", ["succeed", "fail", "retry once"])
def test_a_final_state_ends_it(world: World, order: str) -> None:
    world.publish(order)
    eventually(lambda: not world.runs(), "it is not over")
    assert len(world.pids()) == (2 if order == "retry once" else 1)


def test_a_retry_counts_until_it_is_due_and_a_lease_longer(world: World) -> None:
    began = present()
    world.publish("retry in ten minutes")
    eventually(world.pids, "it does not start")
    eventually(lambda: world.runs() and LEASE_MS < world.runs()[0].counts_until - present() < HOUR_MS / 2, "no retry")
    [waiting] = world.runs()
    assert waiting.published_at == PUBLISHED_AT
    assert waiting.counts_until >= began + 600_000 + LEASE_MS
    world.app.control.purge()


def test_a_message_that_expired_is_over_when_the_worker_drops_it(world: World) -> None:
    world.publish("wait", expires=datetime.now(UTC) - timedelta(seconds=1))
    eventually(lambda: not world.runs(), "it is not over")
    assert world.pids() == []


def test_a_run_that_is_revoked_is_over(world: World) -> None:
    world.publish("wait")
    eventually(world.pids, "it does not start")
    world.app.control.revoke(world.task_id, terminate=True, signal="SIGKILL")
    eventually(lambda: not world.runs(), "it is not over")


def test_a_task_that_the_worker_does_not_know_is_over(world: World) -> None:
    world.publish("wait", task="maintenance.unheard_of")
    eventually(lambda: not world.runs(), "it is not over")


def test_a_run_whose_pool_process_was_killed_is_counted_again_with_its_second_try(world: World) -> None:
    world.publish("die once")
    eventually(lambda: len(world.pids()) == 2, "it is not run again")
    eventually(lambda: not world.runs(), "it is not over")


def test_a_run_that_is_not_tried_again_after_a_kill_is_over(world: World) -> None:
    world.publish("die once", task="maintenance.obey_early")
    eventually(lambda: not world.runs(), "it is not over")
    assert len(world.pids()) == 1


def test_what_is_not_of_beat_is_not_counted(world: World) -> None:
    before = world.redis.client.hkeys(world.redis.key("running:runs"))
    world.publish("wait", headers=False)
    eventually(world.pids, "it does not start")
    assert world.redis.client.hkeys(world.redis.key("running:runs")) == before
    world.let_go()


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_other_pools_do_the_same(valkey_server: str, tmp_path: Path, pool: str) -> None:
    with working(valkey_server, tmp_path, "-P", pool):
        world = World(make_app(valkey_server), tmp_path)
        world.publish("wait")
        eventually(world.pids, "it does not start")
        [started] = world.runs()
        eventually(lambda: world.runs()[0].counts_until > started.counts_until, "it is not renewed")
        world.let_go()
        eventually(lambda: not world.runs(), "it is not over")


def test_a_killed_worker_blocks_its_job_for_a_lease_and_no_longer(
    valkey_server: str, tmp_path: Path, engine: sa.Engine
) -> None:
    with Session(engine) as session, session.begin():
        session.add(Subscription(symbol="BTC/USD", exchange="24/7"))
    database = engine.url.render_as_string(hide_password=False)
    with working(valkey_server, tmp_path, RUNNING_APP_DATABASE=database) as worker:
        world = World(make_app(valkey_server), tmp_path)
        eventually(lambda: active_markets(world.redis) == {"24/7"}, "the worker does not say which markets are in use")
        world.publish("wait")
        eventually(world.pids, "it does not start")
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(30)
        [left] = world.runs()
        assert world.runs(later_ms=left.counts_until - present() - 1_000) == (left,)
        assert world.runs(later_ms=LEASE_MS) == ()
        # Nobody says any more that it lives.
        assert 0 < world.redis.client.pttl(world.redis.key("running:workers")) <= LEASE_MS
    world.redis.client.flushall()


def active_markets(redis: BrokerRedis) -> frozenset[str]:
    reading = ActiveMarketsStore(redis).read(present())
    return reading.value if reading is not None else frozenset()
