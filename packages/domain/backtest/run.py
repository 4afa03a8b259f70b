"""Runs one claimed backtest job to its end, and reports in while it runs. Never claims and never retries a job.

    running --result--> succeeded
       |------exception--> failed (by this run)
       |------no heartbeat for long--> failed (as stale, by the cleanup)
       '------no heartbeat for a while--> taken over, when the run's message comes again (see `claim`)

Every write is guarded by the claim, in a transaction of its own. When the guard fails the job has been taken away
(`BacktestLostError`), and this run writes nothing more.

The bars are read in chunks, so memory does not grow with their number. A bar that is stored behind the one that was
the newest at the start does not count.
"""

import datetime as dt
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from packages.domain.backtest.claim import Claim, write_claimed
from packages.domain.backtest.errors import BacktestLostError
from packages.domain.backtest.models import BacktestJob
from packages.domain.backtest.simulation import Performance, PerformanceTally, simulate
from packages.domain.market_data.bars import BarValue, bar_values, last_opened_at
from packages.domain.paper_trading.models import Strategy
from packages.domain.paper_trading.strategies.base import TradingStrategy
from packages.domain.paper_trading.strategies.registry import make_strategy

log = logging.getLogger(__name__)

BARS_AT_ONCE = 1000
LONGEST_ERROR_CHARACTERS = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class BacktestResult:
    """A finished job and what was stored as its result."""

    job_id: int
    performance: Performance


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """What a job asks for. `until` is the opening of the newest bar at the start; None when there is no bar."""

    strategy: TradingStrategy
    symbol: str
    timeframe: str
    until: dt.datetime | None


def run_backtest(
    session_factory: sessionmaker[Session],
    *,
    claim: Claim,
    now: Callable[[], dt.datetime],
    initial_cash: Decimal,
    fee_rate: Decimal,
) -> BacktestResult:
    """Run the claimed job over all stored bars of its symbol and store the result.

    The heartbeat is renewed between two bars once the claim's `heartbeat_every` has passed by `now`, the clock.

    Raises:
        BacktestLostError: the job was failed or taken over by another meanwhile.
        Exception: whatever made the run fail, after it was stored as the job's error. Trying again is in vain: the
            job has failed, or, when the database is away, cannot be written at all.
    """
    job_id = claim.job_id
    log.info("backtest_started", extra={"backtest_id": job_id})
    try:
        work = _load(session_factory, job_id)
        tally = PerformanceTally(initial_cash=initial_cash)
        reported_at = claim.started_at
        bars = _bars(session_factory, work)
        for step in simulate(work.strategy, bars=bars, initial_cash=initial_cash, fee_rate=fee_rate):
            tally.add(step)
            instant = now()
            if instant - reported_at >= claim.heartbeat_every:
                write_claimed(session_factory, claim, heartbeat_at=instant)
                reported_at = instant
        performance = tally.performance()
        instant = now()
        write_claimed(
            session_factory,
            claim,
            status="succeeded",
            heartbeat_at=instant,
            finished_at=instant,
            result=_as_json(performance),
        )
    except BacktestLostError:
        log.warning("backtest_lost", extra={"backtest_id": job_id})
        raise
    except Exception as error:
        _store_failure(session_factory, claim, error, now())
        raise
    log.info("backtest_succeeded", extra={"backtest_id": job_id, "bars": performance.bars})
    return BacktestResult(job_id=job_id, performance=performance)


def _load(session_factory: sessionmaker[Session], job_id: int) -> _Work:
    with session_factory.begin() as session:
        job = session.get_one(BacktestJob, job_id)
        stored = session.get_one(Strategy, job.strategy_id)
        return _Work(
            strategy=make_strategy(stored.kind, stored.parameters),
            symbol=job.symbol,
            timeframe=job.timeframe,
            until=last_opened_at(session, symbol=job.symbol, timeframe=job.timeframe),
        )


def _bars(session_factory: sessionmaker[Session], work: _Work) -> Iterator[BarValue]:
    """The bars, oldest first. No transaction is open between two chunks, so a long run holds none open."""
    after: dt.datetime | None = None
    while work.until is not None and (after is None or after < work.until):
        with session_factory.begin() as session:
            chunk = bar_values(
                session,
                symbol=work.symbol,
                timeframe=work.timeframe,
                after=after,
                until=work.until,
                limit=BARS_AT_ONCE,
            )
        if not chunk:
            return
        yield from chunk
        after = chunk[-1].opened_at


def _store_failure(
    session_factory: sessionmaker[Session], claim: Claim, error: Exception, instant: dt.datetime
) -> None:
    """Best effort: the run's own error matters more, and a job left running is found by the cleanup."""
    log.error("backtest_failed", extra={"backtest_id": claim.job_id, "error": type(error).__name__})
    text = f"{type(error).__name__}: {error}"[:LONGEST_ERROR_CHARACTERS]
    try:
        write_claimed(session_factory, claim, status="failed", finished_at=instant, error=text)
    except Exception:
        log.exception("backtest_failure_not_stored", extra={"backtest_id": claim.job_id})


def _as_json(performance: Performance) -> dict[str, Any]:
    """Amounts and ratios as decimal texts, since JSON's numbers lose digits; no trailing zeros."""
    return {
        name: f"{value.normalize():f}" if isinstance(value, Decimal) else value
        for name, value in asdict(performance).items()
    }
