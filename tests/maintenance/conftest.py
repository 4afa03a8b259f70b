"""The database of a test as a URL, and programs that stand in for pg_dump where the real one cannot be made to fail."""

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

MakeProgram = Callable[[str], Path]


@pytest.fixture
def url(engine: sa.Engine) -> str:
    """The URL, password and all, of a database with every table and no row."""
    return engine.url.render_as_string(hide_password=False)


@pytest.fixture
def program(tmp_path: Path) -> MakeProgram:
    """Makes a program that answers `--version` as PostgreSQL 99 and else runs the given Python code."""

    def make(code: str, version: str = "pg_dump (PostgreSQL) 99.1") -> Path:
        path = tmp_path / "programs" / f"pg_dump_{abs(hash(code + version))}"
        path.parent.mkdir(exist_ok=True)
        head = f"""\
            #!{sys.executable}
            import os, sys, time
            if "--version" in sys.argv:
                print({version!r})
                raise SystemExit
        """
        path.write_text(textwrap.dedent(head) + textwrap.dedent(code))
        path.chmod(0o755)
        return path

    return make
