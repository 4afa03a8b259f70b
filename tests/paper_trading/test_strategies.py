"""What the strategies want on given closes, and how stored parameters are read."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packages.domain.paper_trading.errors import BadParameterError, UnknownStrategyError
from packages.domain.paper_trading.strategies.base import Holding, Signal, TradingStrategy
from packages.domain.paper_trading.strategies.registry import STRATEGIES, make_strategy
from tests.paper_trading.trading_world import bar_values

FLAT = Holding(quantity=Decimal(0), average_price=Decimal(0))
HELD = Holding(quantity=Decimal(3), average_price=Decimal(10))
CROSS: dict[str, Any] = {"fast_bars": 2, "slow_bars": 4, "position_fraction": 0.5}
REVERSION: dict[str, Any] = {"window_bars": 4, "entry_deviations": 1.5, "position_fraction": "0.25"}
GOOD = {"moving_average_cross": CROSS, "mean_reversion": REVERSION}


def wanted(kind: str, closes: Sequence[int | str], holding: Holding) -> Decimal | None:
    signal = make_strategy(kind, GOOD[kind]).target(bar_values(closes), holding)
    assert signal is not None
    assert signal.reason
    return signal.target_fraction


@pytest.mark.parametrize(
    ("closes", "holding", "fraction"),
    [
        pytest.param([10, 10, 11, 12], FLAT, Decimal("0.5"), id="a rise is bought"),
        pytest.param([10, 10, 11, 12], HELD, None, id="a rise keeps what is held"),
        pytest.param([12, 12, 11, 10], HELD, Decimal(0), id="a fall is sold"),
        pytest.param([12, 12, 11, 10], FLAT, None, id="a fall leaves nothing to do"),
        pytest.param([10, 10, 10, 10], FLAT, None, id="equal averages are no cross"),
        pytest.param([10, 10, 10, 10], HELD, None, id="equal averages keep what is held"),
        pytest.param([99, 10, 10, 11, 12], FLAT, Decimal("0.5"), id="older bars do not count"),
    ],
)
def test_moving_average_cross(closes: list[int], holding: Holding, fraction: Decimal | None) -> None:
    assert wanted("moving_average_cross", closes, holding) == fraction


@pytest.mark.parametrize(
    ("closes", "holding", "fraction"),
    [
        pytest.param([10, 10, 10, 6], FLAT, Decimal("0.25"), id="far below is bought"),
        pytest.param([10, 10, 10, 6], HELD, None, id="far below keeps what is held"),
        pytest.param([10, 11, 9, 9], FLAT, None, id="a little below is not enough"),
        pytest.param([10, 10, 10, 12], HELD, Decimal(0), id="above the mean is sold"),
        pytest.param([10, 10, 10, 10], HELD, Decimal(0), id="at the mean is sold"),
        pytest.param([10, 10, 10, 10], FLAT, None, id="a flat line is not bought"),
    ],
)
def test_mean_reversion(closes: list[int], holding: Holding, fraction: Decimal | None) -> None:
    assert wanted("mean_reversion", closes, holding) == fraction


@pytest.mark.parametrize("kind", GOOD)
def test_too_few_bars_are_no_opinion(kind: str) -> None:
    strategy = make_strategy(kind, GOOD[kind])
    assert strategy.target(bar_values([10] * (strategy.warm_up_bars - 1)), FLAT) is None
    assert strategy.target(bar_values([10] * strategy.warm_up_bars), FLAT) is not None


@settings(deadline=None)
@given(
    kind=st.sampled_from(sorted(GOOD)),
    closes=st.lists(st.integers(1, 1000), min_size=4, max_size=12),
    holding=st.sampled_from([FLAT, HELD]),
)
def test_only_the_newest_warm_up_bars_count(kind: str, closes: list[int], holding: Holding) -> None:
    strategy = make_strategy(kind, GOOD[kind])
    bars = bar_values(closes)
    assert strategy.target(bars, holding) == strategy.target(bars[-strategy.warm_up_bars :], holding)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_registered_strategy_describes_its_parameters(strategy: type[TradingStrategy]) -> None:
    assert strategy.kind in GOOD
    assert all(field.description for field in strategy.model_fields.values())
    assert strategy.__abstractmethods__ == frozenset()


def test_kinds_are_unique() -> None:
    assert len({strategy.kind for strategy in STRATEGIES}) == len(STRATEGIES)


def test_fractions_are_read_as_the_decimals_they_look_like() -> None:
    strategy = make_strategy("moving_average_cross", {**CROSS, "position_fraction": 0.1})
    assert strategy.model_dump()["position_fraction"] == Decimal("0.1")


def test_parameters_cannot_be_changed() -> None:
    strategy = make_strategy("moving_average_cross", CROSS)
    with pytest.raises(ValueError, match="frozen"):
        strategy.fast_bars = 3  # type: ignore[attr-defined]


WHOLE = "allowed: a whole number from"
NAMES = "allowed: fast_bars, slow_bars, position_fraction"


@pytest.mark.parametrize(
    ("changed", "parameter", "message"),
    [
        ({"fast_bars": 0}, "fast_bars", f"is 0; {WHOLE} 1 to 4999"),
        ({"fast_bars": 2.5}, "fast_bars", f"is 2.5; {WHOLE} 1 to 4999"),
        ({"fast_bars": "2"}, "fast_bars", f"is '2'; {WHOLE} 1 to 4999"),
        ({"fast_bars": True}, "fast_bars", f"is True; {WHOLE} 1 to 4999"),
        ({"slow_bars": 2}, "slow_bars", "must be above fast_bars, which is 2"),
        ({"slow_bars": 5001}, "slow_bars", f"is 5001; {WHOLE} 2 to 5000"),
        ({"position_fraction": 0}, "position_fraction", "is 0; allowed: a number above 0 and at most 1"),
        ({"position_fraction": 1.01}, "position_fraction", "is 1.01; allowed"),
        ({"position_fraction": "NaN"}, "position_fraction", "is 'NaN'; allowed"),
        ({"position_fraction": None}, "position_fraction", "is None; allowed"),
        ({"position_fraction": "x" * 500}, "position_fraction", "..."),
        ({"leverage": 3}, "leverage", f"is not known; {NAMES}"),
    ],
)
def test_bad_parameters_are_named_with_what_is_allowed(changed: dict[str, Any], parameter: str, message: str) -> None:
    with pytest.raises(BadParameterError) as raised:
        make_strategy("moving_average_cross", {**CROSS, **changed})
    text = str(raised.value)
    assert text.startswith(f"strategy moving_average_cross: parameter {parameter!r} ")
    assert message in text
    assert len(text) < 250
    assert (raised.value.kind, raised.value.parameter) == ("moving_average_cross", parameter)


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(BadParameterError, match="parameter 'window_bars' is missing; allowed: a whole number from 2"):
        make_strategy("mean_reversion", {"entry_deviations": 1, "position_fraction": 1})


def test_parameters_that_are_no_object_are_refused() -> None:
    with pytest.raises(BadParameterError, match="is not an object"):
        make_strategy("mean_reversion", [1, 2])  # type: ignore[arg-type]


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(UnknownStrategyError, match="'momentum' is not known; allowed: moving_average_cross, mean_rev"):
        make_strategy("momentum", {})


@pytest.mark.parametrize("fraction", [Decimal("-0.1"), Decimal("1.1")])
def test_a_signal_outside_of_zero_to_one_cannot_be_made(fraction: Decimal) -> None:
    with pytest.raises(ValueError, match="target_fraction must lie"):
        Signal(target_fraction=fraction, reason="leverage")
