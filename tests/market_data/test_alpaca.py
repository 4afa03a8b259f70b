import datetime as dt
import subprocess
import sys
import traceback
from decimal import Decimal
from typing import Protocol

import pytest
from pydantic import SecretStr

from packages.domain.market_data.bars import BarValue
from packages.domain.market_data.provider import (
    MarketDataError,
    ProviderRefusedError,
    ProviderUnavailableError,
    UnknownSymbolError,
    UnsupportedTimeframeError,
)
from packages.infra.providers.alpaca import AlpacaOptions, AlpacaProvider

# The SDK imports its streaming client on the way, over a part of `websockets` that is to go.
pytestmark = pytest.mark.filterwarnings("ignore:websockets.legacy is deprecated:DeprecationWarning")

KEY, SECRET = "PKTESTKEY", "s3cr3t-of-the-account"
MIDNIGHT_NEW_YORK = dt.datetime(2026, 3, 3, 5, tzinfo=dt.UTC)


class Stub(Protocol):
    """The part of the fixture that these tests use."""

    answers: list[tuple[int, str]]
    asked: list[tuple[str, dict[str, str], str | None]]
    is_stalling: bool

    @property
    def url(self) -> str: ...

    def serve_bars(self, symbol: str, *pages: list[dict[str, object]]) -> None: ...


def make_provider(url: str, *, timeout_s: float = 10.0) -> AlpacaProvider:
    return AlpacaProvider(
        AlpacaOptions(
            api_key=SecretStr(KEY), secret_key=SecretStr(SECRET), base_url=url, timeout_s=timeout_s, adjustment="all"
        )
    )


def raw_bar(opened_at: dt.datetime, close: float = 10.25) -> dict[str, object]:
    stamp = opened_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"t": stamp, "o": 10.1, "h": 10.5, "l": 9.99, "c": close, "v": 1500, "n": 12, "vw": 10.2}


def ask(
    provider: AlpacaProvider,
    *,
    timeframe: str = "1d",
    after: dt.datetime | None = None,
    until: dt.datetime = MIDNIGHT_NEW_YORK,
) -> list[BarValue]:
    return list(provider.bars(symbol="ACME", timeframe=timeframe, after=after, until=until))


def test_all_pages_are_read_and_only_finished_new_bars_are_given(alpaca_stub: Stub) -> None:
    day = dt.timedelta(days=1)
    opened = [MIDNIGHT_NEW_YORK - number * day for number in (3, 2, 1, 0)]
    alpaca_stub.serve_bars("ACME", [raw_bar(opened[0]), raw_bar(opened[1])], [raw_bar(opened[2]), raw_bar(opened[3])])
    bars = ask(make_provider(alpaca_stub.url), after=opened[0])
    assert [bar.opened_at for bar in bars] == [opened[1], opened[2]]
    assert (bars[0].open, bars[0].low, bars[0].volume) == (Decimal("10.1"), Decimal("9.99"), Decimal(1500))
    (path, first, key), (_, second, _) = alpaca_stub.asked
    assert (path, key) == ("/v2/stocks/bars", KEY)
    assert "page_token" not in first
    assert second["page_token"] == "page-1"
    assert first["symbols"] == "ACME"
    assert (first["timeframe"], first["feed"], first["adjustment"]) == ("1Day", "iex", "all")
    assert first["start"].startswith("2026-02-28T05:00:00")
    assert first["end"].startswith("2026-03-03T05:00:00")


@pytest.mark.parametrize(("timeframe", "asked", "length_s"), [("1h", "1Hour", 3600), ("1m", "1Min", 60)])
def test_shorter_timeframes(alpaca_stub: Stub, timeframe: str, asked: str, length_s: int) -> None:
    length = dt.timedelta(seconds=length_s)
    until = MIDNIGHT_NEW_YORK + dt.timedelta(hours=15)
    alpaca_stub.serve_bars("ACME", [raw_bar(until - length), raw_bar(until - length + dt.timedelta(seconds=1))])
    bars = ask(make_provider(alpaca_stub.url), timeframe=timeframe, until=until)
    assert [bar.opened_at for bar in bars] == [until - length]
    assert alpaca_stub.asked[0][1]["timeframe"] == asked


