"""The embedded servers of one var directory: started when first needed, stopped with their last user.

A process uses them inside `hold()`. They run while somebody holds them or `start()` has pinned them; the
last to leave stops them. A process that dies holds nothing any more, but stops nothing either: the next
user's leaving, `stop()` or `revive()` puts that right. All changes happen under one lock, so commands
that start together do not race. No password is in what these functions return, `Endpoints` aside.
"""

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from packages.infra.embedded.account import ACCOUNT_NAME, account_for_root
from packages.infra.embedded.endpoints import Endpoints, read_endpoints
from packages.infra.embedded.errors import BusyError, EmbeddedError
from packages.infra.embedded.locks import Mark, abandon_mark, live_users, make_mark, remove_mark, start_lock
from packages.infra.embedded.mail import MailServer
from packages.infra.embedded.postgres import PostgresServer
from packages.infra.embedded.postgres_home import OUTSIDE, current_home, outside_home, remove_unused_programs
from packages.infra.embedded.postgres_programs import runnable_install
from packages.infra.embedded.server import Server, ask_to_stop, ensure_running, ensure_stopped, running_state
from packages.infra.embedded.state import DATA_SERVERS, SERVER_NAMES, ServerName, read_state, state_directory
from packages.infra.embedded.valkey import ValkeyServer
from packages.infra.embedded.waiting import Patience, Waiting

# Long enough for a first start on a slow machine: initdb, recovery and two health checks.
_LOCK_TIMEOUT = timedelta(seconds=180)
_LOOK_TIMEOUT = timedelta(seconds=5)
_PATIENCE = Patience()

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerStatus:
    """One server as it stands. `dead` means that it should run and does not."""

    name: ServerName
    state: Literal["running", "stopped", "dead"]
    pid: int | None
    port: int | None
    since: datetime | None
    data_dir: Path


@dataclass(frozen=True)
class StopOutcome:
    """What `stop` did: the servers it stopped, or the processes that still hold them."""

    stopped: tuple[ServerName, ...]
    held_by_pids: tuple[int, ...]


