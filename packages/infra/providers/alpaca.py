"""Live stock bars from Alpaca's market data API, through Alpaca's own SDK.

It decides which bars are finished and what each failure means. It never sleeps and never retries: the SDK's own
waits are turned off, every request has a time-out, and a failed refresh is tried again by the job's next run.
The keys stay in the SDK's client: no text, log line or repr of ours carries them, and what the service says in an
error is scrubbed of them.
"""

import datetime as dt
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from pydantic import SecretStr

from packages.domain.market_data.bars import BarValue
from packages.domain.market_data.provider import (
    MarketDataError,
    ProviderRefusedError,
    ProviderUnavailableError,
    UnknownSymbolError,
    UnsupportedTimeframeError,
)
from packages.domain.market_data.timeframes import bar_length

if TYPE_CHECKING:
    from alpaca.common.exceptions import APIError
    from alpaca.data.historical.stock import StockHistoricalDataClient
    from alpaca.data.models import Bar
    from alpaca.data.requests import StockBarsRequest
    from requests import PreparedRequest, Response

NAME = "alpaca"
Feed = Literal["iex", "sip", "delayed_sip", "otc", "boats", "overnight"]
Adjustment = Literal["raw", "split", "dividend", "all"]

# How far back the first request for a symbol goes: enough for a strategy to warm up.
FIRST_HISTORY = {
    "1d": dt.timedelta(days=400),
    "1h": dt.timedelta(days=60),
    "1m": dt.timedelta(days=5),
}
_LONGEST_SERVICE_TEXT = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class AlpacaOptions:
    """The account and the kind of bars. The keys are secrets: their repr is masked.

    `feed` must be part of the account's plan; `base_url` replaces the service's address.

    Raises:
        ValueError: an empty key, or a time-out that is not above 0.
    """

    api_key: SecretStr
    secret_key: SecretStr
    feed: Feed = "iex"
    adjustment: Adjustment = "split"
    base_url: str | None = None
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if not self.api_key.get_secret_value() or not self.secret_key.get_secret_value():
            raise ValueError(f"{NAME}: both the API key and the secret key are needed")
        if self.timeout_s <= 0:
            raise ValueError(f"{NAME}: timeout_s must be above 0: {self.timeout_s}")


