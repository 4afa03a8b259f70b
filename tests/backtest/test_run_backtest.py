"""A backtest job from queued to its end: result, failure, heartbeat, and being taken away."""

import datetime as dt
import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from packages.domain.backtest.claim import Claim, NotClaimed, claim_backtest
from packages.domain.backtest.errors import BacktestLostError, UnknownBacktestError
from packages.domain.backtest.models import BacktestJob
from packages.domain.backtest.run import BARS_AT_ONCE, BacktestResult, run_backtest
from packages.domain.market_data.bars import BarValue
from packages.domain.market_data.models import Bar
from packages.domain.paper_trading.errors import BadParameterError, UnusablePriceError
from tests.paper_trading.trading_world import FEE_RATE, NOW, add_strategy, add_user, store_closes

SECOND = dt.timedelta(seconds=1)


class SteppingClock:
    """Each reading is a second after the one before; `at_reading` acts when that many have been taken."""

    def __init__(self, at_reading: int = 0, act: Callable[[], None] | None = None) -> None:
        self.readings = 0
        self._at_reading = at_reading
        self._act = act

    def __call__(self) -> dt.datetime:
        self.readings += 1
        if self._act is not None and self.readings == self._at_reading:
            self._act()
        return NOW + self.readings * SECOND


def add_job(engine: sa.Engine, closes: list[int], *, parameters: object = None, **columns: Any) -> int:  # noqa: ANN401 - columns of any type
    with Session(engine) as session, session.begin():
        store_closes(session, closes)
        job = BacktestJob(
            user_id=add_user(session),
            strategy_id=add_strategy(session, parameters=parameters),
            symbol="ABC",
            **columns,
        )
        session.add(job)
        session.flush()
        return job.id


def claim(
    engine: sa.Engine,
    job_id: int,
    *,
    now: dt.datetime = NOW + SECOND,
    heartbeat_every: dt.timedelta = SECOND,
) -> Claim | NotClaimed:
    return claim_backtest(sessionmaker(engine), job_id=job_id, now=now, heartbeat_every=heartbeat_every)


def run(
    engine: sa.Engine,
    job_id: int,
    *,
    clock: Callable[[], dt.datetime] | None = None,
    heartbeat_every: dt.timedelta = SECOND,
) -> BacktestResult:
    clock = clock or SteppingClock()
    claimed = claim(engine, job_id, now=clock(), heartbeat_every=heartbeat_every)
    assert isinstance(claimed, Claim)
    return run_backtest(
        sessionmaker(engine),
        claim=claimed,
        now=clock,
        initial_cash=Decimal(1000),
        fee_rate=FEE_RATE,
    )


def job_of(engine: sa.Engine, job_id: int) -> BacktestJob:
    with Session(engine) as session:
        return session.get_one(BacktestJob, job_id)


def change_job(engine: sa.Engine, **columns: object) -> Callable[[], None]:
    def change() -> None:
        with Session(engine) as session, session.begin():
            session.execute(sa.update(BacktestJob).values(**columns))

    return change


def test_a_queued_job_runs_to_its_result(engine: sa.Engine) -> None:
    job_id = add_job(engine, [8, 10, 5, 5])
    result = run(engine, job_id)
    job = job_of(engine, job_id)
    assert (job.status, job.error) == ("succeeded", None)
    assert (job.started_at, job.finished_at) == (NOW + SECOND, NOW + 6 * SECOND)
    # Bought 50 at 10, sold at 5: 500 back as 250, fees 0.5 and 0.25.
    assert job.result == {
        "bars": 4,
        "trades": 2,
        "initial_cash": "1000",
        "final_equity": "749.25",
        "total_fees": "0.75",
        "total_return": "-0.25075",
        "max_drawdown": "0.25075",
    }
    assert result.job_id == job_id
    assert result.performance.final_equity == Decimal("749.25")


def test_the_drawdown_is_measured_from_the_highest_equity(engine: sa.Engine) -> None:
    parameters = {"fast_bars": 1, "slow_bars": 2, "position_fraction": 1}
    job_id = add_job(engine, [5, 10, 20, 30, 15], parameters=parameters)
    performance = run(engine, job_id).performance
    assert Decimal("0.49") < performance.max_drawdown < Decimal("0.51")
    assert performance.total_return > Decimal("0.49")


