"""What the thin tasks add to the jobs: retries, and what ends without one. Each runs in a process of its own."""

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.backtest.models import BacktestJob
from packages.domain.maintenance.output_files import try_lock
from packages.domain.market_data.models import Subscription
from packages.domain.notifications.models import Notification
from packages.domain.notifications.outbox import enqueue
from packages.shared_settings.layers import ROOT
from tests.paper_trading.trading_world import add_strategy, add_user, store_closes

# Calls a task as a worker does, with so many retries behind it, and prints what comes of it.
RUN = """\
import json, sys
from packages.infra.queue.celery_app import celery_app
from celery.exceptions import Retry
celery_app.loader.import_default_modules()
name, arguments, retries = json.loads(sys.argv[1])
task = celery_app.tasks[name]
task.push_request(id="a-run", args=arguments, kwargs={}, retries=retries, called_directly=False, is_eager=False)
try:
    outcome = {"result": task.run(*arguments)}
except Retry as again:
    outcome = {"retry_in_s": again.when}
except Exception as error:
    outcome = {"error": type(error).__name__}
print(json.dumps(outcome))
"""
RunTask = Callable[..., dict[str, Any]]


@pytest.fixture
def var_dir(tmp_path: Path) -> Path:
    return tmp_path / "var"


@pytest.fixture
def run_task(engine: sa.Engine, redis_url: str, tmp_path: Path, var_dir: Path) -> RunTask:
    def run(name: str, *arguments: object, retries: int = 0, **variables: str) -> dict[str, Any]:
        kept = {variable: value for variable, value in os.environ.items() if variable in {"PATH", "HOME", "LANG"}}
        environment = {
            **kept,
            "MINSY_ENV_DIR": str(tmp_path),
            "MINSY_VAR_DIR": str(var_dir),
            "REDIS_URL": redis_url,
            "DATABASE_URL": engine.url.render_as_string(hide_password=False),
            **variables,
        }
        done = subprocess.run(
            [sys.executable, "-c", RUN, json.dumps([name, arguments, retries])],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return outcome

    return run


def add_backtest(engine: sa.Engine, **columns: Any) -> int:  # noqa: ANN401 - columns of any type
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10, 5, 5])
        job = BacktestJob(user_id=add_user(session), strategy_id=add_strategy(session), symbol="ABC", **columns)
        session.add(job)
        session.flush()
        return job.id


def test_a_backup_waits_for_another_one_and_tells_at_last(run_task: RunTask, var_dir: Path) -> None:
    backups = var_dir / "backups"
    backups.mkdir(mode=0o700, parents=True)
    with try_lock(backups / ".postgres-backup.lock") as lock:
        assert lock is not None
        waits = [run_task("maintenance.backup_postgres_full", retries=retries)["retry_in_s"] for retries in (0, 2)]
        assert 60 <= waits[0] <= 90
        assert 240 <= waits[1] <= 360
        last = run_task("maintenance.backup_postgres_full", retries=3)
    assert last == {"error": "BackupAlreadyRunningError"}
    assert run_task("maintenance.backup_postgres_full", retries=1)["result"]["bytes"] > 0


def test_a_backtest_that_reports_in_elsewhere_is_waited_for_and_then_left_to_it(
    run_task: RunTask, engine: sa.Engine
) -> None:
    seen = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    job_id = add_backtest(engine, status="running", started_at=seen, heartbeat_at=seen)
    assert 60 <= run_task("backtest.run", job_id)["retry_in_s"] <= 90
    assert run_task("backtest.run", job_id, retries=3) == {"result": {"job_id": job_id, "outcome": "running elsewhere"}}


def test_a_backtest_whose_worker_was_lost_is_taken_over(run_task: RunTask, engine: sa.Engine) -> None:
    seen = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=2)
    job_id = add_backtest(engine, status="running", started_at=seen, heartbeat_at=seen)
    done = run_task("backtest.run", job_id, retries=1)["result"]
    assert (done["outcome"], done["bars"]) == ("succeeded", "4")
    assert run_task("backtest.run", job_id) == {"result": {"job_id": job_id, "outcome": "succeeded already"}}


def test_a_backtest_is_tried_again_only_before_its_claim(run_task: RunTask, engine: sa.Engine) -> None:
    nowhere = "postgresql://minsy:secret@127.0.0.1:1/minsy"
    assert run_task("backtest.run", 1, DATABASE_URL=nowhere)["retry_in_s"] >= 2
    assert run_task("backtest.run", 1, retries=3, DATABASE_URL=nowhere) == {"error": "OperationalError"}
    job_id = add_backtest(engine)
    with engine.begin() as blocking:
        blocking.execute(sa.text("LOCK TABLE market_data_bars"))
        # The run gives up on the locked table with an OperationalError, as on a database that goes away.
        impatient = engine.url.update_query_dict({"options": "-c lock_timeout=100ms"})
        done = run_task("backtest.run", job_id, DATABASE_URL=impatient.render_as_string(hide_password=False))
    assert done == {"error": "OperationalError"}
    with Session(engine) as session:
        job = session.get_one(BacktestJob, job_id)
        assert job.status == "failed"
        assert job.error is not None
        assert "lock timeout" in job.error


def test_a_refusal_of_the_provider_is_not_tried_again(run_task: RunTask, engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        session.add(Subscription(symbol="NEVER-RECORDED", exchange="XNYS"))
    assert run_task("market_data.refresh_active_subscriptions") == {"error": "RefreshFailedError"}


def test_mail_waits_while_the_sink_is_down(run_task: RunTask, engine: sa.Engine) -> None:
    now = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    with Session(engine) as session, session.begin():
        enqueue(
            session,
            idempotency_key="k",
            channel="email",
            recipient="ann@example.com",
            subject="s",
            body="b",
            now=now,
        )
    done = run_task("notifications.dispatch_pending", NOTIFICATION_SMTP_SINK_ENABLED="true")
    assert done == {"result": {"sent": 0, "retried": 1, "dead": 0, "overtaken": 0}}
    with Session(engine) as session:
        row = session.scalars(sa.select(Notification)).one()
        assert (row.status, row.last_error) == ("pending", "channel 'email' is not configured; there are: none")
