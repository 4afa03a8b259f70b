"""Bets on a return to the mean: buys a close far below the mean of its window, sells at the mean."""

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar

from packages.domain.market_data.bars import BarValue
from packages.domain.paper_trading.strategies.base import (
    Deviations,
    Fraction,
    Holding,
    Signal,
    TradingStrategy,
    WindowBars,
)


class MeanReversion(TradingStrategy):
    """Buys `position_fraction` of the equity at `entry_deviations` below the mean, sells all at or above the mean.

    The mean and the (population) standard deviation are those of the last `window_bars` closes, the newest included.
    """

    kind: ClassVar[str] = "mean_reversion"

    window_bars: WindowBars
    entry_deviations: Deviations
    position_fraction: Fraction

    @property
    def warm_up_bars(self) -> int:
        """The window."""
        return self.window_bars

    def target(self, bars: Sequence[BarValue], holding: Holding) -> Signal | None:
        """See the base class."""
        if len(bars) < self.warm_up_bars:
            return None
        closes = [bar.close for bar in bars[-self.window_bars :]]
        close = closes[-1]
        mean = sum(closes, Decimal(0)) / self.window_bars
        deviation = (sum(((each - mean) ** 2 for each in closes), Decimal(0)) / self.window_bars).sqrt()
        entry = mean - self.entry_deviations * deviation
        facts = f"close {close:.2f}, mean {mean:.2f}, entry {entry:.2f} over {self.window_bars} bars"
        # Without any deviation the entry is the mean itself, and a flat line is no reason to buy.
        if holding.is_flat and deviation > 0 and close <= entry:
            return Signal(target_fraction=self.position_fraction, reason=f"far below the mean: {facts}")
        if not holding.is_flat and close >= mean:
            return Signal(target_fraction=Decimal(0), reason=f"back at the mean: {facts}")
        return Signal(target_fraction=None, reason=f"waiting: {facts}")