def test_no_bars_are_a_result_too(engine: sa.Engine) -> None:
    job_id = add_job(engine, [])
    performance = run(engine, job_id).performance
    assert (performance.bars, performance.trades, performance.total_return) == (0, 0, Decimal(0))


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_a_job_that_has_ended_is_not_started_again(engine: sa.Engine, status: str) -> None:
    job_id = add_job(engine, [8, 10], status=status)
    assert claim(engine, job_id) == NotClaimed(job_id=job_id, status=status, silent_after=4 * SECOND)
    assert job_of(engine, job_id).started_at is None


def test_a_job_that_is_not_there_cannot_be_started(engine: sa.Engine) -> None:
    with pytest.raises(UnknownBacktestError, match="backtest job 7 is not there"):
        claim(engine, 7)


@pytest.mark.parametrize(
    ("silent_for", "is_taken_over"), [(4 * SECOND, True), (4 * SECOND - dt.timedelta(microseconds=1), False)]
)
def test_a_running_job_is_taken_over_when_it_was_silent_for_four_periods(
    engine: sa.Engine, silent_for: dt.timedelta, *, is_taken_over: bool
) -> None:
    job_id = add_job(engine, [8, 10], status="running", started_at=NOW - 60 * SECOND, heartbeat_at=NOW)
    now = NOW + silent_for
    claimed = claim(engine, job_id, now=now)
    job = job_of(engine, job_id)
    if is_taken_over:
        assert claimed == Claim(job_id=job_id, started_at=now, heartbeat_every=SECOND)
        assert (job.status, job.started_at, job.heartbeat_at) == ("running", now, now)
    else:
        assert claimed == NotClaimed(job_id=job_id, status="running", silent_after=4 * SECOND)
        assert (job.started_at, job.heartbeat_at) == (NOW - 60 * SECOND, NOW)


def test_a_job_is_claimed_by_one_of_many_at_once(engine: sa.Engine) -> None:
    together = threading.Barrier(4)
    job_id = add_job(engine, [8, 10], status="running", started_at=NOW, heartbeat_at=NOW)

    def take(number: int) -> Claim | NotClaimed:
        together.wait(timeout=30)
        return claim(engine, job_id, now=NOW + 60 * SECOND + number * dt.timedelta(microseconds=1))

    with ThreadPoolExecutor(4) as pool:
        answers = [answer.result(timeout=60) for answer in [pool.submit(take, number) for number in range(4)]]
    (won,) = [answer for answer in answers if isinstance(answer, Claim)]
    assert job_of(engine, job_id).started_at == won.started_at


def test_the_heartbeat_is_renewed_while_it_runs(engine: sa.Engine) -> None:
    seen: list[dt.datetime | None] = []
    job_id = add_job(engine, list(range(1, 11)))

    def look() -> None:
        seen.append(job_of(engine, job_id).heartbeat_at)

    # Readings: 1 claims, 2 to 11 follow the bars. At a period of 4 s the 5th and the 9th reading report in.
    run(engine, job_id, clock=SteppingClock(9, look), heartbeat_every=4 * SECOND)
    assert seen == [NOW + 5 * SECOND]
    assert job_of(engine, job_id).heartbeat_at == NOW + 12 * SECOND


def test_a_job_that_was_failed_as_stale_is_left_alone(engine: sa.Engine) -> None:
    job_id = add_job(engine, list(range(1, 11)))
    clock = SteppingClock(5, change_job(engine, status="failed", error="stale"))
    with pytest.raises(BacktestLostError, match=f"backtest job {job_id} is no longer this run's"):
        run(engine, job_id, clock=clock)
    # Stopped at the next heartbeat, not after the last bar.
    assert clock.readings == 5
    job = job_of(engine, job_id)
    assert (job.status, job.error, job.result) == ("failed", "stale", None)


def test_a_job_that_was_taken_away_just_before_the_result_keeps_no_result(engine: sa.Engine) -> None:
    job_id = add_job(engine, [8, 10])
    clock = SteppingClock(4, change_job(engine, status="failed", error="stale"))
    with pytest.raises(BacktestLostError):
        run(engine, job_id, clock=clock, heartbeat_every=dt.timedelta(hours=1))
    assert clock.readings == 4
    assert job_of(engine, job_id).result is None