def test_a_new_symbol_gets_history(alpaca_stub: Stub) -> None:
    alpaca_stub.answers.append((200, '{"bars": {}, "next_page_token": null}'))
    assert ask(make_provider(alpaca_stub.url)) == []
    assert alpaca_stub.asked[0][1]["start"].startswith("2025-01-27")


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, '{"message": "unauthorized."}', ProviderRefusedError, "status 401: unauthorized."),
        (403, '{"message": "forbidden."}', ProviderRefusedError, "status 403: forbidden."),
        (403, f"no such key {KEY} {SECRET}", ProviderRefusedError, r"no such key \*\*\*\* \*\*\*\*"),
        (400, '{"message": "invalid symbol: ACME"}', UnknownSymbolError, "status 400: invalid symbol"),
        (400, '{"message": "invalid feed"}', ProviderRefusedError, "status 400: invalid feed"),
        (404, '{"message": "not found"}', UnknownSymbolError, "status 404"),
        (422, '{"message": "unprocessable"}', UnknownSymbolError, "status 422"),
        (429, '{"message": "too many requests."}', ProviderUnavailableError, "status 429: too many requests."),
        (500, "<html>\noops</html>", ProviderUnavailableError, "status 500: <html> oops</html>"),
        (504, "", ProviderUnavailableError, "status 504"),
        (302, "", ProviderUnavailableError, "makes no sense"),
        (200, "not json", ProviderUnavailableError, "no usable answer"),
        (200, "[]", ProviderUnavailableError, "makes no sense"),
        (200, '{"bars": null, "next_page_token": null}', ProviderUnavailableError, "makes no sense"),
        (200, '{"bars": {"ACME": [{"t": "x"}]}, "next_page_token": null}', ProviderUnavailableError, "makes no sense"),
    ],
)
def test_each_failure_has_its_kind(
    alpaca_stub: Stub, status: int, body: str, kind: type[MarketDataError], said: str
) -> None:
    alpaca_stub.answers.append((status, body))
    with pytest.raises(kind, match=said) as caught:
        ask(make_provider(alpaca_stub.url))
    assert (caught.value.provider, caught.value.symbol) == ("alpaca", "ACME")
    assert len(alpaca_stub.asked) == 1
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert SECRET not in shown


def test_a_refusal_on_a_later_page_gives_no_bars(alpaca_stub: Stub) -> None:
    alpaca_stub.serve_bars("ACME", [raw_bar(MIDNIGHT_NEW_YORK - dt.timedelta(days=1))], [])
    alpaca_stub.answers[1] = (429, '{"message": "too many requests."}')
    with pytest.raises(ProviderUnavailableError):
        ask(make_provider(alpaca_stub.url))


def test_a_server_that_does_not_answer_is_unavailable(alpaca_stub: Stub) -> None:
    alpaca_stub.is_stalling = True
    with pytest.raises(ProviderUnavailableError, match=r"no usable answer \(ReadTimeout\)"):
        ask(make_provider(alpaca_stub.url, timeout_s=0.1))


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(ProviderUnavailableError, match=r"no usable answer \(ConnectionError\)"):
        ask(make_provider("http://127.0.0.1:1"))


def test_an_unknown_timeframe_is_not_asked_for(alpaca_stub: Stub) -> None:
    with pytest.raises(UnsupportedTimeframeError, match="'5m' is not served; allowed: 1d, 1h, 1m"):
        ask(make_provider(alpaca_stub.url), timeframe="5m")
    assert alpaca_stub.asked == []


def test_options_are_checked_and_keep_their_secrets() -> None:
    options = AlpacaOptions(api_key=SecretStr(KEY), secret_key=SecretStr(SECRET))
    assert KEY not in repr(options)
    assert SECRET not in repr(options)
    with pytest.raises(ValueError, match="both the API key and the secret key"):
        AlpacaOptions(api_key=SecretStr(KEY), secret_key=SecretStr(""))
    with pytest.raises(ValueError, match="timeout_s must be above 0"):
        AlpacaOptions(api_key=SecretStr(KEY), secret_key=SecretStr(SECRET), timeout_s=0)


def test_the_sdk_is_not_imported_before_it_is_needed() -> None:
    script = "import sys; import packages.infra.providers.factory; print('alpaca' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
