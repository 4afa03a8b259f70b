"""How any one embedded server is brought up, looked at and ended.

Decides on the port and on trying again when somebody else took it; how long to wait stands in `waiting`. What
is special to Valkey or PostgreSQL stands behind `Server`. The caller holds the start lock.
"""

import logging
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

from packages.infra.embedded import logs
from packages.infra.embedded.errors import InterruptedStartError, ServerFailedError
from packages.infra.embedded.ports import choose_port, is_free
from packages.infra.embedded.process import ProcessRef
from packages.infra.embedded.state import (
    ServerName,
    ServerState,
    load_kept,
    read_state,
    remove_state,
    store_kept,
    write_state,
)
from packages.infra.embedded.waiting import Problem, Waiting

_ATTEMPTS = 3
_ABANDON_GRACE = timedelta(seconds=1)

logger = logging.getLogger(__name__)


class Server(Protocol):
    """One kind of server over one data directory."""

    @property
    def name(self) -> ServerName:
        """Its name in state files and messages."""

    @property
    def home(self) -> Path:
        """The directory of its data, log and kept file."""

    @property
    def data_dir(self) -> Path:
        """Its data alone."""

    @property
    def log_file(self) -> Path:
        """What it writes about itself."""

    @property
    def stop_signal(self) -> signal.Signals:
        """Asks it to end gracefully; asking twice does no harm."""

    @property
    def stop_grace(self) -> timedelta:
        """How long it may take over that, unless the caller is in a hurry."""

    def prepare(self) -> None:
        """Make the home ready: directories, account, an empty database. Repeating it changes nothing."""

    def launch(self, port: int) -> ProcessRef:
        """Start the program, detached, on this loopback port."""

    def url(self, port: int) -> str:
        """What a client connects with, password included."""

    def settle(self, port: int) -> Problem | None:
        """Make, inside the server, what clients rely on and it lacks; what is wrong while it does not answer yet."""

    def problem(self, port: int) -> Problem | None:
        """One question to the server: None when it answers well, else what is wrong."""

    def end(self, process: ProcessRef, *, grace: timedelta) -> None:
        """Stop it gracefully, or by force when it does not end in this time."""

    def end_strays(self) -> None:
        """End processes of this data directory that no state file knows, and what they left behind."""


def running_state(server: Server, directory: Path) -> ServerState | None:
    """The state of the server while its process lives."""
    state = read_state(directory, server.name)
    return state if state is not None and state.process.is_alive() else None


def ensure_running(server: Server, directory: Path, *, waiting: Waiting) -> ServerState:
    """Reuse the server when it runs, else start it; returns when it answers.

    Raises:
        EmbeddedError: it could not be started, or the patience came to its end.
    """
    state = running_state(server, directory)
    if state is not None:
        _wait_healthy(server, state.process, state.port, log_start=logs.size(server.log_file), waiting=waiting)
        return state
    waiting.check()
    server.prepare()
    server.end_strays()
    logs.rotate(server.log_file)
    for attempt in range(1, _ATTEMPTS + 1):
        port = choose_port(load_kept(server.home).port)
        try:
            return _start(server, directory, port, waiting)
        except ServerFailedError:
            server.end_strays()
            if attempt == _ATTEMPTS or is_free(port):
                raise
            logger.warning("embedded_port_taken", extra={"server": server.name, "port": port})
        except BaseException:
            # It may have been launched and not be known yet.
            server.end_strays()
            raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def ask_to_stop(server: Server, directory: Path) -> bool:
    """Let the server begin to stop, and `ensure_stopped` follow; False when it did not run."""
    state = running_state(server, directory)
    return state is not None and state.process.send(server.stop_signal)


def ensure_stopped(server: Server, directory: Path, *, grace: timedelta | None = None) -> None:
    """Stop the server, if it runs, and forget its state. It is killed after the grace period."""
    state = running_state(server, directory)
    if state is not None:
        server.end(state.process, grace=server.stop_grace if grace is None else grace)
        logger.info("embedded_server_stopped", extra={"server": server.name, "pid": state.process.pid})
    remove_state(directory, server.name)


def _start(server: Server, directory: Path, port: int, waiting: Waiting) -> ServerState:
    log_start = logs.size(server.log_file)
    process = server.launch(port)
    try:
        _wait_healthy(server, process, port, log_start=log_start, waiting=waiting)
    except (InterruptedStartError, KeyboardInterrupt):
        server.end(process, grace=_ABANDON_GRACE)
        raise
    except BaseException:
        server.end(process, grace=server.stop_grace)
        raise
    store_kept(server.home, replace(load_kept(server.home), port=port))
    state = ServerState(
        name=server.name,
        process=process,
        port=port,
        since=datetime.now(UTC),
        data_dir=server.data_dir,
        url=server.url(port),
    )
    write_state(directory, state)
    logger.info("embedded_server_started", extra={"server": server.name, "port": port, "pid": process.pid})
    return state


def _wait_healthy(server: Server, process: ProcessRef, port: int, *, log_start: int, waiting: Waiting) -> None:
    for question in (server.settle, server.problem):
        if (reason := waiting.wait_for(process, partial(question, port))) is not None:
            log_tail = logs.tail(server.log_file, since_bytes=log_start)
            raise ServerFailedError(server.name, reason=reason, log_file=server.log_file, log_tail=log_tail)
