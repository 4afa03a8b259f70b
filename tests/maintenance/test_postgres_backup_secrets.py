"""What other programs of the machine can see of the database's password during a backup: nothing."""

import datetime as dt
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from packages.domain.maintenance.pg_dump import connection_files, connection_parameters
from packages.domain.maintenance.postgres_backup import BackupResult, backup_postgres_full
from packages.infra.embedded.binaries import postgres_binary

MakeProgram = Callable[..., Path]


def _backup(url: str, directory: Path, pg_dump: Path) -> BackupResult:
    return backup_postgres_full(
        database=sa.make_url(url),
        directory=directory,
        retention_count=1,
        pg_dump=pg_dump,
        now=dt.datetime(2026, 11, 20, 3, 30, tzinfo=dt.UTC),
        timeout=timedelta(minutes=1),
    )


def test_the_password_is_in_no_command_line_and_no_environment(url: str, program: MakeProgram, tmp_path: Path) -> None:
    """A program in place of pg_dump looks at every process of the machine, then becomes the real one."""
    seen = tmp_path / "seen.json"
    looking = program(f"""
        import json, psutil, stat
        files = ("PGPASSFILE", "PGSERVICEFILE")
        modes = {{name: oct(stat.S_IMODE(os.stat(os.environ[name]).st_mode)) for name in files}}
        lines = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
        with open({str(seen)!r}, "w") as file:
            json.dump({{"lines": lines, "environment": dict(os.environ), "modes": modes, "own": sys.argv}}, file)
        os.execv({str(postgres_binary("pg_dump"))!r}, sys.argv)
    """)

    result = _backup(url, tmp_path / "backups", looking)

    found = json.loads(seen.read_text())
    assert found["own"] in [line[1:] for line in found["lines"] if line]  # it did see the command lines
    assert str(sa.make_url(url).password) not in json.dumps([found["lines"], found["environment"]])
    assert found["modes"] == {"PGPASSFILE": "0o600", "PGSERVICEFILE": "0o600"}
    assert not any(".connection" in path.name for path in result.path.parent.iterdir())


def test_other_secrets_of_the_process_do_not_reach_pg_dump(
    url: str, program: MakeProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPACA_API_SECRET", "hunter2secret")
    monkeypatch.setenv("PGPASSWORD", "hunter2secret")
    seen = tmp_path / "seen.json"
    writing = program(f"""
        import json
        with open({str(seen)!r}, "w") as file:
            json.dump(dict(os.environ), file)
        print("PGDMP")
    """)

    _backup(url, tmp_path / "backups", writing)

    assert "hunter2secret" not in seen.read_text()


def test_a_password_of_special_characters_is_written_as_libpq_reads_it(tmp_path: Path) -> None:
    password = " a:b\\c'd\"e%f g "
    url = sa.URL.create("postgresql+psycopg", "minsy", password, "db.example", 5433, "minsy", {"sslmode": "require"})

    with connection_files(tmp_path / "access", connection_parameters(url)) as access:
        password_line = Path(access.environment["PGPASSFILE"]).read_text()
        service_lines = Path(access.environment["PGSERVICEFILE"]).read_text().splitlines()

    assert password_line == "*:*:*:*: a\\:b\\\\c'd\"e%f g \n"
    assert service_lines[0] == "[minsy_backup]"
    assert set(service_lines[1:]) == {"host=db.example", "port=5433", "dbname=minsy", "user=minsy", "sslmode=require"}
    assert not (tmp_path / "access").exists()
    assert password not in repr(access)