def test_a_job_that_another_run_has_started_anew_is_that_runs(engine: sa.Engine) -> None:
    job_id = add_job(engine, list(range(1, 11)))
    started_anew = NOW + dt.timedelta(hours=1)
    clock = SteppingClock(5, change_job(engine, status="running", started_at=started_anew, heartbeat_at=started_anew))
    with pytest.raises(BacktestLostError):
        run(engine, job_id, clock=clock)
    job = job_of(engine, job_id)
    assert (job.status, job.heartbeat_at, job.result) == ("running", started_anew, None)


def test_bad_parameters_fail_the_job_with_their_message(engine: sa.Engine) -> None:
    job_id = add_job(engine, [8, 10], parameters={"fast_bars": 0})
    with pytest.raises(BadParameterError):
        run(engine, job_id)
    job = job_of(engine, job_id)
    assert (job.status, job.result, job.finished_at) == ("failed", None, NOW + 2 * SECOND)
    assert job.error is not None
    assert job.error.startswith(
        "BadParameterError: strategy moving_average_cross: parameter 'fast_bars' is 0; allowed:"
    )


def test_an_error_on_the_way_fails_the_job(engine: sa.Engine) -> None:
    job_id = add_job(engine, [-40, -37])
    with pytest.raises(UnusablePriceError):
        run(engine, job_id)
    job = job_of(engine, job_id)
    assert (job.status, job.result) == ("failed", None)
    assert job.error == "UnusablePriceError: a price of -37.00000000 cannot be traded at; allowed: above 0"


def test_an_error_in_a_job_that_was_taken_away_is_still_the_one_raised(engine: sa.Engine) -> None:
    job_id = add_job(engine, [-40, -37])
    # The 3rd reading is taken to store the failure.
    clock = SteppingClock(3, change_job(engine, status="failed", error="stale"))
    with pytest.raises(UnusablePriceError):
        run(engine, job_id, clock=clock)
    assert job_of(engine, job_id).error == "stale"


def test_terms_out_of_range_leave_the_job_queued(engine: sa.Engine) -> None:
    job_id = add_job(engine, [8, 10])
    with pytest.raises(ValueError, match="heartbeat_every must be above 0"):
        run(engine, job_id, heartbeat_every=dt.timedelta(0))
    assert job_of(engine, job_id).status == "queued"


def test_a_database_error_on_the_way_is_stored_and_raised_as_it_is(engine: sa.Engine) -> None:
    job_id = add_job(engine, [8, 10])
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE market_data_bars RENAME TO elsewhere"))
    with pytest.raises(sa.exc.ProgrammingError):
        run(engine, job_id)
    job = job_of(engine, job_id)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.startswith("ProgrammingError: ")


def bars_in_memory() -> int:
    return sum(isinstance(each, Bar | BarValue) for each in gc.get_objects())


def test_memory_does_not_grow_with_the_number_of_bars(engine: sa.Engine) -> None:
    count = 5 * BARS_AT_ONCE + 1
    job_id = add_job(engine, [10 + index % 7 for index in range(count)])
    before, seen = bars_in_memory(), []
    clock = SteppingClock(4 * BARS_AT_ONCE, lambda: seen.append(bars_in_memory()))
    assert run(engine, job_id, clock=clock, heartbeat_every=dt.timedelta(hours=9)).performance.bars == count
    # A chunk, the window of two bars, and the bar at hand.
    assert len(seen) == 1
    assert seen[0] - before <= BARS_AT_ONCE + 3


def test_bars_stored_while_it_runs_do_not_count(engine: sa.Engine) -> None:
    job_id = add_job(engine, list(range(1, 2 * BARS_AT_ONCE)))

    def store_more() -> None:
        with Session(engine) as session, session.begin():
            store_closes(session, [1, 2, 3], first=2 * BARS_AT_ONCE)

    clock = SteppingClock(5, store_more)
    performance = run(engine, job_id, clock=clock, heartbeat_every=dt.timedelta(hours=9)).performance
    assert performance.bars == 2 * BARS_AT_ONCE - 1
