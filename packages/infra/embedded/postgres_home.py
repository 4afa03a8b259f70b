"""Where PostgreSQL's data stands.

In `<var>/postgres`, unless the account that PostgreSQL runs under as root cannot enter var (a checkout
under /root). Then, and only then, it stands below `/var/lib/minsy-postgres`. Data that exists is never
moved, and no permission of a directory outside var is changed.
"""

import hashlib
import logging
import os
import shutil
from pathlib import Path

import psutil

from packages.infra.embedded.account import Account, can_enter

OUTSIDE = Path("/var/lib/minsy-postgres")

logger = logging.getLogger(__name__)


def outside_home(var_dir: Path) -> Path:
    """The home of this var directory's data when the account cannot enter var."""
    digest = hashlib.sha256(str(var_dir.resolve()).encode()).hexdigest()
    return OUTSIDE / digest[:16]


def current_home(var_dir: Path) -> Path:
    """The home that holds data now, else the ordinary one."""
    inside, outside = var_dir.absolute() / "postgres", outside_home(var_dir)
    return outside if not (inside / "data").exists() and (outside / "data").exists() else inside


def choose_home(var_dir: Path, account: Account | None) -> Path:
    """The home to use from now on; data that exists stays where it is."""
    home = current_home(var_dir)
    if account is None or (home / "data").exists() or can_enter(account, var_dir):
        return home
    home = outside_home(var_dir)
    make_outside()
    logger.info("embedded_postgres_data_outside_var", extra={"data_dir": str(home / "data")})
    return home


def make_outside() -> None:
    """The directory below which everything outside var stands; anyone may pass through it."""
    OUTSIDE.mkdir(parents=True, exist_ok=True)
    OUTSIDE.chmod(0o755)


def remove_unused_programs() -> None:
    """Remove the copies of PostgreSQL's programs, and the directory itself, when no data and no process uses them."""
    if not OUTSIDE.is_dir() or any(not path.name.startswith(("programs-", ".programs-")) for path in OUTSIDE.iterdir()):
        return
    # As root every program's path can be read; another user can neither use nor remove these.
    running = (process.info["exe"] for process in psutil.process_iter(["exe"]))
    if not any(exe and Path(exe).is_relative_to(OUTSIDE) for exe in running):
        shutil.rmtree(OUTSIDE, ignore_errors=True)


def make_directory(path: Path, account: Account | None) -> None:
    """A directory of mode 0700 that belongs to the account; nothing happens when it exists."""
    if path.is_dir():
        return
    path.mkdir(mode=0o700)
    if account is not None:
        os.chown(path, account.uid, account.gid)
