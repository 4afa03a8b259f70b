"""The account that PostgreSQL runs under when the command runs as root.

PostgreSQL refuses to run as root. This module creates one system account, `minsy-postgres`, without a
home and without a login, and only when a server is to start as root. It changes no permission anywhere.
"""

import logging
import os
import pwd
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from packages.infra.embedded.errors import AccountError

ACCOUNT_NAME = "minsy-postgres"
_ATTEMPTS = 20
_RETRY_S = 0.25

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Account:
    """Who runs PostgreSQL instead of root."""

    uid: int
    gid: int


def account_for_root(data_dir: Path) -> Account | None:
    """The account to run under: None when this process is not root and runs PostgreSQL itself.

    Data that another user made is served as that user; all other data as `minsy-postgres`, which is
    created when it is missing.

    Raises:
        AccountError: the account is missing and could not be created.
    """
    if os.geteuid() != 0:
        return None
    if data_dir.exists():
        owner = data_dir.stat()
        if owner.st_uid != 0:
            return Account(uid=owner.st_uid, gid=owner.st_gid)
    existing = _lookup()
    return existing if existing is not None else _create()


def can_enter(account: Account, directory: Path) -> bool:
    """True when the account can reach what is below this directory, asked of the system itself."""
    return _run_as(account, ["test", "-x", str(directory)])


def can_run(account: Account, program: Path) -> bool:
    """True when the account can run this program."""
    return _run_as(account, [str(program), "--version"])


def _run_as(account: Account, command: list[str]) -> bool:
    try:
        finished = subprocess.run(
            command,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except PermissionError:
        return False
    return finished.returncode == 0


def _lookup() -> Account | None:
    try:
        entry = pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        return None
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def _create() -> Account:
    command = _creation_command()
    said = ""
    for _ in range(_ATTEMPTS):
        finished = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        account = _lookup()
        if account is not None:
            logger.info("embedded_account_created", extra={"account": ACCOUNT_NAME, "uid": account.uid})
            return account
        # Another command may hold the lock of the password file, or be creating the same account.
        said = (finished.stderr or finished.stdout).strip()
        time.sleep(_RETRY_S)
    raise AccountError(ACCOUNT_NAME, reason=f"`{' '.join(command)}` failed: {said or 'without a message'}")


def _creation_command() -> list[str]:
    useradd = shutil.which("useradd", path=_admin_path())
    if useradd is not None:
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        return [useradd, *options, "--shell", "/bin/false", ACCOUNT_NAME]
    adduser = shutil.which("adduser", path=_admin_path())
    if adduser is not None:
        # BusyBox's, as on Alpine; distributions with another adduser have useradd as well.
        return [adduser, "-S", "-D", "-H", "-h", "/nonexistent", "-s", "/bin/false", ACCOUNT_NAME]
    raise AccountError(ACCOUNT_NAME, reason="it is missing, and there is no useradd or adduser to create it")


def _admin_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
