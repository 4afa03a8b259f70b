"""`minsy backtest` with a real broker, a real database and a real worker."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.infra.db import migrate
from packages.shared_settings.layers import ROOT
from tests.paper_trading.trading_world import add_strategy, add_user, store_closes

Minsy = Callable[..., "subprocess.CompletedProcess[str]"]
ASKED = ("start", "--strategy", "strategy 0", "--symbol", "ABC", "--by", "ada@example.com")


@pytest.fixture
def environ(database_url: str, redis_url: str, tmp_path: Path) -> Mapping[str, str]:
    migrate.upgrade(database_url)
    engine = sa.create_engine(database_url)
    with Session(engine) as session, session.begin():
        store_closes(session, [8, 10, 5, 5])
        add_user(session)
        add_strategy(session)
    engine.dispose()
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return {
        **kept,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "MINSY_ENV_DIR": str(tmp_path),
        "MINSY_VAR_DIR": str(tmp_path / "var"),
        # What a shell may still have from work by hand.
        "MINSY_CELERY_PROFILE": "beat",
    }


@pytest.fixture
def minsy(environ: Mapping[str, str]) -> Minsy:
    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "apps.cli.main", "backtest", *arguments],
            env={**environ, **variables},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def worker_cpu(environ: Mapping[str, str], tmp_path: Path) -> Iterator[None]:
    with (tmp_path / "worker.log").open("wb") as log:
        command = ["celery", "-A", "apps.worker_cpu.celery_app", "worker", "-l", "info", "-n", "cpu-of-a-test@%h"]
        process = subprocess.Popen(
            [sys.executable, "-m", *command], env=environ, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
        )
    yield
    process.terminate()
    process.wait(60)


def test_a_backtest_waits_in_its_queue_for_a_worker(minsy: Minsy, redis_url: str) -> None:
    assert minsy("list").stdout == "No backtest was ever asked for.\n"
    done = minsy(*ASKED)
    assert (done.returncode, done.stdout) == (0, "backtest 1 of strategy 0 on ABC (1d) is queued\n")
    with redis.Redis.from_url(redis_url) as client:
        [message] = client.lrange("backtest", 0, -1)
    assert json.loads(message)["headers"]["task"] == "backtest.run"

    unserved = minsy(*ASKED, "--wait")
    assert (unserved.returncode, unserved.stdout) == (3, "")
    assert "No worker serves the queue backtest. Backtest 2 stays in it" in unserved.stderr
    assert [job["status"] for job in json.loads(minsy("list", "--json").stdout)] == ["queued", "queued"]


@pytest.mark.end_to_end
@pytest.mark.usefixtures("worker_cpu")
def test_waiting_prints_the_result(minsy: Minsy, environ: Mapping[str, str]) -> None:
    # The first may come before the worker is ready; it is served when it is.
    minsy(*ASKED)
    for _ in range(10):
        done = minsy(*ASKED, "--wait", "--json")
        if done.returncode != 3:
            break
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert (job["status"], job["result"]["bars"], job["result"]["trades"]) == ("succeeded", 4, 2)

    engine = sa.create_engine(environ["DATABASE_URL"])
    with engine.begin() as connection:
        # A rise from -10 to -5 would be bought.
        connection.execute(
            sa.text("UPDATE market_data_bars SET open = -open, high = -low, low = -high, close = -close")
        )
    engine.dispose()
    failed = minsy(*ASKED, "--wait")
    assert failed.returncode == 1
    assert "is failed" in failed.stdout
    assert "UnusablePriceError" in failed.stdout


def test_a_backtest_that_cannot_be_sent_is_failed_and_said(minsy: Minsy) -> None:
    done = minsy(*ASKED, REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: backtest 1 could not be sent, it is marked as failed: ")
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr
    [job] = json.loads(minsy("list", "--json").stdout)
    assert job["status"] == "failed"
    assert job["error"].startswith("not sent: ")


def test_what_cannot_be_asked_for_is_one_line(minsy: Minsy) -> None:
    for arguments, said in (
        (("--strategy", "other"), "there is no strategy 'other'; there are: strategy 0"),
        (("--symbol", "XYZ"), "no 1d bar of 'XYZ' is stored"),
        (("--timeframe", "1h"), "no 1h bar of 'ABC' is stored"),
        (("--by", "nobody@example.com"), "there is no user nobody@example.com"),
    ):
        # A later option wins.
        done = minsy(*ASKED, *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
    assert minsy(*ASKED, "--timeframe", "5m").returncode == 2
    assert json.loads(minsy("list", "--json").stdout) == []
