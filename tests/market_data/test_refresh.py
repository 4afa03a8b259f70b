import datetime as dt
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, sessionmaker

from packages.domain.market_data.bars import BarValue, stored_bars
from packages.domain.market_data.models import Bar, Subscription
from packages.domain.market_data.provider import ProviderRefusedError, ProviderUnavailableError
from packages.domain.market_data.refresh import RefreshFailedError, refresh_active_subscriptions
from packages.domain.market_data.timeframes import bar_length

NOW = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
FIRST = dt.datetime(2026, 2, 27, tzinfo=dt.UTC)


def clock(since: dt.timedelta = dt.timedelta(0)) -> Callable[[], dt.datetime]:
    """A clock that stands still, `since` after NOW."""
    return lambda: NOW + since


class GridProvider:
    """Gives a bar for each length of the timeframe since `FIRST`; the symbols in `failing` raise their error."""

    def __init__(self, failing: Mapping[str, Exception] | None = None, meet: threading.Barrier | None = None) -> None:
        self.failing = failing or {}
        self.meet = meet
        self.asked: list[tuple[str, str, dt.datetime | None]] = []

    def bars(self, *, symbol: str, timeframe: str, after: dt.datetime | None, until: dt.datetime) -> Iterator[BarValue]:
        self.asked.append((symbol, timeframe, after))
        if self.meet is not None:
            self.meet.wait(timeout=30)
        length = bar_length(timeframe)
        opened_at = FIRST if after is None else after + length
        while opened_at + length <= until:
            price = Decimal(10)
            yield BarValue(opened_at=opened_at, open=price, high=price, low=price, close=price, volume=Decimal(1))
            opened_at += length
        # Raised while the answer is being read, as a provider that pages does.
        if symbol in self.failing:
            raise self.failing[symbol]


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return sessionmaker(engine)


def subscribe(sessions: sessionmaker[Session], *wanted: tuple[str, str], is_active: bool = True) -> None:
    with sessions() as session, session.begin():
        for symbol, timeframe in wanted:
            session.add(Subscription(symbol=symbol, timeframe=timeframe, exchange="XNYS", is_active=is_active))


def rows(sessions: sessionmaker[Session]) -> dict[tuple[str, str], Subscription]:
    with sessions() as session:
        return {(row.symbol, row.timeframe): row for row in session.scalars(select(Subscription))}


def test_each_run_asks_for_what_came_since_the_last_stored_bar(sessions: sessionmaker[Session]) -> None:
    subscribe(sessions, ("ACME", "1d"), ("ACME", "1h"))
    provider = GridProvider()
    first = refresh_active_subscriptions(sessions, provider=provider, now=clock())
    assert [(outcome.timeframe, outcome.bars) for outcome in first.outcomes] == [("1d", 3), ("1h", 72)]
    second = refresh_active_subscriptions(sessions, provider=provider, now=clock(dt.timedelta(hours=1)))
    assert [outcome.bars for outcome in second.outcomes] == [0, 1]
    assert provider.asked[2:] == [
        ("ACME", "1d", NOW - dt.timedelta(days=1)),
        ("ACME", "1h", NOW - dt.timedelta(hours=1)),
    ]
    with sessions() as session:
        assert len(stored_bars(session, symbol="ACME", timeframe="1h")) == 73
    assert rows(sessions)["ACME", "1d"].last_refreshed_at == NOW + dt.timedelta(hours=1)


def test_a_failing_symbol_does_not_stop_the_others(sessions: sessionmaker[Session]) -> None:
    subscribe(sessions, ("AAA", "1d"), ("BBB", "1d"))
    failing = {"AAA": ProviderRefusedError("stub: not in the plan", provider="stub", symbol="AAA")}
    result = refresh_active_subscriptions(sessions, provider=GridProvider(failing), now=clock())
    assert result.bars == 3
    assert [(outcome.symbol, outcome.error) for outcome in result.failed] == [("AAA", "stub: not in the plan")]
    bad, good = rows(sessions)["AAA", "1d"], rows(sessions)["BBB", "1d"]
    assert (bad.last_error, bad.last_refreshed_at) == ("stub: not in the plan", None)
    assert (good.last_error, good.last_refreshed_at) == (None, NOW)
    with sessions() as session:
        assert stored_bars(session, symbol="AAA", timeframe="1d") == []


