"""Migrations on a real PostgreSQL server: up, down, up again, no drift, two at once."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from packages.domain.tables import metadata
from packages.infra.db import migrate
from packages.infra.db.errors import DatabaseUnreachableError, MigrationBusyError, UnknownRevisionError

# What a migration leaves, in PostgreSQL's own words; compared between the two ways of making the tables.
_COLUMNS = """
    SELECT table_name, column_name, data_type, numeric_precision, numeric_scale, is_nullable, column_default,
           is_identity, identity_generation
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
"""
_CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
"""
_INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"


def _shape(engine: sa.Engine) -> set[tuple[object, ...]]:
    with engine.connect() as connection:
        rows = (row for query in (_COLUMNS, _CONSTRAINTS, _INDEXES) for row in connection.execute(sa.text(query)))
        return {tuple(row) for row in rows if row[0] != "alembic_version"}


def _tables(url: str) -> set[str]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    return set(sa.inspect(engine).get_table_names())


def test_up_makes_every_table_and_says_what_it_applied(database_url: str) -> None:
    assert migrate.current(database_url) is None
    waiting = migrate.pending(database_url)
    assert waiting[0] == "0001"

    assert migrate.upgrade(database_url) == waiting

    assert _tables(database_url) == {*metadata.tables, "alembic_version"}
    assert migrate.current(database_url) == waiting[-1]
    assert migrate.pending(database_url) == []
    assert migrate.upgrade(database_url) == []


def test_down_to_base_leaves_nothing_and_up_works_again(database_url: str) -> None:
    applied = migrate.upgrade(database_url)

    assert migrate.downgrade(database_url, migrate.BASE) == applied[::-1]

    assert _tables(database_url) == {"alembic_version"}
    assert migrate.current(database_url) is None
    assert migrate.upgrade(database_url) == applied


def test_models_and_migrations_do_not_drift(database_url: str, engine: sa.Engine) -> None:
    migrate.upgrade(database_url)
    migrated = sa.create_engine(database_url, poolclass=sa.NullPool)

    with migrated.connect() as connection:
        options = {
            "compare_server_default": True,
            "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    # `engine` has the tables as the models make them. This sees the texts of checks and predicates too.
    assert _shape(migrated) == _shape(engine)


def test_the_drift_check_sees_a_changed_check_and_a_missing_index(database_url: str, engine: sa.Engine) -> None:
    migrate.upgrade(database_url)
    migrated = sa.create_engine(database_url, poolclass=sa.NullPool)
    with migrated.begin() as connection:
        connection.execute(sa.text("DROP INDEX ix_backtest_jobs_running"))
        connection.execute(
            sa.text("ALTER TABLE paper_positions DROP CONSTRAINT ck_paper_positions_quantity_not_negative")
        )

    missing = {row[1] for row in _shape(engine) - _shape(migrated)}

    assert missing == {"ix_backtest_jobs_running", "ck_paper_positions_quantity_not_negative"}


def test_many_upgrades_at_once_apply_each_revision_once(database_url: str) -> None:
    every = migrate.pending(database_url)
    together = threading.Barrier(4)

    def start(_: int) -> list[str]:
        together.wait()
        return migrate.upgrade(database_url)

    with ThreadPoolExecutor(max_workers=4) as pool:
        applied = sorted(pool.map(start, range(4)))

    assert applied == [[], [], [], every]


def test_a_lock_not_had_in_time_says_so_and_changes_nothing(database_url: str) -> None:
    other = sa.create_engine(database_url, poolclass=sa.NullPool)
    with other.connect() as connection:
        key = int.from_bytes(b"minsymig", "big")
        connection.execute(sa.select(sa.func.pg_advisory_lock(key)))

        with pytest.raises(MigrationBusyError, match="was not had within") as caught:
            migrate.upgrade(database_url, lock_wait=timedelta(milliseconds=200))

    assert caught.value.waited == timedelta(milliseconds=200)
    assert _tables(database_url) == set()


def test_an_unknown_revision_names_the_known_ones(database_url: str) -> None:
    with pytest.raises(UnknownRevisionError, match=r"'nonsense' is unknown\. Known: base, 0001"):
        migrate.upgrade(database_url, "nonsense")
    with pytest.raises(UnknownRevisionError):
        migrate.downgrade(database_url, "nonsense")


def test_a_database_of_newer_code_is_refused(database_url: str) -> None:
    migrate.upgrade(database_url)
    newer = sa.create_engine(database_url, poolclass=sa.NullPool)
    with newer.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(UnknownRevisionError, match="newer code has migrated"):
        migrate.upgrade(database_url)
    with pytest.raises(UnknownRevisionError):
        migrate.pending(database_url)
    assert migrate.current(database_url) == "9999"


def test_logging_stays_as_it_was(database_url: str) -> None:
    mine = logging.getLogger("packages.somewhere")
    root = logging.getLogger()
    before = (root.level, list(root.handlers), mine.disabled, logging.root.manager.disable)

    migrate.upgrade(database_url)

    assert (root.level, list(root.handlers), mine.disabled, logging.root.manager.disable) == before


def test_an_unreachable_database_is_named_without_the_password(free_port: int) -> None:
    with pytest.raises(DatabaseUnreachableError, match=f"127.0.0.1:{free_port}/minsy") as caught:
        migrate.upgrade(f"postgresql://minsy:hunter2secret@127.0.0.1:{free_port}/minsy")
    assert "hunter2secret" not in str(caught.value)


def test_a_wrong_password_is_not_repeated(database_url: str) -> None:
    wrong = sa.make_url(database_url).set(password="hunter2secret").render_as_string(hide_password=False)
    with pytest.raises(DatabaseUnreachableError, match="password authentication failed") as caught:
        migrate.current(wrong)
    assert "hunter2secret" not in str(caught.value)
