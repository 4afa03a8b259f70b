"""Brings every active subscription up to date. Decides which bars to ask for and what a failure leaves behind.

Each subscription is on its own: asked outside of a transaction, stored in one, and its failure stands on its row.
The longest not refreshed come first, those that failed last time after all others: what one run has no time for is
the first of the next, and a provider that times out on some symbols does not keep the rest waiting.
Nothing is locked between two refreshes at once: they ask twice, and the second stores nothing new.
It never schedules itself and never retries within one run; the next run asks again for whatever is missing.
"""

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from packages.domain.market_data.bars import BarValue, last_opened_at, upsert_bars
from packages.domain.market_data.models import Subscription
from packages.domain.market_data.provider import MarketDataError, MarketDataProvider

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SymbolOutcome:
    """What became of one subscription: how many bars are new or changed, or why there are none."""

    symbol: str
    timeframe: str
    bars: int = 0
    error: str | None = None
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """The outcomes in the order of symbol and timeframe. `left` counts the subscriptions that time did not allow."""

    outcomes: tuple[SymbolOutcome, ...]
    left: int = 0

    @property
    def bars(self) -> int:
        """Rows new or changed, over all subscriptions."""
        return sum(outcome.bars for outcome in self.outcomes)

    @property
    def failed(self) -> tuple[SymbolOutcome, ...]:
        """The subscriptions that could not be refreshed."""
        return tuple(outcome for outcome in self.outcomes if outcome.error is not None)


class RefreshFailedError(Exception):
    """Not one subscription that was asked for could be refreshed.

    `retryable` when another try may help at least one of them.
    """

    def __init__(self, result: RefreshResult) -> None:
        first = result.failed[0]
        unasked = f" and {result.left} were not reached" if result.left else ""
        super().__init__(
            f"market data: all {len(result.failed)} active subscriptions failed{unasked}; "
            f"the first, {first.symbol} {first.timeframe}: {first.error}"
        )
        self.result = result
        self.retryable = any(outcome.retryable for outcome in result.failed)

    def __reduce__(self) -> tuple[type["RefreshFailedError"], tuple[RefreshResult]]:
        # It crosses from a worker's child to its parent; by default a pickled error comes back from its text alone.
        return type(self), (self.result,)


@dataclass(frozen=True, slots=True)
class _Target:
    subscription_id: int
    symbol: str
    timeframe: str


def refresh_active_subscriptions(
    session_factory: Callable[[], Session],
    *,
    provider: MarketDataProvider,
    now: Callable[[], dt.datetime],
    run_for: dt.timedelta = dt.timedelta(minutes=5),
    interrupts: tuple[type[BaseException], ...] = (),
) -> RefreshResult:
    """Store, for each active subscription, the bars since the last stored one that were finished at the start.

    `now` is the clock. When `run_for` is over, no further subscription is begun. Exceptions of the types `interrupts`
    end the run wherever they come: they are the caller's way to stop it, not a failure of the provider.
    A failure of the provider is written to `last_error` of the row; a good refresh clears it and sets
    `last_refreshed_at`. An error of the database ends the run, since the other subscriptions would meet it too.

    Raises:
        RefreshFailedError: there are active subscriptions, and every one that was asked for failed.
        ValueError: `run_for` is not above 0.
    """
    if run_for <= dt.timedelta(0):
        raise ValueError(f"run_for must be above 0: {run_for}")
    started = now()
    with session_factory() as session, session.begin():
        rows = session.execute(
            select(Subscription.id, Subscription.symbol, Subscription.timeframe)
            .where(Subscription.is_active)
            .order_by(
                Subscription.last_error.is_not(None),
                Subscription.last_refreshed_at.asc().nulls_first(),
                Subscription.symbol,
                Subscription.timeframe,
            )
        )
        targets = [_Target(*row) for row in rows]
    outcomes: list[SymbolOutcome] = []
    for target in targets:
        if now() - started >= run_for:
            log.warning("market_data_time_over", extra={"left": len(targets) - len(outcomes)})
            break
        outcomes.append(_refresh_one(session_factory, target, provider, started, interrupts))
    in_order = sorted(outcomes, key=lambda outcome: (outcome.symbol, outcome.timeframe))
    result = RefreshResult(tuple(in_order), left=len(targets) - len(outcomes))
    if outcomes and len(result.failed) == len(outcomes):
        raise RefreshFailedError(result)
    return result


def _refresh_one(
    session_factory: Callable[[], Session],
    target: _Target,
    provider: MarketDataProvider,
    now: dt.datetime,
    interrupts: tuple[type[BaseException], ...],
) -> SymbolOutcome:
    with session_factory() as session, session.begin():
        after = last_opened_at(session, symbol=target.symbol, timeframe=target.timeframe)
    try:
        bars = list(provider.bars(symbol=target.symbol, timeframe=target.timeframe, after=after, until=now))
    except interrupts:
        raise
    except MarketDataError as error:
        return _failed(session_factory, target, now, text=str(error), retryable=error.retryable)
    except Exception as error:
        # One provider's bug on one symbol must not stop the others. Its text is not ours, so it may hold a
        # secret: the row keeps the type only.
        log.exception("market_data_provider_crashed", extra=_fields(target))
        text = f"unexpected {type(error).__name__} of the provider"
        return _failed(session_factory, target, now, text=text, retryable=True)
    return _stored(session_factory, target, now, bars)


def _stored(
    session_factory: Callable[[], Session], target: _Target, now: dt.datetime, bars: list[BarValue]
) -> SymbolOutcome:
    with session_factory() as session, session.begin():
        changed = upsert_bars(session, symbol=target.symbol, timeframe=target.timeframe, bars=bars)
        session.execute(
            update(Subscription)
            .where(Subscription.id == target.subscription_id)
            .values(last_refreshed_at=func.greatest(Subscription.last_refreshed_at, now), last_error=None)
        )
    log.info("market_data_refreshed", extra={**_fields(target), "bars": changed})
    return SymbolOutcome(symbol=target.symbol, timeframe=target.timeframe, bars=changed)


def _failed(
    session_factory: Callable[[], Session], target: _Target, now: dt.datetime, *, text: str, retryable: bool
) -> SymbolOutcome:
    # A refresh that began later and went well has the last word.
    not_overtaken = or_(Subscription.last_refreshed_at.is_(None), Subscription.last_refreshed_at <= now)
    with session_factory() as session, session.begin():
        session.execute(
            update(Subscription).where(Subscription.id == target.subscription_id, not_overtaken).values(last_error=text)
        )
    log.warning("market_data_refresh_failed", extra={**_fields(target), "error": text, "retryable": retryable})
    return SymbolOutcome(symbol=target.symbol, timeframe=target.timeframe, error=text, retryable=retryable)


def _fields(target: _Target) -> dict[str, Any]:
    return {"symbol": target.symbol, "timeframe": target.timeframe}
