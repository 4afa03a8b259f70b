"""Backups made and restored with the real pg_dump and pg_restore."""

import datetime as dt
import hashlib
import secrets
import stat
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from packages.domain.maintenance.errors import BackupFailedError, OutputPathError
from packages.domain.maintenance.postgres_backup import BackupResult, backup_postgres_full
from packages.infra.embedded.binaries import postgres_binary

NOW = dt.datetime(2026, 11, 20, 3, 30, tzinfo=dt.UTC)
USERS = [("ada@example.com", "Ada"), ("zoë@example.com", 'Zoë "Z", O\'Neil'), ("li@example.com", "李\n")]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def backup(url: str, directory: Path) -> Callable[..., BackupResult]:
    def run(*, now: dt.datetime = NOW, retention_count: int = 3, database_url: str = url) -> BackupResult:
        return backup_postgres_full(
            database=sa.make_url(database_url),
            directory=directory,
            retention_count=retention_count,
            pg_dump=postgres_binary("pg_dump"),
            now=now,
            timeout=timedelta(minutes=1),
        )

    return run


@pytest.fixture
def scratch_url(url: str) -> Iterator[str]:
    """An empty database beside that of the test."""
    name = f"scratch_{secrets.token_hex(6)}"
    with psycopg.connect(_libpq(url), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield sa.make_url(url).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(_libpq(url), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _libpq(url: str) -> str:
    return sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _add_users(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        insert = sa.text("INSERT INTO users (email, display_name, is_active) VALUES (:email, :name, true)")
        connection.execute(insert, [{"email": email, "name": name} for email, name in USERS])


def _users(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(_libpq(url)) as connection:
        return connection.execute(
            "SELECT id, email, display_name, is_active, created_at FROM users ORDER BY id"
        ).fetchall()


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if path.name != ".postgres-backup.lock"}


def test_a_backup_is_listed_and_restored_with_the_same_rows(
    engine: sa.Engine, url: str, scratch_url: str, backup: Callable[..., BackupResult]
) -> None:
    _add_users(engine)
    before = _users(url)

    result = backup()

    restore = str(postgres_binary("pg_restore"))
    listed = subprocess.run([restore, "--list", result.path], capture_output=True, text=True, check=True).stdout
    assert "TABLE DATA public users" in listed
    scratch = sa.make_url(scratch_url)
    environment = {
        "PGHOST": scratch.host or "",
        "PGPORT": str(scratch.port),
        "PGUSER": scratch.username or "",
        "PGPASSWORD": str(scratch.password),
    }
    command = [restore, "--exit-on-error", "--jobs=2", f"--dbname={scratch.database}", str(result.path)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert _users(scratch_url) == before
    assert len(before) == len(USERS)


def test_size_and_digest_are_those_of_the_file(backup: Callable[..., BackupResult]) -> None:
    result = backup()
    content = result.path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()

    assert (result.bytes, result.sha256) == (len(content), digest)
    assert content.startswith(b"PGDMP")
    # The form that `sha256sum --check` reads: digest, two spaces, the name without a directory.
    assert result.path.with_name(f"{result.path.name}.sha256").read_text() == f"{digest}  {result.path.name}\n"
    assert result.removed == ()
    assert result.seconds > 0


def test_files_and_a_new_directory_are_private(directory: Path, backup: Callable[..., BackupResult]) -> None:
    backup()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3  # dump, digest, lock


def test_the_newest_are_kept_with_their_digests(directory: Path, backup: Callable[..., BackupResult]) -> None:
    made = [backup(now=NOW + timedelta(days=day), retention_count=2) for day in range(4)]

    assert [result.removed for result in made] == [(), (), (made[0].path,), (made[1].path,)]
    kept = {made[2].path.name, made[3].path.name}
    assert _names(directory) == kept | {f"{name}.sha256" for name in kept}


def test_the_backup_just_made_stays_when_the_clock_went_backward(backup: Callable[..., BackupResult]) -> None:
    first = backup(now=NOW)
    second = backup(now=NOW - timedelta(hours=1), retention_count=1)
    assert second.path.exists()
    assert second.removed == (first.path,)


def test_files_that_are_no_backups_of_this_database_are_left_alone(
    directory: Path, scratch_url: str, backup: Callable[..., BackupResult]
) -> None:
    other = backup(database_url=scratch_url)
    mine = backup()
    foreign = ["notes.txt", "postgres-full-x.dump", f"{mine.path.name}.old", f"my-{mine.path.name}", ".hidden.partial"]
    for name in foreign:
        (directory / name).write_text("mine")
    (directory / mine.path.name.replace("20261120", "20200101")).symlink_to(other.path)

    backup(now=NOW + timedelta(days=1), retention_count=1)

    assert not mine.path.exists()
    assert {other.path.name, *foreign} <= _names(directory)
    assert (directory / mine.path.name.replace("20261120", "20200101")).is_symlink()


def test_the_same_instant_twice_does_not_replace_a_backup(backup: Callable[..., BackupResult]) -> None:
    result = backup()
    content = result.path.read_bytes()
    with pytest.raises(BackupFailedError, match="exists already"):
        backup()
    assert result.path.read_bytes() == content


def test_names_of_databases_stay_apart_and_inside_the_directory(
    url: str, directory: Path, backup: Callable[..., BackupResult]
) -> None:
    name = f"../up {secrets.token_hex(4)}"
    with psycopg.connect(_libpq(url), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            odd_url = sa.make_url(url).set(database=name).render_as_string(hide_password=False)
            result = backup(database_url=odd_url)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    assert result.path.parent == directory
    assert result.path.name.startswith("postgres-full-..%2Fup%20")


def test_a_database_that_cannot_be_reached_is_named_without_the_password(
    url: str, directory: Path, backup: Callable[..., BackupResult]
) -> None:
    wrong = sa.make_url(url).set(password="hunter2secret").render_as_string(hide_password=False)
    with pytest.raises(BackupFailedError, match="password authentication failed") as caught:
        backup(database_url=wrong)
    assert "hunter2secret" not in str(caught.value)
    assert _names(directory) == set()


def test_a_value_that_would_end_its_line_is_refused_without_quoting_it(
    url: str, directory: Path, backup: Callable[..., BackupResult]
) -> None:
    wrong = sa.make_url(url).set(password="hunter2\nsecret").render_as_string(hide_password=False)
    with pytest.raises(BackupFailedError, match="has a line break in it") as caught:
        backup(database_url=wrong)
    assert "hunter2" not in str(caught.value)
    assert not any(name.endswith(".dump") for name in _names(directory))


def test_less_than_one_backup_to_keep_is_refused(backup: Callable[..., BackupResult]) -> None:
    with pytest.raises(ValueError, match="retention_count is 0"):
        backup(retention_count=0)


@pytest.mark.parametrize("kind", ["relative", "file", "open to all"])
def test_a_directory_that_cannot_be_used_says_why(url: str, tmp_path: Path, kind: str) -> None:
    directory, problem = {
        "relative": (Path("backups"), "it is a relative path"),
        "file": (tmp_path / "file", "File exists"),
        "open to all": (tmp_path / "open", "everybody may write to it"),
    }[kind]
    (tmp_path / "file").write_text("")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)

    with pytest.raises(OutputPathError, match=problem):
        backup_postgres_full(
            database=sa.make_url(url),
            directory=directory,
            retention_count=1,
            pg_dump=postgres_binary("pg_dump"),
            now=NOW,
            timeout=timedelta(minutes=1),
        )
