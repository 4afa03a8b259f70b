"""Runs one backtest job from start to end, and reports in while it runs. Never revives or retries a job.

    queued --claim--> running --result--> succeeded
                         |---exception--> failed (by this run)
                         '---no heartbeat for long--> failed (as stale, by the cleanup)

Every write is one guarded update in a transaction of its own: the job must be `running` and carry this run's
`started_at`. When the guard fails the job has been taken away (`BacktestLostError`), and this run writes nothing
more. A run that is killed leaves a running job without a heartbeat, which the cleanup of stale jobs fails.
"""

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from packages.domain.backtest.errors import BacktestLostError, BacktestNotQueuedError
from packages.domain.backtest.models import BacktestJob
from packages.domain.backtest.simulation import Performance, PerformanceTally, simulate
from packages.domain.market_data.bars import BarValue, stored_bars
from packages.domain.paper_trading.decision import plain_bar
from packages.domain.paper_trading.models import Strategy
from packages.domain.paper_trading.strategies.base import TradingStrategy
from packages.domain.paper_trading.strategies.registry import make_strategy

logger = logging.getLogger(__name__)

LONGEST_ERROR_CHARACTERS = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class BacktestResult:
    """A finished job and what was stored as its result."""

    job_id: int
    performance: Performance


@dataclass(frozen=True, slots=True)
class _Claim:
    """The proof that a job is this run's: nobody else started it at this instant."""

    job_id: int
    started_at: dt.datetime


def run_backtest(  # noqa: PLR0913 - the job, the clock and the terms, all by name
    session_factory: sessionmaker[Session],
    *,
    job_id: int,
    now: Callable[[], dt.datetime],
    heartbeat_every: dt.timedelta,
    initial_cash: Decimal,
    fee_rate: Decimal,
) -> BacktestResult:
    """Run the queued job `job_id` over all stored bars of its symbol and store the result.

    The heartbeat is renewed between two bars once `heartbeat_every` has passed by `now`, the clock. Choose it well
    below the period after which a job counts as stale.

    Raises:
        BacktestNotQueuedError: there is no such job, or it has been started before.
        BacktestLostError: the job was failed or started anew by another meanwhile.
        Exception: whatever made the run fail, after it was stored as the job's error.
    """
    if heartbeat_every <= dt.timedelta(0):
        raise ValueError(f"heartbeat_every must be above 0: {heartbeat_every}")
    claim = _claim(session_factory, job_id, now())
    logger.info("backtest.started", extra={"backtest": job_id})
    try:
        strategy, bars = _load(session_factory, job_id)
        tally = PerformanceTally(initial_cash=initial_cash)
        reported_at = claim.started_at
        for step in simulate(strategy, bars=bars, initial_cash=initial_cash, fee_rate=fee_rate):
            tally.add(step)
            instant = now()
            if instant - reported_at >= heartbeat_every:
                _write(session_factory, claim, heartbeat_at=instant)
                reported_at = instant
        performance = tally.performance()
        instant = now()
        _write(
            session_factory,
            claim,
            status="succeeded",
            heartbeat_at=instant,
            finished_at=instant,
            result=_as_json(performance),
        )
    except BacktestLostError:
        logger.warning("backtest.lost", extra={"backtest": job_id})
        raise
    except Exception as error:
        _store_failure(session_factory, claim, error, now())
        raise
    logger.info("backtest.succeeded", extra={"backtest": job_id, "bars": performance.bars})
    return BacktestResult(job_id=job_id, performance=performance)


def _claim(session_factory: sessionmaker[Session], job_id: int, instant: dt.datetime) -> _Claim:
    with session_factory.begin() as session:
        claimed = session.scalar(
            update(BacktestJob)
            .where(BacktestJob.id == job_id, BacktestJob.status == "queued")
            .values(status="running", started_at=instant, heartbeat_at=instant)
            .returning(BacktestJob.id)
        )
        if claimed is None:
            status = session.scalar(select(BacktestJob.status).where(BacktestJob.id == job_id))
            raise BacktestNotQueuedError(job_id=job_id, status=status)
    return _Claim(job_id, instant)


def _load(session_factory: sessionmaker[Session], job_id: int) -> tuple[TradingStrategy, list[BarValue]]:
    with session_factory.begin() as session:
        job = session.get_one(BacktestJob, job_id)
        stored = session.get_one(Strategy, job.strategy_id)
        strategy = make_strategy(stored.kind, stored.parameters)
        rows = stored_bars(session, symbol=job.symbol, timeframe=job.timeframe)
        return strategy, [plain_bar(row) for row in rows]


def _write(session_factory: sessionmaker[Session], claim: _Claim, **columns: Any) -> None:  # noqa: ANN401 - column values
    with session_factory.begin() as session:
        written = session.scalar(
            update(BacktestJob)
            .where(
                BacktestJob.id == claim.job_id,
                BacktestJob.status == "running",
                BacktestJob.started_at == claim.started_at,
            )
            .values(**columns)
            .returning(BacktestJob.id)
        )
    if written is None:
        raise BacktestLostError(job_id=claim.job_id)


def _store_failure(
    session_factory: sessionmaker[Session], claim: _Claim, error: Exception, instant: dt.datetime
) -> None:
    """Best effort: the run's own error matters more, and a job left running is found by the cleanup."""
    logger.error("backtest.failed", extra={"backtest": claim.job_id, "error": type(error).__name__})
    text = f"{type(error).__name__}: {error}"[:LONGEST_ERROR_CHARACTERS]
    try:
        _write(session_factory, claim, status="failed", finished_at=instant, error=text)
    except Exception:
        logger.exception("backtest.failure_not_stored", extra={"backtest": claim.job_id})


def _as_json(performance: Performance) -> dict[str, Any]:
    """Amounts and ratios as decimal texts, since JSON's numbers lose digits; no trailing zeros."""
    return {
        name: f"{value.normalize():f}" if isinstance(value, Decimal) else value
        for name, value in asdict(performance).items()
    }
