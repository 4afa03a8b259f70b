"""What goes wrong during a backup, and what is left of it: nothing but a clear error."""

import datetime as dt
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
import pytest
import sqlalchemy as sa

from packages.domain.maintenance.errors import (
    BackupAlreadyRunningError,
    BackupError,
    BackupFailedError,
    ServerTooNewError,
)
from packages.domain.maintenance.output_files import try_lock
from packages.domain.maintenance.postgres_backup import ADVISORY_LOCK_KEY, BackupResult, backup_postgres_full
from packages.infra.embedded.binaries import postgres_binary

NOW = dt.datetime(2026, 11, 20, 3, 30, tzinfo=dt.UTC)
LOCK_NAME = ".postgres-backup.lock"
MakeProgram = Callable[..., Path]
Backup = Callable[..., BackupResult]

# A process of its own for what would end the test's: a kill, and a limit on the size of files.
RUN_BACKUP = """\
    import datetime as dt, os, resource, sys
    from pathlib import Path
    import sqlalchemy as sa
    from packages.domain.maintenance.postgres_backup import backup_postgres_full
    if limit := int(sys.argv[3]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    backup_postgres_full(
        database=sa.make_url(os.environ["TEST_URL"]), directory=Path(sys.argv[1]), retention_count=1,
        pg_dump=Path(sys.argv[2]),
        now=dt.datetime(2026, 11, 20, 3, 30, tzinfo=dt.UTC), timeout=dt.timedelta(minutes=5),
    )
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def backup(url: str, directory: Path) -> Backup:
    def run(pg_dump: Path | None = None, timeout: timedelta = timedelta(minutes=1)) -> BackupResult:
        return backup_postgres_full(
            database=sa.make_url(url),
            directory=directory,
            retention_count=1,
            pg_dump=pg_dump or postgres_binary("pg_dump"),
            now=NOW,
            timeout=timeout,
        )

    return run


def _command(directory: Path, pg_dump: Path, *, file_size_limit: int = 0) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(RUN_BACKUP), str(directory), str(pg_dump), str(file_size_limit)]


def _environment(url: str) -> dict[str, str]:
    return {**os.environ, "TEST_URL": url}


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> str:
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.01)
    return path.read_text()


def test_a_directory_in_which_another_run_is_at_work_is_refused(directory: Path, backup: Backup) -> None:
    backup()
    before = _names(directory)
    with try_lock(directory / LOCK_NAME) as lock:
        assert lock is not None
        with pytest.raises(BackupAlreadyRunningError, match=LOCK_NAME) as caught:
            backup()
    assert caught.value.lock == str(directory / LOCK_NAME)
    assert _names(directory) == before


def test_a_database_that_another_machine_backs_up_is_refused(url: str, directory: Path, backup: Backup) -> None:
    libpq = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(libpq, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (ADVISORY_LOCK_KEY,))
        with pytest.raises(BackupAlreadyRunningError, match="the advisory lock"):
            backup()
    assert _names(directory) == {LOCK_NAME}
    assert backup().path.exists()


def test_both_locks_are_held_while_pg_dump_runs(
    url: str, directory: Path, program: MakeProgram, tmp_path: Path
) -> None:
    started, go_on = tmp_path / "started", tmp_path / "go-on"
    waiting = program(f"""
        open({str(started)!r}, "w").close()
        while not os.path.exists({str(go_on)!r}):
            time.sleep(0.01)
        os.execv({str(postgres_binary("pg_dump"))!r}, sys.argv)
    """)
    libpq = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with subprocess.Popen(_command(directory, waiting), env=_environment(url)) as first:
        _wait_for(started, first)
        with try_lock(directory / LOCK_NAME) as lock:
            file_was_free = lock is not None
        with psycopg.connect(libpq) as other:
            row = other.execute("SELECT pg_try_advisory_lock(%s)", (ADVISORY_LOCK_KEY,)).fetchone()
        go_on.touch()
    assert first.returncode == 0
    assert (file_was_free, row) == (False, (False,))


def test_a_server_newer_than_the_real_pg_dump_is_refused(directory: Path, backup: Backup) -> None:
    older = postgres_binary("pg_dump").parents[2] / "pginstall" / "bin" / "pg_dump"
    with pytest.raises(ServerTooNewError, match=r"The server is PostgreSQL 18, and .* is of version 16"):
        backup(older)
    assert _names(directory) == {LOCK_NAME}


@pytest.mark.parametrize(
    ("version", "error", "text"),
    [
        ("pg_dump (PostgreSQL) 9.6.24", ServerTooNewError, "is of version 9:"),
        ("pg_dump (PostgreSQL) 17.6 (Debian 17.6-1)", ServerTooNewError, "is of version 17:"),
        ("pg_dump (Something else) 18.4", BackupFailedError, "prints no version of PostgreSQL"),
        ("", BackupFailedError, "prints no version of PostgreSQL"),
    ],
)
def test_the_version_is_checked_before_anything_starts(
    directory: Path, backup: Backup, program: MakeProgram, version: str, error: type[BackupError], text: str
) -> None:
    ran = directory.parent / "ran"
    with pytest.raises(error, match=text):
        backup(program(f"open({str(ran)!r}, 'w')", version=version))
    assert not ran.exists()


@pytest.mark.parametrize(
    "version", ["pg_dump (PostgreSQL) 18.0", "pg_dump (PostgreSQL) 19beta1", "pg_dump (PostgreSQL) 19devel"]
)
def test_the_same_or_a_newer_pg_dump_is_taken(backup: Backup, program: MakeProgram, version: str) -> None:
    assert backup(program("sys.stdout.write('PGDMP')", version=version)).bytes == 5


def test_a_missing_pg_dump_is_named(backup: Backup, tmp_path: Path) -> None:
    with pytest.raises(BackupFailedError, match="nowhere/pg_dump does not run"):
        backup(tmp_path / "nowhere" / "pg_dump")


def test_a_failure_carries_what_pg_dump_said_without_the_password(
    url: str, directory: Path, backup: Backup, program: MakeProgram
) -> None:
    failing = program("""
        print("PGDMP half of a dump", flush=True)
        password = open(os.environ["PGPASSFILE"]).read().rsplit(":", 1)[1].strip()
        print("x" * 5000 + "\\npg_dump: error: it went wrong with " + password, file=sys.stderr)
        raise SystemExit(7)
    """)

    with pytest.raises(BackupFailedError, match="pg_dump ended with exit code 7") as caught:
        backup(failing)

    password = str(sa.make_url(url).password)
    assert caught.value.stderr_tail.endswith("it went wrong with ***")
    assert len(caught.value.stderr_tail) <= 2000
    assert password not in str(caught.value)
    assert _names(directory) == {LOCK_NAME}


def test_the_former_backup_stays_when_a_new_one_fails(
    url: str, directory: Path, backup: Backup, program: MakeProgram
) -> None:
    made = backup()
    before = _names(directory)
    with pytest.raises(BackupFailedError):
        backup_postgres_full(
            database=sa.make_url(url),
            directory=directory,
            retention_count=1,
            pg_dump=program("raise SystemExit(1)"),
            now=NOW + timedelta(days=1),
            timeout=timedelta(minutes=1),
        )
    assert _names(directory) == before
    assert made.path.exists()


def test_output_that_is_no_dump_is_not_kept(directory: Path, backup: Backup, program: MakeProgram) -> None:
    with pytest.raises(BackupFailedError, match="no dump in the custom format"):
        backup(program("print('hello')"))
    assert _names(directory) == {LOCK_NAME}


def test_a_dump_whose_digest_cannot_be_published_is_not_published_either(directory: Path, backup: Backup) -> None:
    digest = directory / "made-before"
    digest.mkdir(parents=True)
    (digest / "in the way").touch()
    name = backup().path.name
    for path in directory.glob("postgres-full-*"):
        path.unlink()
    digest.rename(directory / f"{name}.sha256")

    with pytest.raises(BackupFailedError, match="directory"):
        backup()

    assert _names(directory) == {LOCK_NAME, f"{name}.sha256"}


def test_a_pg_dump_over_its_time_is_ended(directory: Path, backup: Backup, program: MakeProgram) -> None:
    hanging = program("time.sleep(600)")
    with pytest.raises(BackupFailedError, match=r"took longer than 0:00:00\.2"):
        backup(hanging, timeout=timedelta(milliseconds=200))
    running = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    assert not any(str(hanging) in command for command in running)
    assert _names(directory) == {LOCK_NAME}


def test_a_full_disk_is_an_error_like_any(engine: sa.Engine, url: str, directory: Path) -> None:
    with engine.begin() as connection:
        noise = "SELECT string_agg(md5(g::text || random()), '') FROM generate_series(1, 20000) AS g"
        connection.execute(sa.text(f"CREATE TABLE noise AS {noise}"))
    # A limit on the size of files ends a write part way, as a full disk does.
    command = _command(directory, postgres_binary("pg_dump"), file_size_limit=100_000)

    ended = subprocess.run(command, env=_environment(url), capture_output=True, text=True, check=False)

    assert "BackupFailedError: The backup failed: pg_dump ended with" in ended.stderr
    assert _names(directory) == {LOCK_NAME}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_pg_dump_ends_with_a_killed_run_and_the_next_one_cleans_up(
    url: str, directory: Path, backup: Backup, program: MakeProgram, tmp_path: Path, number: signal.Signals
) -> None:
    pid_file = tmp_path / "pid"
    hanging = program(f"""
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("PGDMP half of a dump", flush=True)
        with open({str(pid_file)!r} + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename({str(pid_file)!r} + ".new", {str(pid_file)!r})
        time.sleep(600)
    """)
    with subprocess.Popen(_command(directory, hanging), env=_environment(url)) as killed:
        orphan = psutil.Process(int(_wait_for(pid_file, killed)))
        killed.send_signal(number)
    orphan_digest = next(path for path in directory.iterdir() if path.suffix == ".partial").name[1:-8] + ".sha256"
    (directory / orphan_digest).write_text("a digest whose dump was never published")
    try:
        _, alive = psutil.wait_procs([orphan], timeout=30)
        assert alive == []
    finally:
        with suppress(psutil.NoSuchProcess):
            orphan.kill()
    assert any(name.endswith(".partial") for name in _names(directory))

    made = backup()

    assert _names(directory) == {LOCK_NAME, made.path.name, f"{made.path.name}.sha256"}


def test_pg_dump_ends_when_the_run_is_interrupted(
    url: str, directory: Path, program: MakeProgram, tmp_path: Path
) -> None:
    """A time limit raises an exception in the middle of the run, as Ctrl-C does."""
    pid_file = tmp_path / "pid"
    hanging = program(f"""
        with open({str(pid_file)!r} + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename({str(pid_file)!r} + ".new", {str(pid_file)!r})
        time.sleep(600)
    """)
    with subprocess.Popen(_command(directory, hanging), env=_environment(url), stderr=subprocess.PIPE) as interrupted:
        child = psutil.Process(int(_wait_for(pid_file, interrupted)))
        interrupted.send_signal(signal.SIGINT)
        interrupted.communicate()
    assert not child.is_running()
    assert _names(directory) == {LOCK_NAME}
