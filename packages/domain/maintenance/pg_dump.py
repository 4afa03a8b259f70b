"""Runs the program pg_dump and says which servers it can dump. Never decides where a backup stands.

The connection reaches pg_dump through two files of mode 0600 in a private directory: a service file for its
parameters and a password file. A command line can be read by every user of the machine, and an environment
variable by more programs than a file that is gone when the run ends (core dumps, `ps e` on some systems).
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from packages.domain.maintenance.bound_process import bound_command
from packages.domain.maintenance.errors import BackupFailedError, ServerTooNewError

_SERVICE: Final = "minsy_backup"
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
_VERSION_TIMEOUT_S: Final = 30
_STOP_GRACE_S: Final = 5
_STDERR_TAIL_CHARACTERS: Final = 2000
# A table that somebody alters holds up the dump no longer than this; the job is tried again later.
_LOCK_WAIT: Final = timedelta(minutes=2)
# pg_dump gets what it needs to run and to find certificates, and no other secret of this process.
_ENVIRONMENT_NAMES: Final = frozenset({"HOME", "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "SYSTEMROOT"})
_ENVIRONMENT_PREFIXES: Final = ("PG", "KRB5", "SSL_")


@dataclass(frozen=True, repr=False)
class ConnectionParameters:
    """libpq's parameters of one database, with the password apart, so that none is printed."""

    database: str
    plain: Mapping[str, str]
    password: str | None

    def without_password(self, text: str) -> str:
        """The text with the password masked wherever it stands."""
        return text.replace(self.password, "***") if self.password else text


def connection_parameters(database: URL) -> ConnectionParameters:
    """What a URL of the psycopg driver says; it must name a database.

    Raises:
        BackupFailedError: a value of the URL cannot be passed on; it is not quoted.
    """
    _, arguments = database.get_dialect()().create_connect_args(database)
    values = {name: str(value) for name, value in arguments.items() if value is not None}
    password = values.pop("password", None)
    if any("\n" in value or "\r" in value for value in (*values.values(), password or "")):
        raise BackupFailedError("a value of the database URL has a line break in it")
    return ConnectionParameters(values["dbname"], values, password)


def check_version(pg_dump: Path, *, server_version_num: int) -> None:
    """Raise unless this pg_dump can dump the server. `server_version_num` is the server's setting of that name.

    Raises:
        ServerTooNewError: the server's major version is above that of pg_dump.
        BackupFailedError: the program does not run, or prints no version.
    """
    try:
        printed = subprocess.run(
            [pg_dump, "--version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise BackupFailedError(f"{pg_dump} does not run ({error})") from error
    found = _VERSION.search(printed)
    if found is None:
        raise BackupFailedError(f"{pg_dump} --version prints no version of PostgreSQL: {printed.strip()!r}")
    server_major, pg_dump_major = server_version_num // 10_000, int(found[1])
    if server_major > pg_dump_major:
        raise ServerTooNewError(server_major=server_major, pg_dump_major=pg_dump_major, pg_dump=pg_dump)


@dataclass(frozen=True, repr=False)
class Access:
    """An environment in which pg_dump finds the database, good for as long as its files are there."""

    environment: Mapping[str, str]
    parameters: ConnectionParameters


@contextmanager
def connection_files(directory: Path, parameters: ConnectionParameters) -> Iterator[Access]:
    """Write the two files into `directory`, made with mode 0700, and remove them at the end.

    What a killed run left there is removed first.
    """
    _remove(directory)
    directory.mkdir(mode=0o700)
    try:
        service_file, password_file = directory / "service.conf", directory / "password"
        lines = "".join(f"{name}={value}\n" for name, value in parameters.plain.items())
        _write_private(service_file, f"[{_SERVICE}]\n{lines}")
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in _ENVIRONMENT_NAMES or name.startswith(_ENVIRONMENT_PREFIXES)
        }
        environment |= {"PGSERVICEFILE": str(service_file), "LC_ALL": "C"}
        if parameters.password is not None:
            escaped = parameters.password.replace("\\", "\\\\").replace(":", "\\:")
            _write_private(password_file, f"*:*:*:*:{escaped}\n")
            environment["PGPASSFILE"] = str(password_file)
            # libpq prefers it to the file.
            environment.pop("PGPASSWORD", None)
        yield Access(environment, parameters)
    finally:
        _remove(directory)


def run_pg_dump(pg_dump: Path, *, access: Access, output: int, lock: int, timeout: timedelta) -> None:
    """Dump the database in the custom format into the open file `output`, which must be seekable and empty.

    It ends with this process, also when this one is killed (on Linux). It keeps `lock` open: wherever it does live
    longer, the lock lasts until it has ended as well. It has a session of its own, so that a Ctrl-C for a graceful
    stop does not end it.

    Raises:
        BackupFailedError: it fails, or takes longer than `timeout`. It is gone when this returns or raises.
    """
    command = [
        str(pg_dump),
        "--format=custom",
        "--no-password",
        f"--lock-wait-timeout={round(_LOCK_WAIT.total_seconds() * 1000)}",
        f"--dbname=service={_SERVICE}",
    ]
    with subprocess.Popen(
        bound_command(command),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        env=access.environment,
        pass_fds=(lock,),
        start_new_session=True,
    ) as process:
        try:
            _, stderr = process.communicate(timeout=timeout.total_seconds())
        except subprocess.TimeoutExpired:
            raise BackupFailedError(f"pg_dump took longer than {timeout}") from None
        finally:
            _end(process)
    if process.returncode:
        said = access.parameters.without_password(stderr.decode(errors="replace")).strip()
        raise BackupFailedError(
            f"pg_dump ended with {_ending(process.returncode)}", stderr_tail=said[-_STDERR_TAIL_CHARACTERS:]
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ending(returncode: int) -> str:
    return f"exit code {returncode}" if returncode > 0 else f"signal {-returncode}"


def _remove(directory: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(directory)


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