class EmbeddedServices:
    """The servers below one var directory. `durable=False` is for tests: data may be lost at a crash."""

    def __init__(self, var_dir: Path, *, durable: bool = True, patience: Patience = _PATIENCE) -> None:
        self.var_dir = var_dir.resolve()
        self._directory = state_directory(self.var_dir)
        self._pin = self._directory / "pinned"
        self._interrupted = threading.Event()
        self._waiting = Waiting(patience, self._interrupted)
        self._servers: dict[ServerName, Server] = {
            "valkey": ValkeyServer(self.var_dir, durable=durable),
            "postgres": PostgresServer(self.var_dir, durable=durable),
            "mail": MailServer(self.var_dir),
        }

    @contextmanager
    def hold(
        self, *, want: Collection[ServerName] = DATA_SERVERS, leave_within: timedelta | None = None
    ) -> Iterator[Endpoints]:
        """Use the wanted servers inside the block; those that do not run are started.

        The last to leave stops them. With `leave_within` they are killed when they have not stopped by then, which
        loses nothing but makes their next start recover; else each has the time that it needs.

        Raises:
            EmbeddedError: a server could not be started, or another command kept the start lock.
        """
        with self._lock():
            mark = make_mark(self._directory)
            try:
                endpoints = self._start(want)
            except BaseException:
                remove_mark(mark)
                self._stop_if_unused()
                raise
        try:
            yield endpoints
        finally:
            # A forked child that unwinds through here must not take the mark of its parent away.
            if mark.pid == os.getpid():
                self._leave(mark, leave_within)

    def start(self, *, want: Collection[ServerName] = DATA_SERVERS) -> Endpoints:
        """Start the wanted servers and let them run until `stop`, whoever comes and goes.

        Raises:
            EmbeddedError: as `hold`.
        """
        with self._lock():
            was_pinned = self.is_pinned()
            self._pin.touch(mode=0o600)
            try:
                return self._start(want)
            except BaseException:
                if not was_pinned:
                    self._pin.unlink(missing_ok=True)
                    self._stop_if_unused()
                raise

    def stop(self, *, force: bool = False) -> StopOutcome:
        """Undo `start`, and stop the servers unless processes hold them; `force` stops them all the same."""
        if not self._directory.is_dir():
            return StopOutcome(stopped=(), held_by_pids=())
        with self._lock():
            self._pin.unlink(missing_ok=True)
            users = live_users(self._directory)
            if users and not force:
                return StopOutcome(stopped=(), held_by_pids=tuple(users))
            return StopOutcome(stopped=self._stop_all(), held_by_pids=())

    def status(self) -> list[ServerStatus]:
        """How each server stands, without changing anything."""
        return [self._status_of(name) for name in SERVER_NAMES]

    def users(self) -> list[int]:
        """The ids of the processes that hold the servers, one for each `hold`.

        Raises:
            BusyError: the servers are being started or stopped for more than 5 s.
        """
        if not self._directory.is_dir():
            return []
        with self._lock(_LOOK_TIMEOUT):
            return live_users(self._directory)

    def is_pinned(self) -> bool:
        """True between `start` and `stop`."""
        return self._pin.exists()

    def revive(self) -> list[str]:
        """Start again, on the same data and port, every server that died; one sentence for each.

        Raises:
            EmbeddedError: a dead server could not be started again.
        """
        if not any(status.state == "dead" for status in self.status()):
            return []
        with self._lock(check=self._waiting.check):
            return [self._revive(name) for name in SERVER_NAMES if self._status_of(name).state == "dead"]

    def interrupt(self) -> None:
        """Let a `revive` or a start of this object, in another thread, give up soon; what it launched is ended."""
        self._interrupted.set()

    def created_outside_var(self) -> list[str]:
        """One sentence for each thing outside the var directory that its PostgreSQL uses; none unless root."""
        home = current_home(self.var_dir)
        if os.geteuid() != 0 or not (home / "data").exists():
            return []
        said = [f"PostgreSQL does not run as root; it runs under the system account {ACCOUNT_NAME}."]
        if home == outside_home(self.var_dir):
            said.append(f"That account cannot enter {self.var_dir}, so the database stands in {home}.")
        install = runnable_install(account_for_root(home / "data"))
        if install.is_relative_to(OUTSIDE):
            said.append(f"That account cannot reach the installed PostgreSQL, so it runs a copy of it in {install}.")
        return said

    def delete_data(self) -> None:
        """Stop the servers and delete their data, its place outside var included.

        Raises:
            EmbeddedError: a process holds the servers.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock():
            if users := live_users(self._directory):
                raise EmbeddedError(f"The data in {self.var_dir} is in use by process {users[0]}; nothing was deleted.")
            self._pin.unlink(missing_ok=True)
            self._stop_all()
            for home in (
                self.var_dir / "valkey",
                self.var_dir / "postgres",
                self.var_dir / "mail",
                outside_home(self.var_dir),
            ):
                if home.exists():
                    shutil.rmtree(home)
            remove_unused_programs()

    @contextmanager
    def _lock(self, timeout: timedelta = _LOCK_TIMEOUT, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with start_lock(self._directory, timeout=timeout, check=check):
            yield

    def _leave(self, mark: Mark, within: timedelta | None) -> None:
        try:
            with self._lock(_LOCK_TIMEOUT if within is None else within):
                remove_mark(mark)
                self._stop_if_unused(within)
        except BusyError:
            # Who starts servers now uses them, and stops them as the last to leave.
            abandon_mark(mark)
            logger.warning("embedded_left_while_busy", extra={"var_dir": str(self.var_dir)})

    def _start(self, want: Collection[ServerName]) -> Endpoints:
        for name in SERVER_NAMES:
            if name in want:
                ensure_running(self._servers[name], self._directory, waiting=self._waiting)
        return read_endpoints(self.var_dir) or Endpoints(redis_url=None, database_url=None)

    def _stop_if_unused(self, within: timedelta | None = None) -> None:
        if not self.is_pinned() and not live_users(self._directory):
            self._stop_all(within)

    def _stop_all(self, within: timedelta | None = None) -> tuple[ServerName, ...]:
        asked = tuple(name for name in SERVER_NAMES if ask_to_stop(self._servers[name], self._directory))
        deadline = None if within is None else time.monotonic() + within.total_seconds()
        for server in self._servers.values():
            left = None if deadline is None else timedelta(seconds=max(0.0, deadline - time.monotonic()))
            ensure_stopped(server, self._directory, grace=left)
        return asked

    def _revive(self, name: ServerName) -> str:
        before = self._status_of(name)
        after = ensure_running(self._servers[name], self._directory, waiting=self._waiting)
        moved = "" if after.port == before.port else f", now on port {after.port} as {before.port} was taken"
        return f"The embedded {name} server (pid {before.pid}) died and runs again as pid {after.process.pid}{moved}."

    def _status_of(self, name: ServerName) -> ServerStatus:
        server = self._servers[name]
        state = read_state(self._directory, name)
        if state is None:
            return ServerStatus(name=name, state="stopped", pid=None, port=None, since=None, data_dir=server.data_dir)
        return ServerStatus(
            name=name,
            state="running" if running_state(server, self._directory) is not None else "dead",
            pid=state.process.pid,
            port=state.port,
            since=state.since,
            data_dir=state.data_dir,
        )