class AlpacaProvider:
    """Bars of US stocks: timeframes `1d`, `1h`, `1m`.

    A daily bar opens at midnight in New York. A bar is finished when its full length is over, so the bar of a day
    comes at the midnight that ends it.
    """

    def __init__(self, options: AlpacaOptions) -> None:
        self._options = options
        self._client: StockHistoricalDataClient | None = None
        self._client_lock = threading.Lock()

    def bars(self, *, symbol: str, timeframe: str, after: dt.datetime | None, until: dt.datetime) -> Iterator[BarValue]:
        """The bars with `opened_at > after` whose length was over at `until`, all pages of them, oldest first.

        Raises:
            UnknownSymbolError: the service says that the symbol is not one.
            UnsupportedTimeframeError: another timeframe.
            ProviderRefusedError: the keys are wrong, or the plan does not include the feed.
            ProviderUnavailableError: no answer in time, overload, outage, or an answer that makes no sense.
        """
        if timeframe not in FIRST_HISTORY:
            allowed = ", ".join(FIRST_HISTORY)
            raise UnsupportedTimeframeError(
                f"{NAME}: timeframe {timeframe!r} is not served; allowed: {allowed}", provider=NAME, symbol=symbol
            )
        start = after if after is not None else until - FIRST_HISTORY[timeframe]
        length = bar_length(timeframe)
        found = sorted(self._fetch(symbol, timeframe, start, until), key=lambda bar: bar.opened_at)
        return (bar for bar in found if (after is None or bar.opened_at > after) and bar.opened_at + length <= until)

    def _fetch(self, symbol: str, timeframe: str, start: dt.datetime, end: dt.datetime) -> list[BarValue]:
        from alpaca.common.exceptions import APIError
        from requests import RequestException

        try:
            answer = self._connected().get_stock_bars(self._request(symbol, timeframe, start, end))
            # The client is made without `raw_data`, so this is its BarSet.
            bars: list[Bar] = answer.data.get(symbol, [])  # type: ignore[union-attr]
            return [_bar(bar) for bar in bars]
        except APIError as error:
            raise self._from_status(symbol, error) from None
        except RequestException as error:
            # The text of these holds the address with its query, which says nothing more; the type says enough.
            raise self._unavailable(symbol, f"no usable answer ({type(error).__name__})") from None
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
            raise self._unavailable(symbol, f"an answer that makes no sense ({type(error).__name__})") from None

    def _request(self, symbol: str, timeframe: str, start: dt.datetime, end: dt.datetime) -> "StockBarsRequest":
        from alpaca.data.enums import Adjustment as SdkAdjustment
        from alpaca.data.enums import DataFeed
        from alpaca.data.requests import StockBarsRequest
        from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

        units = {"1d": TimeFrameUnit.Day, "1h": TimeFrameUnit.Hour, "1m": TimeFrameUnit.Minute}
        return StockBarsRequest(
            symbol_or_symbols=symbol,
            timeframe=TimeFrame(1, units[timeframe]),
            start=start,
            end=end,
            feed=DataFeed(self._options.feed),
            adjustment=SdkAdjustment(self._options.adjustment),
        )

    def _connected(self) -> "StockHistoricalDataClient":
        with self._client_lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> "StockHistoricalDataClient":
        from alpaca.data.historical.stock import StockHistoricalDataClient
        from requests.adapters import HTTPAdapter

        timeout_s = self._options.timeout_s

        class BoundedAdapter(HTTPAdapter):
            def send(self, request: "PreparedRequest", **options: Any) -> "Response":  # type: ignore[override]  # noqa: ANN401 - passed through as they come
                return super().send(request, **{**options, "timeout": timeout_s})

        client = StockHistoricalDataClient(
            api_key=self._options.api_key.get_secret_value(),
            secret_key=self._options.secret_key.get_secret_value(),
            url_override=self._options.base_url,
        )
        # The SDK waits 3 s up to three times on 429 and sets no time-out, and this client takes no argument for
        # either. One try at a time: the job has its own retries.
        client._retry = 0  # noqa: SLF001 - see above
        for scheme in ("https://", "http://"):
            client._session.mount(scheme, BoundedAdapter())  # noqa: SLF001 - see above
        return client

    def _from_status(self, symbol: str, error: "APIError") -> MarketDataError:
        status: int | None = error.status_code
        said = self._scrubbed(_service_message(error))
        text = f"{NAME}: {symbol}: status {status}: {said}"
        if status in {404, 422} or (status == 400 and "invalid symbol" in said.lower()):  # noqa: PLR2004 - HTTP's numbers
            return UnknownSymbolError(text, provider=NAME, symbol=symbol)
        if status is None or status in {408, 429} or status >= 500:  # noqa: PLR2004 - HTTP's numbers
            return ProviderUnavailableError(text, provider=NAME, symbol=symbol)
        return ProviderRefusedError(text, provider=NAME, symbol=symbol)

    def _unavailable(self, symbol: str, what: str) -> ProviderUnavailableError:
        return ProviderUnavailableError(f"{NAME}: {symbol}: {what}", provider=NAME, symbol=symbol)

    def _scrubbed(self, text: str) -> str:
        for secret in (self._options.api_key, self._options.secret_key):
            text = text.replace(secret.get_secret_value(), "****")
        return text[:_LONGEST_SERVICE_TEXT]


def _service_message(error: "APIError") -> str:
    """What the service says in its error: `message` of the JSON, else the start of the text on one line."""
    text = str(error)
    try:
        body = json.loads(text)
    except ValueError:
        return " ".join(text.split())
    return str(body.get("message", "")) if isinstance(body, dict) else " ".join(text.split())


def _bar(bar: "Bar") -> BarValue:
    # The SDK gives floats. Their shortest text is what the service sent, so nothing is made up behind the digits.
    return BarValue(
        opened_at=bar.timestamp,
        open=Decimal(repr(bar.open)),
        high=Decimal(repr(bar.high)),
        low=Decimal(repr(bar.low)),
        close=Decimal(repr(bar.close)),
        volume=Decimal(repr(bar.volume)),
    )
