"""Kill any one process of `minsy up`: the others go on, nothing is lost, and the supervisor says what happened."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime

import psutil
import pytest
from celery import Celery
from celery.result import AsyncResult

from packages.infra.embedded.endpoints import read_endpoints
from tests.end_to_end.running import Running, running

SUPERVISED = ["beat", "worker_io", "worker_cpu"]
SERVERS = ["embedded valkey", "embedded postgres", "embedded mail"]
TICKS = ["paper_trading.scheduler_tick", "notifications.dispatch_pending", "trade_approval.expire_pending"]
FLOOD = 300


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running(NOTIFICATIONS_LOOP_INTERVAL_SECONDS="2", PAPER_TRADING_LOOP_INTERVAL_SECONDS="2") as service:
        up = service.start("up", "apps.cli.main", "up", "--demo")
        service.wait_for(lambda: _work_goes_on(service, since=0), "first work", "up")
        yield service
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0, service.log("up")[-3000:]


@pytest.mark.chaos
@pytest.mark.parametrize("name", [*SUPERVISED, *SERVERS])
def test_a_killed_process_comes_back(service: Running, name: str) -> None:
    others = {other: service.pid_of(other) for other in [*SUPERVISED, *SERVERS] if other != name}
    killed = service.pid_of(name)
    os.kill(killed, signal.SIGKILL)
    service.wait_for(lambda: _lives_again(service, name, killed), f"new {name}", "up")
    assert {other: service.pid_of(other) for other in others} == others
    log = service.log("up")
    if name in SUPERVISED:
        assert f"{name} was killed by SIGKILL; the others go on" in log
    else:
        assert f"The {name} server (pid {killed}) died and runs again" in log
    now = time.time()
    service.wait_for(lambda: _work_goes_on(service, since=now), f"work after the end of {name}", "up")


@pytest.mark.chaos
@pytest.mark.parametrize("parent", ["worker_io", "embedded postgres"])
def test_a_killed_child_is_replaced_by_its_parent(service: Running, parent: str) -> None:
    pid = service.pid_of(parent)
    child = psutil.Process(pid).children()[-1]
    child.kill()
    now = time.time()
    service.wait_for(lambda: _work_goes_on(service, since=now), f"work after the end of a child of {parent}", "up")
    assert service.pid_of(parent) == pid


@pytest.mark.chaos
@pytest.mark.parametrize("name", ["worker_io", "embedded valkey"])
def test_no_message_is_lost(service: Running, name: str) -> None:
    endpoints = read_endpoints(service.var_dir)
    assert endpoints is not None
    app = Celery("chaos", broker=endpoints.redis_url, backend=endpoints.redis_url, set_as_current=False)
    sent = [
        app.send_task(
            "trade_approval.expire_pending", queue="trade_approval", exchange="minsy", routing_key="trade_approval"
        ).id
        for _ in range(FLOOD)
    ]
    killed = service.pid_of(name)
    os.kill(killed, signal.SIGKILL)
    service.wait_for(lambda: _lives_again(service, name, killed), f"new {name}", "up")
    service.wait_for(lambda: not _missing(app, sent), f"result of each of {FLOOD} tasks", "up")
    app.close()


def _missing(app: Celery, sent: list[str]) -> list[str]:
    return [task_id for task_id in sent if AsyncResult(task_id, app=app).state != "SUCCESS"]


def _lives_again(service: Running, name: str, killed: int) -> bool:
    rows = [row for row in service.status()["processes"] if row["name"] == name]
    return any(row["state"] == "running" and row["pid"] != killed for row in rows)


def _work_goes_on(service: Running, since: float) -> bool:
    jobs = service.jobs()
    return all(
        job in jobs
        and jobs[job]["state"] == "SUCCESS"
        and datetime.fromisoformat(jobs[job]["finished_at"]).timestamp() > since
        for job in TICKS
    )
