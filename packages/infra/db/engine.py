"""Makes the SQLAlchemy engine and the session factory. Holds no engine and reads no settings.

An engine must be made after a fork, by the process that uses it: two processes that share a connection's
socket corrupt each other's protocol. A worker therefore makes its engine on the first use in each pool process.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import Session, sessionmaker

from packages.infra.db.errors import DatabaseUrlError

_DRIVERS = ("postgresql", "postgres", "postgresql+psycopg")
_CONNECT_TIMEOUT = timedelta(seconds=10)
_STATEMENT_TIMEOUT = timedelta(minutes=5)
_IDLE_IN_TRANSACTION_TIMEOUT = timedelta(minutes=10)
# A connection older than this is replaced, so that a failover or a new DNS entry is noticed.
_POOL_RECYCLE = timedelta(minutes=30)


def psycopg_url(database_url: str) -> URL:
    """The URL with the psycopg 3 driver, from `postgresql://`, `postgres://` or `postgresql+psycopg://`.

    Raises:
        DatabaseUrlError: not a URL, another database or driver, no database name. The URL is not quoted.
    """
    try:
        url = make_url(database_url)
        has_dialect = url.drivername in _DRIVERS
    except (ArgumentError, NoSuchModuleError, ValueError):
        # `from None`: the cause may quote a piece of the password, as a wrong port.
        raise DatabaseUrlError("it cannot be parsed") from None
    if not has_dialect:
        raise DatabaseUrlError(f"the scheme is {url.drivername!r}, allowed are {', '.join(_DRIVERS)}")
    if not url.database:
        raise DatabaseUrlError("it names no database")
    return url.set(drivername="postgresql+psycopg")


def place_of(url: URL) -> str:
    """Host, port and database name for a message; never user or password."""
    return f"{url.host or 'localhost'}:{url.port or 5432}/{url.database}"


def connect_arguments(
    url: URL,
    *,
    application_name: str,
    connect_timeout: timedelta = _CONNECT_TIMEOUT,
    statement_timeout: timedelta | None = _STATEMENT_TIMEOUT,
    lock_timeout: timedelta | None = None,
) -> dict[str, Any]:
    """Arguments of `psycopg.connect` beside those in the URL. What the URL sets in its query is kept."""
    server_options = {
        "timezone": "UTC",
        "statement_timeout": _milliseconds(statement_timeout),
        "lock_timeout": _milliseconds(lock_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(_IDLE_IN_TRANSACTION_TIMEOUT),
    }
    options = " ".join(f"-c {name}={value}" for name, value in server_options.items())
    own_options = url.query.get("options", "")
    arguments: dict[str, Any] = {
        "application_name": application_name,
        "connect_timeout": max(1, round(connect_timeout.total_seconds())),
        # A server that vanished without a word is noticed in about a minute.
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }
    kept = {name: value for name, value in arguments.items() if name not in url.query}
    # The later option wins in PostgreSQL, so the URL's own stand last.
    return kept | {"options": f"{options} {own_options if isinstance(own_options, str) else ' '.join(own_options)}"}


def make_engine(
    database_url: str,
    *,
    application_name: str,
    pool_size: int = 5,
    connect_timeout: timedelta = _CONNECT_TIMEOUT,
    statement_timeout: timedelta | None = _STATEMENT_TIMEOUT,
) -> Engine:
    """An engine on psycopg 3: UTC sessions, checked connections, bounded waits. Connects on first use.

    Make it after a fork. `statement_timeout` None means no bound. No error, log line or repr of it shows the
    password or a statement's parameters.

    Raises:
        DatabaseUrlError: the URL cannot be used.
    """
    url = psycopg_url(database_url)
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        pool_recycle=int(_POOL_RECYCLE.total_seconds()),
        pool_timeout=connect_timeout.total_seconds(),
        hide_parameters=True,
        connect_args=connect_arguments(
            url,
            application_name=application_name,
            connect_timeout=connect_timeout,
            statement_timeout=statement_timeout,
        ),
    )


def make_session_factory(engine: Engine) -> sessionmaker[Session]:
    """Sessions on the engine. Rows stay readable after a commit, as they were then."""
    return sessionmaker(engine, expire_on_commit=False)


def _milliseconds(timeout: timedelta | None) -> int:
    return 0 if timeout is None else max(1, round(timeout.total_seconds() * 1000))
