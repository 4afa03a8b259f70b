"""The port through which bars come in, and how it may fail. Knows no provider and stores nothing.

MarketDataError(provider, symbol)
├── UnknownSymbolError          the provider has no such symbol
├── UnsupportedTimeframeError   the provider has no bars of this length
├── ProviderRefusedError        credentials, plan or request; asking again does not help
└── ProviderUnavailableError    time-out, overload, outage; worth another try
"""

import datetime as dt
from collections.abc import Iterable
from typing import ClassVar, Protocol

from packages.domain.market_data.bars import BarValue


class MarketDataError(Exception):
    """A provider could not give bars of a symbol. The text names no secret: it is stored and shown."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, provider: str, symbol: str) -> None:
        super().__init__(message)
        self.provider = provider
        self.symbol = symbol


class UnknownSymbolError(MarketDataError):
    """The provider does not know the symbol."""


class UnsupportedTimeframeError(MarketDataError):
    """The provider has no bars of the asked length."""


class ProviderRefusedError(MarketDataError):
    """The provider will not serve us: wrong credentials, not in the plan, or a request it does not take."""


class ProviderUnavailableError(MarketDataError):
    """The provider did not answer, or not in a way that can be understood. A later try may succeed."""

    retryable = True


class MarketDataProvider(Protocol):
    """Where bars come from."""

    def bars(self, *, symbol: str, timeframe: str, after: dt.datetime | None, until: dt.datetime) -> Iterable[BarValue]:
        """The finished bars with `opened_at > after` that were over at `until`, oldest first.

        `until` is the caller's wall clock. `after=None` asks for as much history as the provider gives to a
        symbol that is new. Reading the answer may raise as well as the call itself.

        Raises:
            MarketDataError: see the module for the kinds.
        """
        ...
