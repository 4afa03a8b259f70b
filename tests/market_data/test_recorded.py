import datetime as dt
import itertools
import subprocess
import sys
from decimal import Decimal
from functools import partial

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from packages.domain.market_data.bars import stored_bars
from packages.domain.market_data.models import Subscription
from packages.domain.market_data.provider import UnknownSymbolError, UnsupportedTimeframeError
from packages.domain.market_data.refresh import refresh_active_subscriptions
from packages.infra.providers.recorded import RecordedProvider
from packages.infra.providers.replay_clock import ReplayClock

ANCHOR = dt.datetime(2026, 11, 22, 9, tzinfo=dt.UTC)
TEN_SECONDS = dt.timedelta(seconds=10)
SYMBOLS = ("^GSPC", "^IXIC")


def day(year: int, month: int, number: int) -> dt.datetime:
    return dt.datetime(year, month, number, tzinfo=dt.UTC)


@pytest.fixture
def provider() -> RecordedProvider:
    return RecordedProvider(ReplayClock(anchor=ANCHOR, speed=8640))


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_year_of_history_is_there_at_once(provider: RecordedProvider, symbol: str) -> None:
    bars = list(provider.bars(symbol=symbol, timeframe="1d", after=None, until=ANCHOR))
    assert len(bars) == 252
    assert (bars[0].opened_at, bars[-1].opened_at) == (day(1999, 1, 4), day(1999, 12, 31))
    assert all(earlier.opened_at < later.opened_at for earlier, later in itertools.pairwise(bars))


def test_the_prices_are_the_recorded_ones_to_the_last_digit(provider: RecordedProvider) -> None:
    first = next(provider.bars(symbol="^GSPC", timeframe="1d", after=None, until=ANCHOR))
    assert (first.open, first.high) == (Decimal("1229.22998"), Decimal("1248.810059"))
    assert (first.low, first.close) == (Decimal("1219.099976"), Decimal("1228.099976"))
    assert first.volume == 877_000_000


def test_a_bar_comes_when_its_day_is_over(provider: RecordedProvider) -> None:
    last = day(1999, 12, 31)
    almost = ANCHOR + TEN_SECONDS - dt.timedelta(milliseconds=1)
    assert list(provider.bars(symbol="^GSPC", timeframe="1d", after=last, until=almost)) == []
    (bar,) = provider.bars(symbol="^GSPC", timeframe="1d", after=last, until=ANCHOR + TEN_SECONDS)
    assert bar.opened_at == day(2000, 1, 3)


def test_after_the_end_there_are_no_new_bars_and_one_line_says_so(
    provider: RecordedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    long_after = ANCHOR + dt.timedelta(days=3000)
    for symbol in SYMBOLS:
        bars = list(provider.bars(symbol=symbol, timeframe="1d", after=day(2018, 12, 28), until=long_after))
        assert [bar.opened_at for bar in bars] == [day(2018, 12, 31)]
        assert list(provider.bars(symbol=symbol, timeframe="1d", after=day(2018, 12, 31), until=long_after)) == []
    assert caplog.messages == ["market_data_recording_ended"]


def test_what_was_not_recorded_is_named(provider: RecordedProvider) -> None:
    with pytest.raises(UnknownSymbolError, match=r"'ACME' was not recorded; there are: \^GSPC, \^IXIC"):
        provider.bars(symbol="ACME", timeframe="1d", after=None, until=ANCHOR)
    with pytest.raises(UnsupportedTimeframeError, match="recorded as 1d bars, not as '1h'"):
        provider.bars(symbol="^GSPC", timeframe="1h", after=None, until=ANCHOR)


def test_the_package_with_the_data_is_not_imported() -> None:
    script = (
        "import sys, datetime as dt\n"
        "from packages.infra.providers.recorded import RecordedProvider\n"
        "from packages.infra.providers.replay_clock import ReplayClock\n"
        "now = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)\n"
        "provider = RecordedProvider(ReplayClock(anchor=now, speed=8640))\n"
        "assert list(provider.bars(symbol='^IXIC', timeframe='1d', after=None, until=now))\n"
        "print(sorted({'arch', 'pandas', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_refreshes_follow_the_replay(engine: Engine, provider: RecordedProvider) -> None:
    sessions = sessionmaker(engine)
    with sessions() as session, session.begin():
        session.add_all(Subscription(symbol=symbol, exchange="XNYS") for symbol in SYMBOLS)
    counts = [
        refresh_active_subscriptions(sessions, provider=provider, now=partial(ANCHOR.__add__, step * TEN_SECONDS)).bars
        for step in (0, 0, 1, 7)
    ]
    # 2000-01-03 was a Monday, so the six days after it hold four sessions.
    assert counts == [504, 0, 2, 8]
    with Session(engine) as session:
        (newest,) = stored_bars(session, symbol="^IXIC", timeframe="1d", limit=1)
        assert newest.opened_at == day(2000, 1, 7)
