"""The arithmetic of a simulated market order: its size, its fill, and what is held after it. Pure.

Long only, no leverage: cash and quantity never go below zero. Rounding is always against the trader, so that no
money appears from nowhere: bought quantities are rounded down to `QUANTITY_STEP`, costs and fees up and proceeds
down to `MONEY_STEP`. Fees are charged to the realized profit when they are paid, not to the average price, so
`cash + quantity * average_price - realized_profit` stays what it was but for the rounding of the average price.
"""

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from decimal import localcontext as decimal_context
from enum import StrEnum

from packages.domain.paper_trading.errors import InsufficientCashError, InsufficientPositionError, UnusablePriceError

QUANTITY_STEP = Decimal("0.0001")
# The scale of the numeric columns: what is computed is what is stored.
MONEY_STEP = Decimal("0.00000001")
ZERO = Decimal(0)
ONE = Decimal(1)
# The product of two columns has 48 digits; the caller's context must have no say in an amount of money.
_EXACT = Context(prec=80, rounding=ROUND_DOWN, traps=[InvalidOperation, DivisionByZero, Overflow])


class Side(StrEnum):
    """The direction of an order, as it is stored."""

    BUY = "buy"
    SELL = "sell"


@dataclass(frozen=True, kw_only=True, slots=True)
class Portfolio:
    """What one deployment owns: cash, and a quantity of its one symbol bought at an average price.

    Raises:
        ValueError: cash, quantity or average price is negative or not a number.
    """

    cash: Decimal
    quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    realized_profit: Decimal = ZERO

    def __post_init__(self) -> None:
        for name in ("cash", "quantity", "average_price"):
            value: Decimal = getattr(self, name)
            if not value.is_finite() or value < 0:
                raise ValueError(f"portfolio: {name} must be a number of at least 0: {value}")

    def equity(self, price: Decimal) -> Decimal:
        """Cash and the position's value at `price`."""
        with decimal_context(_EXACT):
            return self.cash + self.quantity * price


@dataclass(frozen=True, kw_only=True, slots=True)
class SizedOrder:
    """A market order to place; `quantity` is above zero."""

    side: Side
    quantity: Decimal

    def notional(self, price: Decimal) -> Decimal:
        """The order's value at `price`, exact, without the fee."""
        with decimal_context(_EXACT):
            return self.quantity * price


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """An order filled whole at one price. `portfolio` is what is owned afterwards."""

    side: Side
    quantity: Decimal
    price: Decimal
    notional: Decimal
    fee: Decimal
    portfolio: Portfolio


def size_order(
    portfolio: Portfolio, *, target_fraction: Decimal, price: Decimal, fee_rate: Decimal
) -> SizedOrder | None:
    """The order that brings the position to `target_fraction` of the equity; None when it would be below one step.

    `target_fraction` is in [0, 1]; at 0 everything held is sold, also a remainder below one step. `fee_rate` is a
    fraction of the notional in [0, 1). A buy never costs more than the cash, fee included.

    Raises:
        UnusablePriceError: the price is not above zero.
        ValueError: a fraction or rate out of its range.
    """
    _check(price, fee_rate)
    if not 0 <= target_fraction <= 1:
        raise ValueError(f"target_fraction must lie in [0, 1]: {target_fraction}")
    with decimal_context(_EXACT):
        held = portfolio.quantity * price
        wanted = target_fraction * (portfolio.cash + held)
        if target_fraction == 0:
            side, quantity = Side.SELL, portfolio.quantity
        elif wanted < held:
            side, quantity = Side.SELL, _steps((held - wanted) / price)
        else:
            # The cost and the fee are each rounded up by less than one step of money.
            spendable = max(ZERO, (portfolio.cash - 2 * MONEY_STEP) / (ONE + fee_rate))
            side, quantity = Side.BUY, _steps(min(wanted - held, spendable) / price)
    return SizedOrder(side=side, quantity=quantity) if quantity > 0 else None


def execute(portfolio: Portfolio, *, side: Side, quantity: Decimal, price: Decimal, fee_rate: Decimal) -> Execution:
    """Fill a market order whole at `price`. A sale's fee is never more than its proceeds.

    Raises:
        InsufficientCashError: a buy that costs more than the cash, fee included.
        InsufficientPositionError: a sale of more than is held.
        UnusablePriceError: the price is not above zero.
        ValueError: a quantity that is not above zero, or a rate out of [0, 1).
    """
    _check(price, fee_rate)
    if quantity <= 0:
        raise ValueError(f"quantity must be above 0: {quantity}")
    fill = _buy if side is Side.BUY else _sell
    with decimal_context(_EXACT):
        return fill(portfolio, quantity, price, fee_rate)


def _buy(portfolio: Portfolio, quantity: Decimal, price: Decimal, fee_rate: Decimal) -> Execution:
    exact = price * quantity
    notional = exact.quantize(MONEY_STEP, rounding=ROUND_UP)
    fee = (exact * fee_rate).quantize(MONEY_STEP, rounding=ROUND_UP)
    if notional + fee > portfolio.cash:
        raise InsufficientCashError(needed=notional + fee, available=portfolio.cash)
    total = portfolio.quantity + quantity
    average = (portfolio.average_price * portfolio.quantity + notional) / total
    after = Portfolio(
        cash=portfolio.cash - notional - fee,
        quantity=total,
        average_price=average.quantize(MONEY_STEP, rounding=ROUND_HALF_EVEN),
        realized_profit=portfolio.realized_profit - fee,
    )
    return Execution(side=Side.BUY, quantity=quantity, price=price, notional=notional, fee=fee, portfolio=after)


def _sell(portfolio: Portfolio, quantity: Decimal, price: Decimal, fee_rate: Decimal) -> Execution:
    if quantity > portfolio.quantity:
        raise InsufficientPositionError(wanted=quantity, held=portfolio.quantity)
    exact = price * quantity
    notional = exact.quantize(MONEY_STEP, rounding=ROUND_DOWN)
    fee = min(notional, (exact * fee_rate).quantize(MONEY_STEP, rounding=ROUND_UP))
    left = portfolio.quantity - quantity
    bought_for = (portfolio.average_price * quantity).quantize(MONEY_STEP, rounding=ROUND_HALF_EVEN)
    after = Portfolio(
        cash=portfolio.cash + notional - fee,
        quantity=left,
        average_price=portfolio.average_price if left else ZERO,
        realized_profit=portfolio.realized_profit + notional - bought_for - fee,
    )
    return Execution(side=Side.SELL, quantity=quantity, price=price, notional=notional, fee=fee, portfolio=after)


def _steps(quantity: Decimal) -> Decimal:
    return quantity.quantize(QUANTITY_STEP, rounding=ROUND_DOWN)


def _check(price: Decimal, fee_rate: Decimal) -> None:
    if not price.is_finite() or price <= 0:
        raise UnusablePriceError(price)
    if not 0 <= fee_rate < 1:
        raise ValueError(f"fee_rate must lie in [0, 1): {fee_rate}")
