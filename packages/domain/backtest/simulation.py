"""A strategy over past bars, one bar at a time, with the decisions and fills of paper trading. Pure.

Differs from paper trading in one thing: nobody is asked to approve a large order.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from decimal import localcontext as decimal_context

from packages.domain.market_data.bars import BarValue
from packages.domain.paper_trading.decision import decide_trade
from packages.domain.paper_trading.execution import ZERO, Execution, Portfolio, execute
from packages.domain.paper_trading.strategies.base import TradingStrategy

RATIO_STEP = Decimal("0.000001")


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One bar's end: what was traded at its close, if anything, and the equity after it."""

    execution: Execution | None
    portfolio: Portfolio
    equity: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class Performance:
    """The outcome over all bars. Amounts are in the symbol's currency, ratios in parts of one.

    `max_drawdown` is the deepest fall of the equity below its highest value before, in [0, 1].
    """

    bars: int
    trades: int
    initial_cash: Decimal
    final_equity: Decimal
    total_fees: Decimal
    total_return: Decimal
    max_drawdown: Decimal


def simulate(
    strategy: TradingStrategy, *, bars: Iterable[BarValue], initial_cash: Decimal, fee_rate: Decimal
) -> Iterator[Step]:
    """Decide on each of `bars` (oldest first) with none of the later ones known; orders fill at that bar's close.

    Lazy: the caller may do other work between two bars, or stop; only the strategy's newest `warm_up_bars` are kept.
    `fee_rate` is in [0, 1).

    Raises:
        UnusablePriceError: a trade is wanted at a close that is not above zero.
    """
    portfolio = Portfolio(cash=initial_cash)
    known: deque[BarValue] = deque(maxlen=strategy.warm_up_bars)
    for bar in bars:
        known.append(bar)
        # Strategies slice what they are given, which a deque cannot.
        order = decide_trade(strategy, bars=tuple(known), portfolio=portfolio, fee_rate=fee_rate).order
        execution = None
        if order is not None:
            execution = execute(portfolio, side=order.side, quantity=order.quantity, price=bar.close, fee_rate=fee_rate)
            portfolio = execution.portfolio
        yield Step(execution=execution, portfolio=portfolio, equity=portfolio.equity(bar.close))


class PerformanceTally:
    """Adds up the steps as they come, so that no list of them is kept."""

    def __init__(self, *, initial_cash: Decimal) -> None:
        if not initial_cash.is_finite() or initial_cash <= 0:
            raise ValueError(f"initial_cash must be above 0: {initial_cash}")
        self._initial_cash = initial_cash
        self._equity = initial_cash
        self._peak = initial_cash
        self._max_drawdown = ZERO
        self._fees = ZERO
        self._bars = 0
        self._trades = 0

    def add(self, step: Step) -> None:
        """Count one more bar."""
        self._bars += 1
        self._equity = step.equity
        self._peak = max(self._peak, step.equity)
        with decimal_context() as context:
            context.prec = 40
            self._max_drawdown = max(self._max_drawdown, (self._peak - step.equity) / self._peak)
        if step.execution is not None:
            self._trades += 1
            self._fees += step.execution.fee

    def performance(self) -> Performance:
        """What it comes to so far."""
        total_return = self._equity / self._initial_cash - 1
        return Performance(
            bars=self._bars,
            trades=self._trades,
            initial_cash=self._initial_cash,
            final_equity=self._equity,
            total_fees=self._fees,
            total_return=total_return.quantize(RATIO_STEP),
            max_drawdown=self._max_drawdown.quantize(RATIO_STEP),
        )
