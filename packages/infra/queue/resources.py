"""What the tasks of one process share: the clock and the database.

The engine is made at its first use, so every pool process has its own: a connection must not cross a fork.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from packages.infra.connections import resolve_connections
from packages.infra.db.engine import make_engine, make_session_factory
from packages.shared_settings import get_worker_io_settings
from packages.shared_settings.common import CommonSettings

# A pool process runs one task at a time; one connection more is for a task that opens a second transaction.
_POOL_SIZE = 2


def now() -> datetime:
    """The present instant, in UTC: the edge where the jobs' clock enters."""
    return datetime.now(UTC)


def engine(settings: Callable[[], CommonSettings] = get_worker_io_settings) -> Engine:
    """This process's engine on the database of the settings.

    Raises:
        NoServerError: there is no database.
    """
    return _engine(settings)


@cache
def _engine(settings: Callable[[], CommonSettings]) -> Engine:
    url = resolve_connections(settings()).require_database()
    return make_engine(url, application_name=f"minsy {settings().service}", pool_size=_POOL_SIZE)


def sessions(settings: Callable[[], CommonSettings] = get_worker_io_settings) -> sessionmaker[Session]:
    """Sessions on this process's engine."""
    return make_session_factory(engine(settings))


# A parent that used its engine before it forked must not share it with its child.
os.register_at_fork(after_in_child=_engine.cache_clear)
