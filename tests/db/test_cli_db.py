"""`minsy db` as a person or a script uses it: its output, its JSON, its exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from packages.infra.db import migrate

Minsy = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def minsy(database_url: str, tmp_path: Path) -> Minsy:
    environment = {**os.environ, "DATABASE_URL": database_url, "MINSY_VAR_DIR": str(tmp_path / "var")}

    def run(*arguments: str, answer: str = "", url: str | None = None) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [sys.executable, "-m", "apps.cli.main", "db", *arguments],
            env=environment | ({"DATABASE_URL": url} if url else {}),
            input=answer,
            capture_output=True,
            text=True,
            check=False,
        )
        assert str(sa.make_url(database_url).password) not in ended.stdout + ended.stderr
        return ended

    return run


def test_migrate_and_downgrade_say_what_they_did(minsy: Minsy, database_url: str) -> None:
    every = migrate.pending(database_url)

    applied = minsy("migrate", "--json")
    assert (applied.returncode, json.loads(applied.stdout)) == (0, {"applied": every, "revision": every[-1]})
    assert minsy("migrate").stdout == f"applied: nothing\nrevision: {every[-1]}\n"

    undone = minsy("downgrade", "base", "--yes", "--json")
    assert (undone.returncode, json.loads(undone.stdout)) == (0, {"undone": every[::-1], "revision": None})
    assert json.loads(minsy("current", "--json").stdout) == {"revision": None, "pending": every}

    assert minsy("migrate", "--revision", "0001").stdout == "applied: 0001\nrevision: 0001\n"
    assert minsy("current").stdout.startswith("revision: 0001\n")


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_downgrade_does_nothing_without_a_yes(minsy: Minsy, database_url: str, answer: str) -> None:
    migrate.upgrade(database_url)
    ended = minsy("downgrade", "base", answer=answer)
    assert ended.returncode == 1
    assert "Rows are lost" in ended.stderr
    assert migrate.pending(database_url) == []


def test_seed_needs_the_tables_and_is_repeatable(minsy: Minsy, database_url: str) -> None:
    without = minsy("seed")
    assert (without.returncode, without.stdout) == (1, "")
    assert "Run: minsy db migrate" in without.stderr

    migrate.upgrade(database_url)
    first, second = minsy("seed", "--json"), minsy("seed", "--json")
    assert json.loads(first.stdout)["added"]["users"] == 5
    assert set(json.loads(second.stdout)["added"].values()) == {0}


def test_an_unknown_revision_is_one_line_and_exit_code_1(minsy: Minsy) -> None:
    ended = minsy("migrate", "--revision", "nonsense")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: The revision 'nonsense' is unknown. Known: base, 0001")
    assert ended.stderr.count("\n") == 1


def test_an_unreachable_database_is_one_error_and_exit_code_1(minsy: Minsy, free_port: int) -> None:
    ended = minsy("current", url=f"postgresql://minsy:hunter2secret@127.0.0.1:{free_port}/minsy")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: The database at 127.0.0.1:{free_port}/minsy cannot be reached:")
    assert "hunter2secret" not in ended.stderr
    assert "Traceback" not in ended.stderr
