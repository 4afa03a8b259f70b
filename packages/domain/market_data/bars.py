"""Reads and writes stored bars. Never asks a provider, never commits: the caller owns the transaction."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import CursorResult, Text, bindparam, column, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session

from packages.domain.market_data.models import Bar

# The columns are numeric(24, 8): sixteen digits before the point.
LARGEST_AMOUNT = Decimal(10) ** 16
ROWS_PER_STATEMENT = 5000
_MEASURES = ("open", "high", "low", "close", "volume")
_COLUMNS = ("opened_at", *_MEASURES)


@dataclass(frozen=True, kw_only=True, slots=True)
class BarValue:
    """One finished price bar. `opened_at` is aware; prices are in the symbol's currency and may be negative.

    Raises:
        ValueError: a naive instant, a value that is not a finite number or too large to store, a negative volume,
            or an open or close outside of [low, high].
    """

    opened_at: dt.datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    def __post_init__(self) -> None:
        if self.opened_at.utcoffset() is None:
            raise ValueError(f"bar {self.opened_at.isoformat()}: opened_at must carry a time zone")
        for name in _MEASURES:
            value: Decimal = getattr(self, name)
            if not value.is_finite() or abs(value) >= LARGEST_AMOUNT:
                raise ValueError(
                    f"bar {self.opened_at.isoformat()}: {name} must be a finite number below 1e16: {value}"
                )
        if self.volume < 0:
            raise ValueError(f"bar {self.opened_at.isoformat()}: volume must be at least 0: {self.volume}")
        if self.low > min(self.open, self.close) or self.high < max(self.open, self.close):
            raise ValueError(
                f"bar {self.opened_at.isoformat()}: open {self.open} and close {self.close} "
                f"must lie between low {self.low} and high {self.high}"
            )


def stored_bars(
    session: Session, *, symbol: str, timeframe: str, until: dt.datetime | None = None, limit: int | None = None
) -> list[Bar]:
    """The stored bars of a symbol, oldest first: the newest `limit` of those with `opened_at <= until`."""
    query = select(Bar).where(Bar.symbol == symbol, Bar.timeframe == timeframe).order_by(Bar.opened_at.desc())
    if until is not None:
        query = query.where(Bar.opened_at <= until)
    if limit is not None:
        query = query.limit(limit)
    # `upsert_bars` writes past the identity map, so a bar that this session has read before is read again.
    newest_first = session.scalars(query.execution_options(populate_existing=True)).all()
    return list(reversed(newest_first))


def bar_values(  # noqa: PLR0913 - a symbol's bars and their bounds, all by name
    session: Session, *, symbol: str, timeframe: str, after: dt.datetime | None, until: dt.datetime, limit: int
) -> list[BarValue]:
    """The oldest `limit` stored bars with `after < opened_at <= until` (`after=None`: from the first), oldest first."""
    columns = [Bar.__table__.c[name] for name in _COLUMNS]
    query = select(*columns).where(Bar.symbol == symbol, Bar.timeframe == timeframe, Bar.opened_at <= until)
    if after is not None:
        query = query.where(Bar.opened_at > after)
    return [BarValue(**row._mapping) for row in session.execute(query.order_by(Bar.opened_at).limit(limit))]  # noqa: SLF001 - its public name


def last_opened_at(session: Session, *, symbol: str, timeframe: str) -> dt.datetime | None:
    """When the newest stored bar opened; None when there is no bar."""
    return session.scalar(select(func.max(Bar.opened_at)).where(Bar.symbol == symbol, Bar.timeframe == timeframe))


def upsert_bars(session: Session, *, symbol: str, timeframe: str, bars: Sequence[BarValue]) -> int:
    """Store `bars` and say how many rows are new or changed. The same bars again change nothing and give 0.

    Of two bars with one `opened_at` the later in the sequence is kept.
    """
    by_instant = {bar.opened_at: bar for bar in bars}
    # One order for all writers, so that two refreshes of a symbol wait for each other instead of deadlocking.
    ordered = [by_instant[instant] for instant in sorted(by_instant)]
    return sum(_upsert_chunk(session, symbol, timeframe, chunk) for chunk in _chunks(ordered))


def _chunks(bars: Sequence[BarValue]) -> Iterator[Sequence[BarValue]]:
    for start in range(0, len(bars), ROWS_PER_STATEMENT):
        yield bars[start : start + ROWS_PER_STATEMENT]


def _upsert_chunk(session: Session, symbol: str, timeframe: str, chunk: Sequence[BarValue]) -> int:
    # Arrays keep the statement's text the same for every number of rows: compiled once, and far from the
    # protocol's limit of 65,535 parameters.
    table = Bar.__table__.c
    arrays = [
        bindparam(f"{name}_values", [getattr(bar, name) for bar in chunk], type_=ARRAY(table[name].type))
        for name in _COLUMNS
    ]
    rows = func.unnest(*arrays).table_valued(*(column(name, table[name].type) for name in _COLUMNS)).render_derived()
    source = select(
        bindparam("symbol_value", symbol, type_=Text),
        bindparam("timeframe_value", timeframe, type_=Text),
        *(rows.c[name] for name in _COLUMNS),
    )
    statement = insert(Bar).from_select(["symbol", "timeframe", *_COLUMNS], source)
    new: dict[str, Any] = {name: statement.excluded[name] for name in _MEASURES}
    statement = statement.on_conflict_do_update(
        index_elements=["symbol", "timeframe", "opened_at"],
        set_={**new, "stored_at": func.now()},
        where=or_(*(table[name].is_distinct_from(value) for name, value in new.items())),
    )
    counted = session.execute(statement, execution_options={"preserve_rowcount": True})
    return cast("CursorResult[Any]", counted).rowcount