def test_a_good_refresh_clears_the_error(sessions: sessionmaker[Session]) -> None:
    subscribe(sessions, ("AAA", "1d"), ("BBB", "1d"))
    failing = {"AAA": ProviderUnavailableError("stub: status 503", provider="stub", symbol="AAA")}
    refresh_active_subscriptions(sessions, provider=GridProvider(failing), now=clock())
    refresh_active_subscriptions(sessions, provider=GridProvider(), now=clock(dt.timedelta(seconds=1)))
    assert rows(sessions)["AAA", "1d"].last_error is None
    assert rows(sessions)["AAA", "1d"].last_refreshed_at == NOW + dt.timedelta(seconds=1)


def test_a_late_success_does_not_turn_the_time_back(sessions: sessionmaker[Session]) -> None:
    subscribe(sessions, ("AAA", "1d"))
    for since in (dt.timedelta(0), -dt.timedelta(seconds=1)):
        refresh_active_subscriptions(sessions, provider=GridProvider(), now=clock(since))
    assert rows(sessions)["AAA", "1d"].last_refreshed_at == NOW


def test_a_late_failure_does_not_hide_a_newer_good_refresh(sessions: sessionmaker[Session]) -> None:
    subscribe(sessions, ("AAA", "1d"), ("BBB", "1d"))
    refresh_active_subscriptions(sessions, provider=GridProvider(), now=clock())
    failing = {"AAA": ProviderUnavailableError("stub: status 503", provider="stub", symbol="AAA")}
    refresh_active_subscriptions(sessions, provider=GridProvider(failing), now=clock(-dt.timedelta(seconds=1)))
    assert rows(sessions)["AAA", "1d"].last_error is None
    assert rows(sessions)["AAA", "1d"].last_refreshed_at == NOW


@pytest.mark.parametrize(
    ("second", "retryable"),
    [
        (ProviderUnavailableError("stub: time-out", provider="stub", symbol="BBB"), True),
        (ProviderRefusedError("stub: status 403", provider="stub", symbol="BBB"), False),
    ],
)
def test_all_failing_is_a_failure(sessions: sessionmaker[Session], second: Exception, retryable: bool) -> None:  # noqa: FBT001 - a column of the table
    subscribe(sessions, ("AAA", "1d"), ("BBB", "1d"))
    failing = {"AAA": ProviderRefusedError("stub: status 401", provider="stub", symbol="AAA"), "BBB": second}
    with pytest.raises(
        RefreshFailedError, match="all 2 active subscriptions failed; the first, AAA 1d: stub"
    ) as caught:
        refresh_active_subscriptions(sessions, provider=GridProvider(failing), now=clock())
    assert caught.value.retryable is retryable
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert (str(copy), copy.result) == (str(caught.value), caught.value.result)
    assert rows(sessions)["BBB", "1d"].last_error == str(second)


def test_a_crash_of_the_provider_is_kept_without_its_text(
    sessions: sessionmaker[Session], caplog: pytest.LogCaptureFixture
) -> None:
    subscribe(sessions, ("AAA", "1d"), ("BBB", "1d"))
    failing: dict[str, Exception] = {"AAA": RuntimeError("key=topsecret")}
    result = refresh_active_subscriptions(sessions, provider=GridProvider(failing), now=clock())
    assert result.bars == 3
    assert rows(sessions)["AAA", "1d"].last_error == "unexpected RuntimeError of the provider"
    assert "market_data_provider_crashed" in caplog.messages


