"""What a strategy's opinion on a bar comes to as an order. Pure; paper trading and backtests both decide here."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from packages.domain.market_data.bars import BarValue
from packages.domain.market_data.models import Bar
from packages.domain.paper_trading.execution import Portfolio, SizedOrder, size_order
from packages.domain.paper_trading.strategies.base import Holding, TradingStrategy


@dataclass(frozen=True, kw_only=True, slots=True)
class TradeDecision:
    """The order to place at the close of the decided bar, or None with the reason why there is none."""

    order: SizedOrder | None
    reason: str
    enough_bars: bool = True


def decide_trade(
    strategy: TradingStrategy, *, bars: Sequence[BarValue], portfolio: Portfolio, fee_rate: Decimal
) -> TradeDecision:
    """Decide on the last of `bars` (oldest first). `fee_rate` is a fraction of the notional in [0, 1).

    Raises:
        UnusablePriceError: an order is wanted and the last close is not above zero.
    """
    holding = Holding(quantity=portfolio.quantity, average_price=portfolio.average_price)
    signal = strategy.target(bars, holding)
    if signal is None:
        reason = f"{strategy.kind} needs {strategy.warm_up_bars} bars, stored: {len(bars)}"
        return TradeDecision(order=None, reason=reason, enough_bars=False)
    if signal.target_fraction is None:
        return TradeDecision(order=None, reason=signal.reason)
    order = size_order(portfolio, target_fraction=signal.target_fraction, price=bars[-1].close, fee_rate=fee_rate)
    reason = signal.reason if order is not None else f"{signal.reason}; less than one step of quantity to trade"
    return TradeDecision(order=order, reason=reason)


def plain_bar(row: Bar) -> BarValue:
    """A stored row as the plain value that strategies are given."""
    return BarValue(
        opened_at=row.opened_at, open=row.open, high=row.high, low=row.low, close=row.close, volume=row.volume
    )
