"""What can go wrong when paper is traded.

PaperTradingError
├── StrategyError(kind)
│   ├── UnknownStrategyError(kind, known)
│   └── BadParameterError(kind, parameter, problem, allowed)
├── UnusablePriceError(price)
├── InsufficientCashError(needed, available)
└── InsufficientPositionError(wanted, held)
"""

from collections.abc import Sequence
from decimal import Decimal


class PaperTradingError(Exception):
    """The root of the tree above."""


class StrategyError(PaperTradingError):
    """A stored strategy cannot be used as it stands."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class UnknownStrategyError(StrategyError):
    """No strategy is registered under `kind`."""

    def __init__(self, *, kind: str, known: Sequence[str]) -> None:
        super().__init__(f"strategy kind {kind!r} is not known; allowed: {', '.join(known)}", kind=kind)
        self.known = tuple(known)


class BadParameterError(StrategyError):
    """One parameter of a strategy is wrong, missing or not one of its parameters."""

    def __init__(self, *, kind: str, parameter: str, problem: str, allowed: str) -> None:
        super().__init__(f"strategy {kind}: parameter {parameter!r} {problem}; allowed: {allowed}", kind=kind)
        self.parameter = parameter
        self.problem = problem
        self.allowed = allowed


class UnusablePriceError(PaperTradingError):
    """A price at which nothing can be bought or sold: zero or below."""

    def __init__(self, price: Decimal) -> None:
        super().__init__(f"a price of {price} cannot be traded at; allowed: above 0")
        self.price = price


class InsufficientCashError(PaperTradingError):
    """A buy costs more than there is. Both amounts are in the symbol's currency, fee included."""

    def __init__(self, *, needed: Decimal, available: Decimal) -> None:
        super().__init__(f"the order costs {needed:f}, there is {available:f}")
        self.needed = needed
        self.available = available


class InsufficientPositionError(PaperTradingError):
    """A sale of more than is held: there is no short selling."""

    def __init__(self, *, wanted: Decimal, held: Decimal) -> None:
        super().__init__(f"the order sells {wanted:f}, {held:f} is held")
        self.wanted = wanted
        self.held = held
