"""Asks for a backtest: checks what is asked and writes the queued job. Never sends it and never runs it.

BacktestRequestError
├── UnknownStrategyNameError(name, known)
└── NoBarsError(symbol, timeframe, known)
"""

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from packages.domain.backtest.models import BacktestJob
from packages.domain.market_data.bars import last_opened_at
from packages.domain.market_data.models import Subscription
from packages.domain.paper_trading.models import Strategy
from packages.domain.paper_trading.strategies.registry import make_strategy


class BacktestRequestError(Exception):
    """The root of the tree above."""


class UnknownStrategyNameError(BacktestRequestError):
    """No stored strategy has this name."""

    def __init__(self, name: str, *, known: Sequence[str]) -> None:
        super().__init__(f"there is no strategy {name!r}; there are: {', '.join(known) or 'none'}")
        self.name = name
        self.known = tuple(known)


class NoBarsError(BacktestRequestError):
    """No bar of this symbol and length is stored, so there is nothing to run over. `known` are those followed."""

    def __init__(self, symbol: str, *, timeframe: str, known: Sequence[str]) -> None:
        super().__init__(f"no {timeframe} bar of {symbol!r} is stored; followed are: {', '.join(known) or 'none'}")
        self.symbol = symbol
        self.timeframe = timeframe
        self.known = tuple(known)


def request_backtest(  # noqa: PLR0913 - who asks, and what for, all by name
    session: Session, *, user_id: int, strategy_name: str, symbol: str, timeframe: str, now: dt.datetime
) -> int:
    """Write a queued job and return its id. The caller commits, and sends it afterwards.

    Raises:
        UnknownStrategyNameError, NoBarsError: nothing to run, or nothing to run over.
        StrategyError: the stored strategy cannot be used.
    """
    strategy = session.scalars(select(Strategy).where(Strategy.name == strategy_name)).one_or_none()
    if strategy is None:
        names = session.scalars(select(Strategy.name).order_by(Strategy.name)).all()
        raise UnknownStrategyNameError(strategy_name, known=names)
    make_strategy(strategy.kind, strategy.parameters)
    if last_opened_at(session, symbol=symbol, timeframe=timeframe) is None:
        followed = session.execute(
            select(Subscription.symbol, Subscription.timeframe).order_by(Subscription.symbol, Subscription.timeframe)
        )
        raise NoBarsError(symbol, timeframe=timeframe, known=[f"{name} ({length})" for name, length in followed])
    job = BacktestJob(user_id=user_id, strategy_id=strategy.id, symbol=symbol, timeframe=timeframe, created_at=now)
    session.add(job)
    session.flush()
    return job.id


def fail_unsent(session: Session, *, job_id: int, now: dt.datetime, reason: str) -> bool:
    """Fail a queued job whose message could not be sent; False when it is not queued any more. The caller commits.

    A message that got through all the same then finds the job failed and is dropped.
    """
    failed = session.scalar(
        update(BacktestJob)
        .where(BacktestJob.id == job_id, BacktestJob.status == "queued")
        .values(status="failed", finished_at=now, error=f"not sent: {reason}")
        .returning(BacktestJob.id)
        .execution_options(synchronize_session=False)
    )
    return failed is not None
