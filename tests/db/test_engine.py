"""The engine: which URLs it takes, what its sessions are like, and what its errors never show."""

import datetime as dt
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from packages.domain.accounts.models import User
from packages.infra.db.engine import make_engine, make_session_factory, psycopg_url
from packages.infra.db.errors import DatabaseUrlError


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_spelling_of_the_scheme_means_psycopg_3(scheme: str) -> None:
    url = psycopg_url(f"{scheme}://minsy:p%40ss@db.example:5433/minsy?sslmode=require")
    assert (url.drivername, url.password, url.port) == ("postgresql+psycopg", "p@ss", 5433)
    assert url.query == {"sslmode": "require"}


@pytest.mark.parametrize(
    ("database_url", "problem"),
    [
        ("", "cannot be parsed"),
        ("hunter2secret", "cannot be parsed"),
        ("postgresql://minsy:hunter2:secret@db:hunter2secret/minsy", "cannot be parsed"),
        ("mysql://minsy:hunter2secret@db/minsy", "the scheme is 'mysql'"),
        ("postgresql+asyncpg://minsy:hunter2secret@db/minsy", "the scheme is 'postgresql\\+asyncpg'"),
        ("postgresql://minsy:hunter2secret@db", "names no database"),
        ("postgresql://minsy:hunter2secret@db/", "names no database"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_quoting_it(database_url: str, problem: str) -> None:
    with pytest.raises(DatabaseUrlError, match=problem) as caught:
        make_engine(database_url, application_name="test")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_sessions_are_in_utc_named_and_bounded(database_url: str) -> None:
    engine = make_engine(database_url, application_name="minsy-test", statement_timeout=timedelta(seconds=7))
    names = ("TimeZone", "application_name", "statement_timeout", "idle_in_transaction_session_timeout")
    with engine.connect() as connection:
        values = [connection.scalar(sa.func.current_setting(name).select()) for name in names]
    engine.dispose()
    assert values == ["UTC", "minsy-test", "7s", "10min"]


def test_options_of_the_url_win_over_the_defaults(database_url: str) -> None:
    own = sa.make_url(database_url).update_query_dict(
        {"options": "-c statement_timeout=1234", "application_name": "theirs"}
    )
    engine = make_engine(own.render_as_string(hide_password=False), application_name="ours")
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SHOW statement_timeout")) == "1234ms"
        assert connection.scalar(sa.text("SHOW application_name")) == "theirs"
        assert connection.scalar(sa.text("SHOW timezone")) == "UTC"
    engine.dispose()


def test_a_statement_over_its_time_is_ended(database_url: str) -> None:
    engine = make_engine(database_url, application_name="test", statement_timeout=timedelta(milliseconds=50))
    with engine.connect() as connection, pytest.raises(OperationalError, match="statement timeout"):
        connection.execute(sa.text("SELECT pg_sleep(30)"))
    engine.dispose()


def test_a_connection_that_the_server_dropped_is_replaced(database_url: str) -> None:
    engine = make_engine(database_url, application_name="test", pool_size=1)
    with engine.connect() as connection:
        first = connection.scalar(sa.text("SELECT pg_backend_pid()"))
    killer = sa.create_engine(database_url, poolclass=sa.NullPool)
    with killer.connect() as connection:
        assert connection.scalar(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": first})

    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT pg_backend_pid()")) != first
    engine.dispose()


def test_neither_password_nor_values_are_in_a_repr_or_an_error(engine: sa.Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    ours = make_engine(url, application_name="test")
    assert str(ours.url.password) not in repr(ours)
    with ours.connect() as connection, pytest.raises(sa.exc.DBAPIError) as caught:
        connection.execute(sa.text("SELECT 1 / :zero + length(:mail)"), {"zero": 0, "mail": "ada@example.com"})
    assert "ada@example.com" not in str(caught.value)
    ours.dispose()


def test_rows_stay_readable_after_the_commit(engine: sa.Engine) -> None:
    with make_session_factory(engine).begin() as session:
        user = User(email="ada@example.com", display_name="Ada", created_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        session.add(user)
    assert (user.email, user.id) == ("ada@example.com", 1)
