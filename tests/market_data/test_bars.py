import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from packages.domain.market_data.bars import (
    ROWS_PER_STATEMENT,
    BarValue,
    bar_values,
    last_opened_at,
    stored_bars,
    upsert_bars,
)

START = dt.datetime(2026, 3, 2, 14, 30, tzinfo=dt.UTC)


def make_bar(minute: int = 0, *, close: str = "10.5", volume: str = "100") -> BarValue:
    return BarValue(
        opened_at=START + dt.timedelta(minutes=minute),
        open=Decimal(10),
        high=Decimal(12),
        low=Decimal(9),
        close=Decimal(close),
        volume=Decimal(volume),
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"opened_at": dt.datetime(2026, 3, 2)}, "time zone"),  # noqa: DTZ001 - the naive instant is the point
        ({"close": Decimal("NaN")}, "close must be a finite number"),
        ({"high": Decimal("Infinity")}, "high must be a finite number"),
        ({"volume": Decimal(10) ** 16}, "volume must be a finite number below 1e16"),
        ({"volume": Decimal(-1)}, "volume must be at least 0"),
        ({"low": Decimal("10.1")}, "must lie between low 10.1"),
        ({"high": Decimal("10.4")}, "must lie between low"),
    ],
)
def test_a_bar_that_cannot_be_is_refused(change: dict[str, object], said: str) -> None:
    values: dict[str, object] = {
        "opened_at": START,
        "open": Decimal(10),
        "high": Decimal(12),
        "low": Decimal(9),
        "close": Decimal("10.5"),
        "volume": Decimal(0),
    }
    with pytest.raises(ValueError, match=said):
        BarValue(**(values | change))  # type: ignore[arg-type]


def test_upsert_counts_what_is_new_or_changed(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        bars = [make_bar(0), make_bar(1)]
        assert upsert_bars(session, symbol="ACME", timeframe="1m", bars=bars) == 2
        assert upsert_bars(session, symbol="ACME", timeframe="1m", bars=bars) == 0
        assert upsert_bars(session, symbol="ACME", timeframe="1m", bars=[make_bar(1, close="11"), make_bar(2)]) == 2
        assert upsert_bars(session, symbol="ACME", timeframe="1m", bars=[]) == 0
        stored = stored_bars(session, symbol="ACME", timeframe="1m")
        assert [bar.close for bar in stored] == [Decimal("10.5"), Decimal(11), Decimal("10.5")]


def test_digits_that_the_column_cannot_hold_do_not_count_as_a_change(engine: Engine) -> None:
    bar = make_bar(close="10.123456789123")
    with Session(engine) as session, session.begin():
        assert upsert_bars(session, symbol="ACME", timeframe="1m", bars=[bar]) == 1
        assert upsert_bars(session, symbol="ACME", timeframe="1m", bars=[bar]) == 0


def test_of_two_bars_of_one_instant_the_later_is_kept(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        bars = [make_bar(close="10"), make_bar(close="11")]
        assert upsert_bars(session, symbol="ACME", timeframe="1m", bars=bars) == 1
        assert stored_bars(session, symbol="ACME", timeframe="1m")[0].close == 11


def test_more_bars_than_one_statement_takes(engine: Engine) -> None:
    count = ROWS_PER_STATEMENT + 3
    with Session(engine) as session, session.begin():
        bars = [make_bar(minute) for minute in reversed(range(count))]
        assert upsert_bars(session, symbol="ACME", timeframe="1m", bars=bars) == count
        assert last_opened_at(session, symbol="ACME", timeframe="1m") == START + dt.timedelta(minutes=count - 1)


def test_stored_bars_are_the_newest_up_to_an_instant_oldest_first(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        upsert_bars(session, symbol="ACME", timeframe="1m", bars=[make_bar(minute) for minute in range(5)])
        upsert_bars(session, symbol="ACME", timeframe="1h", bars=[make_bar(0)])
        upsert_bars(session, symbol="OTHER", timeframe="1m", bars=[make_bar(9)])
        until = START + dt.timedelta(minutes=3)
        stored = stored_bars(session, symbol="ACME", timeframe="1m", until=until, limit=2)
        assert [bar.opened_at for bar in stored] == [START + dt.timedelta(minutes=2), until]
        assert len(stored_bars(session, symbol="ACME", timeframe="1m")) == 5
        assert stored_bars(session, symbol="NONE", timeframe="1m") == []
        assert last_opened_at(session, symbol="NONE", timeframe="1m") is None


def test_a_session_that_has_read_a_bar_sees_its_correction(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        upsert_bars(session, symbol="ACME", timeframe="1m", bars=[make_bar(close="10")])
        before = stored_bars(session, symbol="ACME", timeframe="1m")
        assert before[0].close == 10
        upsert_bars(session, symbol="ACME", timeframe="1m", bars=[make_bar(close="11")])
        assert stored_bars(session, symbol="ACME", timeframe="1m")[0].close == 11


def test_writers_with_other_orders_wait_for_each_other_and_do_not_deadlock(engine: Engine) -> None:
    def write_backwards() -> int:
        with Session(engine) as other, other.begin():
            return upsert_bars(other, symbol="ACME", timeframe="1m", bars=[make_bar(1), make_bar(0)])

    with ThreadPoolExecutor(1) as pool, Session(engine) as session:
        with session.begin():
            upsert_bars(session, symbol="ACME", timeframe="1m", bars=[make_bar(0)])
            backwards = pool.submit(write_backwards)
            wait_until_somebody_waits(engine)
            # In another order the other writer would hold this bar by now, and wait for ours.
            assert upsert_bars(session, symbol="ACME", timeframe="1m", bars=[make_bar(1)]) == 1
        assert backwards.result(timeout=30) == 0


def wait_until_somebody_waits(engine: Engine) -> None:
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(3000):
        with engine.connect() as connection:
            if connection.scalar(query):
                return
        time.sleep(0.01)
    pytest.fail("no writer waits for another")


def test_bars_can_be_read_in_chunks_between_two_instants(engine: Engine) -> None:
    bars = [make_bar(minute) for minute in range(6)]
    with Session(engine) as session, session.begin():
        upsert_bars(session, symbol="ACME", timeframe="1m", bars=bars)

        def read(after: dt.datetime | None, limit: int) -> list[BarValue]:
            until = bars[4].opened_at
            return bar_values(session, symbol="ACME", timeframe="1m", after=after, until=until, limit=limit)

        assert read(None, 2) == bars[:2]
        assert read(bars[1].opened_at, 9) == bars[2:5]
        assert read(bars[4].opened_at, 9) == []
