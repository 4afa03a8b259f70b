"""A message of beat that comes twice does its work once, with a real worker; and which messages that is said of."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, Task

from packages.infra.beat.messages.fire_ids import task_id_of
from packages.infra.embedded.ports import choose_port
from packages.infra.queue.broker_redis import BrokerRedis, open_broker_redis
from packages.infra.queue.running_signals import RunKeeper
from packages.infra.telemetry.instants import rfc3339
from packages.scheduling.instants import DAY_MS, to_datetime
from packages.shared_settings.layers import ROOT
from tests.beat.own_valkey import own_valkey
from tests.queue.running_app import TASK, make_app
from tests.queue.test_running_worker import eventually, working

NOMINAL = 1_795_330_000_123
ORIGIN = "schedule"


class Beat:
    """Publishes fires of a job of this test alone, and sees what a worker makes of them."""

    def __init__(self, url: str, directory: Path, log: Path) -> None:
        self.app, self.directory, self.log = make_app(url), directory, log
        self._dropped_before = self._dropped()
        redis = open_broker_redis(self.app)
        assert redis is not None
        self.redis: BrokerRedis = redis
        self.job = f"job-{uuid4().hex}"
        self.task_id = task_id_of(self.job, NOMINAL, ORIGIN)
        self.done = redis.key(f"done:{self.task_id}")

    def publish(self, order: str, *, task_id: str | None = None, **options: Any) -> None:  # noqa: ANN401  # send_task's
        headers = {"beat_job": self.job, "beat_origin": ORIGIN, "scheduled_for": rfc3339(to_datetime(NOMINAL))}
        given: dict[str, Any] = {"headers": headers, "queue": "maintenance", **options}
        self.app.send_task(TASK, args=(order, str(self.directory)), task_id=task_id or self.task_id, **given)

    def runs(self) -> int:
        path = self.directory / "pids"
        return len(path.read_text(encoding="ascii").split()) if path.exists() else 0

    def completes(self) -> None:
        eventually(lambda: self.redis.client.exists(self.done), "it is not noted as completed")

    def drops(self, times: int = 1) -> None:
        eventually(lambda: self._dropped() == self._dropped_before + times, "it is not dropped")

    def _dropped(self) -> int:
        # Other tests of the same worker have theirs in the same log.
        return self.log.read_text(encoding="utf-8").count("duplicate_dropped")

    def is_idle(self) -> bool:
        """Whether no message waits and none is unacknowledged."""
        client = self.redis.client
        return not (client.llen("maintenance") or client.hlen("unacked") or client.hlen(self.redis.key("running:runs")))


@pytest.fixture(params=["prefork", "solo", "threads"], scope="module")
def worker(
    request: pytest.FixtureRequest, valkey_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The URL of a Redis with a worker on it, and the worker's log."""
    directory = tmp_path_factory.mktemp("worker")
    redis = open_broker_redis(make_app(valkey_server))
    assert redis is not None
    redis.client.flushall()
    with working(valkey_server, directory, "-P", request.param):
        yield valkey_server, directory / "worker.log"
    redis.client.flushall()


@pytest.fixture
def beat(worker: tuple[str, Path], tmp_path: Path) -> Beat:
    url, log = worker
    return Beat(url, tmp_path, log)


def test_the_same_message_twice_runs_once(beat: Beat) -> None:
    beat.publish("succeed")
    beat.completes()
    assert 0 < beat.redis.client.pttl(beat.done) <= DAY_MS
    beat.publish("succeed")
    beat.publish("succeed", ignore_result=True)
    beat.drops(2)
    eventually(beat.is_idle, "it is not acknowledged")
    assert beat.runs() == 1


def test_what_failed_or_is_tried_again_is_not_completed(beat: Beat) -> None:
    beat.publish("fail")
    eventually(lambda: beat.runs() == 1 and beat.is_idle(), "it does not end")
    beat.publish("retry once")
    eventually(lambda: beat.runs() == 2 and beat.is_idle(), "it does not end")
    # It has run before, so that it was not tried again.
    beat.completes()
    beat.publish("succeed")
    beat.drops()
    assert beat.runs() == 2


def test_a_retry_that_succeeds_completes_it(beat: Beat) -> None:
    beat.publish("retry once")
    beat.completes()
    beat.publish("succeed")
    beat.drops()
    assert beat.runs() == 2


def test_messages_that_are_no_fires_run_each_time(beat: Beat) -> None:
    other = uuid4().hex
    kinds: tuple[dict[str, Any], ...] = (
        {"task_id": other},
        {"headers": {}},
        {"headers": {"beat_job": beat.job, "beat_origin": ORIGIN, "scheduled_for": "soon"}},
    )
    for options in kinds:
        beat.publish("succeed", **options)
        beat.publish("succeed", **options)
    eventually(lambda: beat.runs() == 6 and beat.is_idle(), "they do not all run")
    assert not beat.redis.client.exists(beat.done, beat.redis.key(f"done:{other}"))


def test_a_run_that_was_killed_runs_again(tmp_path: Path) -> None:
    # On a server of its own: the other workers are not to take it.
    with own_valkey() as port, working(url := f"redis://127.0.0.1:{port}/0", tmp_path):
        beat = Beat(url, tmp_path, tmp_path / "worker.log")
        beat.publish("die once")
        beat.completes()
        assert beat.runs() == 2
        beat.publish("die once")
        beat.drops()
        assert beat.runs() == 2


def test_while_nobody_can_be_asked_everything_runs() -> None:
    keeper = RunKeeper(Celery("lonely", broker=f"redis://127.0.0.1:{choose_port(None)}", set_as_current=False))
    assert keeper.is_completed("x") is False
    assert RunKeeper(Celery("other", broker="memory://", set_as_current=False)).is_completed("x") is False


def test_calls_and_eager_runs_are_not_looked_at(redis_url: str) -> None:
    app = Celery("once", broker=redis_url, task_cls="packages.infra.queue.once:OnceTask", set_as_current=False)
    task_id = task_id_of("job", NOMINAL, ORIGIN)
    ran: list[tuple[int, bool]] = []

    @app.task(bind=True)
    def count_down(self: "Task[[int], int]", number: int) -> int:
        ran.append((number, bool(self.request.is_eager)))
        # As a function, out of its own run.
        return self(number - 1) if number else 0

    redis = open_broker_redis(app)
    assert redis is not None
    redis.client.set(redis.key(f"done:{task_id}"), b"")
    headers = {"beat_job": "job", "beat_origin": ORIGIN, "scheduled_for": rfc3339(to_datetime(NOMINAL))}
    assert count_down(1) == 0
    assert count_down.apply(args=(1,), task_id=task_id, headers=headers).get() == 0
    assert [number for number, _ in ran] == [1, 0, 1, 0]
    assert [is_eager for number, is_eager in ran if number] == [False, True]
    redis.close()


def test_every_job_of_the_catalogue_is_of_this_class() -> None:
    code = (
        "from packages.infra.queue.celery_app import celery_app\n"
        "from packages.infra.queue.once import OnceTask\n"
        "from packages.catalogue.jobs import JOBS\n"
        "celery_app.loader.import_default_modules()\n"
        "print(len(JOBS) == sum(isinstance(celery_app.tasks[job.name], OnceTask) for job in JOBS) > 0)"
    )
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=kept, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "True\n"
