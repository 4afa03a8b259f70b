"""Asks the database which markets are in use, from a worker's main process. Beat imports none of this."""

from datetime import timedelta
from typing import Final

from sqlalchemy.orm import Session

from packages.domain.market_data.active_markets import active_markets
from packages.infra.db.engine import make_engine

_TIMEOUT: Final = timedelta(seconds=5)


def query_active_markets(database_url: str) -> frozenset[str]:
    """Ask the database, over a connection that is closed at once: the process that asks may fork at any time.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be asked.
    """
    engine = make_engine(
        database_url,
        application_name="minsy active markets",
        pool_size=1,
        connect_timeout=_TIMEOUT,
        statement_timeout=_TIMEOUT,
    )
    try:
        with Session(engine) as session:
            return active_markets(session)
    finally:
        engine.dispose()
