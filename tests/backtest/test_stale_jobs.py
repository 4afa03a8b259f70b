"""Failing the silent backtests, with the races against a heartbeat played through on two connections."""

import datetime as dt
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from packages.domain.accounts.models import User
from packages.domain.backtest.models import BacktestJob
from packages.domain.backtest.stale_jobs import fail_stale_backtest_jobs
from packages.domain.paper_trading.models import Strategy

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
STALE_AFTER = timedelta(minutes=15)
LONG_AGO = NOW - timedelta(hours=5)
JUST_NOW = NOW - timedelta(minutes=1)


@pytest.fixture
def other_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool


def _add_job(engine: sa.Engine, values: Mapping[str, Any] | None = None) -> int:
    with Session(engine) as session, session.begin():
        user = session.scalar(sa.select(User)) or User(email="ada@example.com", display_name="Ada")
        strategy = session.scalar(sa.select(Strategy)) or Strategy(name="s", kind="mean_reversion", parameters={})
        session.add_all([user, strategy])
        session.flush()
        defaults = {"status": "running", "heartbeat_at": LONG_AGO, "started_at": LONG_AGO, "created_at": LONG_AGO}
        job = BacktestJob(user_id=user.id, strategy_id=strategy.id, symbol="^GSPC", **(defaults | dict(values or {})))
        session.add(job)
        session.flush()
        return job.id


def _sweep(engine: sa.Engine) -> list[int]:
    with Session(engine) as session, session.begin():
        return fail_stale_backtest_jobs(session, now=NOW, stale_after=STALE_AFTER)


def _heartbeat(job_id: int) -> sa.Update:
    """What a running job does to report in."""
    return (
        sa.update(BacktestJob).where(BacktestJob.id == job_id, BacktestJob.status == "running").values(heartbeat_at=NOW)
    )


def _job(engine: sa.Engine, job_id: int) -> BacktestJob:
    with Session(engine) as session:
        return session.get_one(BacktestJob, job_id)


def _wait_until_blocked(engine: sa.Engine, running: Future[Any]) -> None:
    """Return when a statement in this database waits for another's lock."""
    blocked = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.scalar(blocked):
            assert not running.done(), running.result()
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("values", "is_failed"),
    [
        ({}, True),
        ({"heartbeat_at": NOW - STALE_AFTER}, False),  # exactly at the end of the period: not yet silent
        ({"heartbeat_at": NOW - STALE_AFTER - timedelta(microseconds=1)}, True),
        ({"heartbeat_at": JUST_NOW}, False),
        ({"heartbeat_at": None}, True),
        ({"heartbeat_at": None, "started_at": JUST_NOW}, False),
        ({"heartbeat_at": None, "started_at": None}, True),
        ({"heartbeat_at": None, "started_at": None, "created_at": JUST_NOW}, False),
        ({"status": "queued"}, False),
        ({"status": "succeeded"}, False),
        ({"status": "failed"}, False),
    ],
)
def test_only_a_running_job_without_a_recent_sign_of_life_fails(
    engine: sa.Engine, values: dict[str, Any], *, is_failed: bool
) -> None:
    job_id = _add_job(engine, values)
    before = _job(engine, job_id)

    assert _sweep(engine) == ([job_id] if is_failed else [])

    after = _job(engine, job_id)
    if is_failed:
        assert (after.status, after.finished_at) == ("failed", NOW)
        assert after.error == "No heartbeat for more than 15 min."
    else:
        assert (after.status, after.finished_at, after.error) == (before.status, None, None)


def test_one_sweep_takes_all_and_a_second_finds_none(engine: sa.Engine) -> None:
    ids = [_add_job(engine) for _ in range(5)]
    assert _sweep(engine) == ids
    assert _sweep(engine) == []


def test_a_period_that_is_not_positive_is_refused(engine: sa.Engine) -> None:
    with Session(engine) as session, pytest.raises(ValueError, match="must be"):
        fail_stale_backtest_jobs(session, now=NOW, stale_after=timedelta(0))


def test_a_job_that_reports_in_first_is_not_failed(engine: sa.Engine, other_thread: ThreadPoolExecutor) -> None:
    job_id, silent_id = _add_job(engine), _add_job(engine)
    with Session(engine) as job_session:
        assert job_session.execute(_heartbeat(job_id)).rowcount == 1  # type: ignore[attr-defined]  # an UPDATE's result
        sweep = other_thread.submit(_sweep, engine)
        _wait_until_blocked(engine, sweep)
        job_session.commit()

    assert sweep.result() == [silent_id]
    assert (_job(engine, job_id).status, _job(engine, job_id).heartbeat_at) == ("running", NOW)


def test_a_job_that_reports_in_too_late_learns_that_it_has_failed(
    engine: sa.Engine, other_thread: ThreadPoolExecutor
) -> None:
    job_id = _add_job(engine)

    def report_in() -> int:
        with Session(engine) as session, session.begin():
            return int(session.execute(_heartbeat(job_id)).rowcount)  # type: ignore[attr-defined]  # an UPDATE's result

    with Session(engine) as session:
        assert fail_stale_backtest_jobs(session, now=NOW, stale_after=STALE_AFTER) == [job_id]
        report = other_thread.submit(report_in)
        _wait_until_blocked(engine, report)
        session.commit()

    assert report.result() == 0
    assert (_job(engine, job_id).status, _job(engine, job_id).heartbeat_at) == ("failed", LONG_AGO)


def test_two_sweeps_at_once_fail_each_job_once(engine: sa.Engine, other_thread: ThreadPoolExecutor) -> None:
    ids = [_add_job(engine) for _ in range(3)]
    with Session(engine) as session:
        assert fail_stale_backtest_jobs(session, now=NOW, stale_after=STALE_AFTER) == ids
        second = other_thread.submit(_sweep, engine)
        _wait_until_blocked(engine, second)
        session.commit()
    assert second.result() == []


def test_a_rolled_back_sweep_leaves_the_jobs_to_the_one_that_waited(
    engine: sa.Engine, other_thread: ThreadPoolExecutor
) -> None:
    job_id = _add_job(engine)
    with Session(engine) as session:
        fail_stale_backtest_jobs(session, now=NOW, stale_after=STALE_AFTER)
        second = other_thread.submit(_sweep, engine)
        _wait_until_blocked(engine, second)
        session.rollback()
    assert second.result() == [job_id]


def test_many_sweeps_and_heartbeats_at_once_end_in_a_consistent_state(engine: sa.Engine) -> None:
    ids = [_add_job(engine) for _ in range(20)]
    together = threading.Barrier(4)

    def sweep() -> set[int]:
        together.wait()
        return set(_sweep(engine))

    def report_in(mine: list[int]) -> set[int]:
        together.wait()
        alive = set()
        for job_id in mine:
            with Session(engine) as session, session.begin():
                if session.execute(_heartbeat(job_id)).rowcount:  # type: ignore[attr-defined]  # an UPDATE's result
                    alive.add(job_id)
        return alive

    with ThreadPoolExecutor(max_workers=4) as pool:
        sweeps = [pool.submit(sweep), pool.submit(sweep)]
        reports = [pool.submit(report_in, ids[:10]), pool.submit(report_in, ids[10:][::-1])]
    first, second = (future.result() for future in sweeps)
    alive = set.union(*(future.result() for future in reports))

    assert not first & second
    assert first | second | alive == set(ids)
    assert not (first | second) & alive
    assert {job_id for job_id in ids if _job(engine, job_id).status == "running"} == alive
