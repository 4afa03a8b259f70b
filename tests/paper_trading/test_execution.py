"""The arithmetic of orders: what holds for any prices and amounts, and a few figures by hand."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packages.domain.paper_trading.errors import InsufficientCashError, InsufficientPositionError, UnusablePriceError
from packages.domain.paper_trading.execution import (
    MONEY_STEP,
    QUANTITY_STEP,
    Portfolio,
    Side,
    SizedOrder,
    execute,
    size_order,
)

prices = st.decimals("0.00000001", "1000000", places=8)
fee_rates = st.decimals("0", "0.2", places=5)
fractions = st.decimals("0", "1", places=4)
amounts = st.decimals("0", "1000000000", places=8)
quantities = st.decimals("0", "1000000", places=4)


@st.composite
def portfolios(draw: st.DrawFn) -> Portfolio:
    quantity = draw(quantities)
    return Portfolio(cash=draw(amounts), quantity=quantity, average_price=draw(prices) if quantity else Decimal(0))


def whole_steps(amount: Decimal, step: Decimal) -> bool:
    return amount == amount.quantize(step)


@settings(deadline=None)
@given(portfolio=portfolios(), fraction=fractions, price=prices, fee_rate=fee_rates)
@example(
    # The cost falls between two steps of money and so does the fee; both are rounded up, and there is no more cash.
    portfolio=Portfolio(cash=MONEY_STEP),
    fraction=Decimal(1),
    price=Decimal("0.00008"),
    fee_rate=Decimal("0.25"),
)
def test_a_sized_order_can_always_be_filled_and_conserves_money(
    portfolio: Portfolio, fraction: Decimal, price: Decimal, fee_rate: Decimal
) -> None:
    order = size_order(portfolio, target_fraction=fraction, price=price, fee_rate=fee_rate)
    if order is None:
        return
    done = execute(portfolio, side=order.side, quantity=order.quantity, price=price, fee_rate=fee_rate)
    after = done.portfolio
    assert after.cash >= 0
    assert after.quantity >= 0
    assert done.fee >= 0
    assert whole_steps(after.cash, MONEY_STEP)
    assert whole_steps(after.average_price, MONEY_STEP)
    # Equity falls by the fee and by less than one rounding step: nothing appears, nothing else is lost.
    lost = portfolio.equity(price) - after.equity(price) - done.fee
    assert 0 <= lost < MONEY_STEP


@settings(deadline=None)
@given(portfolio=portfolios(), fraction=fractions, price=prices, fee_rate=fee_rates)
def test_an_order_moves_the_position_toward_the_target_and_never_past_it(
    portfolio: Portfolio, fraction: Decimal, price: Decimal, fee_rate: Decimal
) -> None:
    order = size_order(portfolio, target_fraction=fraction, price=price, fee_rate=fee_rate)
    wanted = fraction * portfolio.equity(price)
    held = portfolio.quantity * price
    if order is None:
        return
    if fraction == 0:
        assert order == SizedOrder(side=Side.SELL, quantity=portfolio.quantity)
    elif order.side is Side.BUY:
        assert held < held + order.notional(price) <= wanted
    else:
        assert wanted <= held - order.notional(price) < held
    assert fraction == 0 or whole_steps(order.quantity, QUANTITY_STEP)


@settings(deadline=None)
@given(
    cash=st.decimals("1000", "1000000000", places=2),
    moves=st.lists(st.tuples(prices.filter(lambda price: price >= 1), fractions), max_size=25),
    fee_rate=fee_rates,
)
def test_the_books_agree_after_any_run_of_trades(
    cash: Decimal, moves: list[tuple[Decimal, Decimal]], fee_rate: Decimal
) -> None:
    portfolio = Portfolio(cash=cash)
    tolerance = Decimal(0)
    for price, fraction in moves:
        order = size_order(portfolio, target_fraction=fraction, price=price, fee_rate=fee_rate)
        if order is None:
            continue
        portfolio = execute(
            portfolio, side=order.side, quantity=order.quantity, price=price, fee_rate=fee_rate
        ).portfolio
        # The average price is rounded to one step of money, so it is off by at most half a step for each unit held.
        tolerance += MONEY_STEP * (portfolio.quantity + order.quantity + 1)
        booked = portfolio.cash + portfolio.quantity * portfolio.average_price - portfolio.realized_profit
        assert abs(booked - cash) <= tolerance
    if portfolio.quantity == 0:
        assert abs(portfolio.cash - cash - portfolio.realized_profit) <= tolerance


@settings(deadline=None)
@given(cash=amounts, price=prices, fee_rate=fee_rates)
def test_all_the_cash_can_be_spent_but_not_a_step_more(cash: Decimal, price: Decimal, fee_rate: Decimal) -> None:
    portfolio = Portfolio(cash=cash)
    order = size_order(portfolio, target_fraction=Decimal(1), price=price, fee_rate=fee_rate)
    bought = order.quantity if order is not None else Decimal(0)
    # Two more steps cost more than rounding keeps back, unless a step itself costs next to nothing.
    if price * QUANTITY_STEP > 4 * MONEY_STEP:
        with pytest.raises(InsufficientCashError):
            execute(portfolio, side=Side.BUY, quantity=bought + 2 * QUANTITY_STEP, price=price, fee_rate=fee_rate)


def test_a_round_trip_by_hand() -> None:
    start = Portfolio(cash=Decimal(1000))
    order = size_order(start, target_fraction=Decimal("0.5"), price=Decimal(3), fee_rate=Decimal("0.001"))
    assert order == SizedOrder(side=Side.BUY, quantity=Decimal("166.6666"))
    bought = execute(start, side=Side.BUY, quantity=order.quantity, price=Decimal(3), fee_rate=Decimal("0.001"))
    assert (bought.notional, bought.fee) == (Decimal("499.9998"), Decimal("0.49999980"))
    assert bought.portfolio == Portfolio(
        cash=Decimal("499.50020020"),
        quantity=Decimal("166.6666"),
        average_price=Decimal(3),
        realized_profit=Decimal("-0.49999980"),
    )
    sold = execute(
        bought.portfolio, side=Side.SELL, quantity=Decimal("166.6666"), price=Decimal(4), fee_rate=Decimal("0.001")
    )
    assert sold.portfolio == Portfolio(
        cash=Decimal("1165.49993380"),
        realized_profit=Decimal("165.49993380"),
    )


def test_the_average_price_weighs_what_was_paid() -> None:
    held = Portfolio(cash=Decimal(100), quantity=Decimal(1), average_price=Decimal(10))
    done = execute(held, side=Side.BUY, quantity=Decimal(3), price=Decimal(20), fee_rate=Decimal(0))
    assert done.portfolio.average_price == Decimal("17.5")


def test_selling_to_nothing_takes_a_remainder_below_one_step_too() -> None:
    held = Portfolio(cash=Decimal(0), quantity=Decimal("0.00000003"), average_price=Decimal(10))
    order = size_order(held, target_fraction=Decimal(0), price=Decimal(10), fee_rate=Decimal(0))
    assert order == SizedOrder(side=Side.SELL, quantity=Decimal("0.00000003"))


def test_the_fee_of_a_sale_is_capped_by_its_proceeds() -> None:
    held = Portfolio(cash=Decimal(0), quantity=Decimal("0.0001"), average_price=Decimal("0.0001"))
    done = execute(held, side=Side.SELL, quantity=held.quantity, price=Decimal("0.00000001"), fee_rate=Decimal("0.2"))
    assert {done.notional, done.fee, done.portfolio.cash} == {Decimal(0)}


def test_nothing_to_sell_and_nothing_to_spend_is_no_order() -> None:
    flat = Portfolio(cash=Decimal(0))
    assert size_order(flat, target_fraction=Decimal(0), price=Decimal(1), fee_rate=Decimal(0)) is None
    assert size_order(flat, target_fraction=Decimal(1), price=Decimal(1), fee_rate=Decimal(0)) is None


def test_more_than_there_is_is_refused_with_the_figures() -> None:
    start = Portfolio(cash=Decimal(10), quantity=Decimal(1), average_price=Decimal(5))
    with pytest.raises(InsufficientCashError, match=r"costs 22\.00000000, there is 10") as cash:
        execute(start, side=Side.BUY, quantity=Decimal(2), price=Decimal(10), fee_rate=Decimal("0.1"))
    assert (cash.value.needed, cash.value.available) == (Decimal(22), Decimal(10))
    with pytest.raises(InsufficientPositionError, match="sells 2, 1 is held") as position:
        execute(start, side=Side.SELL, quantity=Decimal(2), price=Decimal(10), fee_rate=Decimal(0))
    assert (position.value.wanted, position.value.held) == (Decimal(2), Decimal(1))


@pytest.mark.parametrize("price", [Decimal(0), Decimal(-37), Decimal("NaN"), Decimal("Infinity")])
def test_no_price_of_zero_or_below_is_traded_at(price: Decimal) -> None:
    start = Portfolio(cash=Decimal(10))
    with pytest.raises(UnusablePriceError):
        size_order(start, target_fraction=Decimal(1), price=price, fee_rate=Decimal(0))
    with pytest.raises(UnusablePriceError):
        execute(start, side=Side.BUY, quantity=Decimal(1), price=price, fee_rate=Decimal(0))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target_fraction": Decimal("1.1")}, "target_fraction must lie in"),
        ({"target_fraction": Decimal("-0.1")}, "target_fraction must lie in"),
        ({"fee_rate": Decimal(1)}, "fee_rate must lie in"),
        ({"fee_rate": Decimal("-0.1")}, "fee_rate must lie in"),
    ],
)
def test_terms_out_of_range_are_refused(changed: dict[str, Decimal], message: str) -> None:
    terms = {"target_fraction": Decimal(1), "price": Decimal(1), "fee_rate": Decimal(0), **changed}
    with pytest.raises(ValueError, match=message):
        size_order(Portfolio(cash=Decimal(1)), **terms)


@pytest.mark.parametrize("name", ["cash", "quantity", "average_price"])
@pytest.mark.parametrize("amount", [Decimal("-0.00000001"), Decimal("NaN")])
def test_a_portfolio_is_never_below_zero(name: str, amount: Decimal) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        replace(Portfolio(cash=Decimal(1)), **{name: amount})