class StoppedError(Exception):
    """What a caller ends a run with, as a time limit of a queue does."""


def test_an_interrupt_is_no_failure_of_the_provider(sessions: sessionmaker[Session]) -> None:
    subscribe(sessions, ("AAA", "1d"), ("BBB", "1d"))
    provider = GridProvider({"AAA": StoppedError()})
    with pytest.raises(StoppedError):
        refresh_active_subscriptions(sessions, provider=provider, now=clock(), interrupts=(StoppedError,))
    assert [symbol for symbol, _, _ in provider.asked] == ["AAA"]
    assert rows(sessions)["AAA", "1d"].last_error is None


def test_what_one_run_has_no_time_for_is_the_first_of_the_next(sessions: sessionmaker[Session]) -> None:
    subscribe(sessions, ("AAA", "1d"), ("BBB", "1d"), ("CCC", "1d"), ("DDD", "1d"))
    failing = {"AAA": ProviderUnavailableError("stub: time-out", provider="stub", symbol="AAA")}

    def run(hour: int) -> tuple[list[str], int]:
        # Readings: one at the start, then one before each subscription, a minute apart.
        readings = iter(range(10))
        provider = GridProvider(failing)
        result = refresh_active_subscriptions(
            sessions,
            provider=provider,
            now=lambda: NOW + dt.timedelta(hours=hour, minutes=next(readings)),
            run_for=dt.timedelta(minutes=3),
        )
        return [symbol for symbol, _, _ in provider.asked], result.left

    assert run(0) == (["AAA", "BBB"], 2)
    assert run(1) == (["CCC", "DDD"], 2)
    assert run(2) == (["BBB", "CCC"], 2)
    assert run(3) == (["DDD", "BBB"], 2)


def test_time_that_runs_out_while_all_fail_is_told(sessions: sessionmaker[Session]) -> None:
    subscribe(sessions, ("AAA", "1d"), ("BBB", "1d"))
    readings = iter(range(3))
    failing = {"AAA": ProviderUnavailableError("stub: time-out", provider="stub", symbol="AAA")}
    with pytest.raises(RefreshFailedError, match="all 1 active subscriptions failed and 1 were not reached; the first"):
        refresh_active_subscriptions(
            sessions,
            provider=GridProvider(failing),
            now=lambda: NOW + dt.timedelta(minutes=next(readings)),
            run_for=dt.timedelta(minutes=2),
        )


def test_no_time_at_all_is_refused(sessions: sessionmaker[Session]) -> None:
    with pytest.raises(ValueError, match="run_for must be above 0"):
        refresh_active_subscriptions(sessions, provider=GridProvider(), now=clock(), run_for=dt.timedelta(0))


def test_only_active_subscriptions_are_asked_for_and_none_is_no_failure(sessions: sessionmaker[Session]) -> None:
    subscribe(sessions, ("AAA", "1d"), is_active=False)
    provider = GridProvider()
    assert refresh_active_subscriptions(sessions, provider=provider, now=clock()).outcomes == ()
    assert provider.asked == []


def test_two_refreshes_at_once_store_each_bar_once(sessions: sessionmaker[Session]) -> None:
    subscribe(sessions, ("AAA", "1h"), ("BBB", "1h"))
    provider = GridProvider(meet=threading.Barrier(2))
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(refresh_active_subscriptions, sessions, provider=provider, now=clock()) for _ in range(2)]
        results = [run.result(timeout=60) for run in runs]
    assert all(result.failed == () for result in results)
    assert sum(result.bars for result in results) == 144
    with sessions() as session:
        assert len(session.scalars(select(Bar)).all()) == 144


def test_an_unknown_timeframe_is_named() -> None:
    with pytest.raises(ValueError, match="timeframe '7m' is not known; allowed: 1m, 1h, 1d"):
        bar_length("7m")
