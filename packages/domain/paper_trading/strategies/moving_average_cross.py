"""Follows a trend: holds while the average of the last few closes is above that of many, else holds nothing."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from packages.domain.market_data.bars import BarValue
from packages.domain.paper_trading.strategies.base import (
    LARGEST_WINDOW_BARS,
    Fraction,
    Holding,
    Signal,
    TradingStrategy,
    WindowBars,
)


class MovingAverageCross(TradingStrategy):
    """Buys `position_fraction` of the equity while the fast average is above the slow one; sells all below it.

    What is held is kept, not rebalanced, so that a fee is paid for a change of mind only.
    """

    kind: ClassVar[str] = "moving_average_cross"

    fast_bars: Annotated[
        int,
        Field(
            strict=True, ge=1, lt=LARGEST_WINDOW_BARS, description=f"a whole number from 1 to {LARGEST_WINDOW_BARS - 1}"
        ),
    ]
    slow_bars: WindowBars
    position_fraction: Fraction

    @field_validator("slow_bars")
    @classmethod
    def _slower(cls, slow_bars: int, info: ValidationInfo) -> int:
        fast_bars = info.data.get("fast_bars")
        if fast_bars is not None and slow_bars <= fast_bars:
            raise ValueError(f"must be above fast_bars, which is {fast_bars}")
        return slow_bars

    @property
    def warm_up_bars(self) -> int:
        """The slow average's window."""
        return self.slow_bars

    def target(self, bars: Sequence[BarValue], holding: Holding) -> Signal | None:
        """See the base class."""
        if len(bars) < self.warm_up_bars:
            return None
        closes = [bar.close for bar in bars[-self.slow_bars :]]
        fast = sum(closes[-self.fast_bars :], Decimal(0)) / self.fast_bars
        slow = sum(closes, Decimal(0)) / self.slow_bars
        averages = f"the {self.fast_bars}-bar average {fast:.2f}, the {self.slow_bars}-bar average {slow:.2f}"
        if holding.is_flat and fast > slow:
            return Signal(target_fraction=self.position_fraction, reason=f"up-trend: {averages}")
        if not holding.is_flat and fast < slow:
            return Signal(target_fraction=Decimal(0), reason=f"down-trend: {averages}")
        return Signal(target_fraction=None, reason=f"no cross: {averages}")
