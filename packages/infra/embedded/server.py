"""How any one embedded server is brought up, looked at and ended.

Decides on the port, on trying again when somebody else took it, and on how long to wait for health. What
is special to Valkey or PostgreSQL stands behind `Server`. The caller holds the start lock.
"""

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from packages.infra.embedded import logs
from packages.infra.embedded.errors import ServerFailedError
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

_HEALTH_TIMEOUT = timedelta(seconds=60)
_POLL_S = 0.05
_ATTEMPTS = 3

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

    def prepare(self) -> None:
        """Make the home ready: directories, account, an empty database. Repeating it changes nothing."""

    def launch(self, port: int) -> ProcessRef:
        """Start the program, detached, on this loopback port."""

    def url(self, port: int) -> str:
        """What a client connects with, password included."""

    def problem(self, port: int) -> str | None:
        """One question to the server: None when it answers well, else what is wrong."""

    def end(self, process: ProcessRef) -> None:
        """Stop it gracefully, or by force when it does not."""

    def end_strays(self) -> None:
        """End processes of this data directory that no state file knows, and what they left behind."""


def running_state(server: Server, directory: Path) -> ServerState | None:
    """The state of the server while its process lives."""
    state = read_state(directory, server.name)
    return state if state is not None and state.process.is_alive() else None


def ensure_running(server: Server, directory: Path) -> ServerState:
    """Reuse the server when it runs, else start it; returns when it answers.

    Raises:
        EmbeddedError: it could not be started, or does not answer within 60 s.
    """
    state = running_state(server, directory)
    if state is not None:
        _wait_healthy(server, state.process, state.port, log_start_bytes=logs.size(server.log_file))
        return state
    server.prepare()
    server.end_strays()
    logs.rotate(server.log_file)
    for attempt in range(1, _ATTEMPTS + 1):
        port = choose_port(load_kept(server.home).port)
        try:
            return _start(server, directory, port)
        except ServerFailedError:
            server.end_strays()
            if attempt == _ATTEMPTS or is_free(port):
                raise
            logger.warning("embedded_port_taken", extra={"server": server.name, "port": port})
    raise AssertionError("unreachable: the last attempt returns or raises")


def ensure_stopped(server: Server, directory: Path) -> bool:
    """Stop the server and forget its state; False when it did not run."""
    state = running_state(server, directory)
    if state is not None:
        server.end(state.process)
        logger.info("embedded_server_stopped", extra={"server": server.name, "pid": state.process.pid})
    remove_state(directory, server.name)
    return state is not None


def _start(server: Server, directory: Path, port: int) -> ServerState:
    log_start = logs.size(server.log_file)
    process = server.launch(port)
    try:
        _wait_healthy(server, process, port, log_start_bytes=log_start)
    except BaseException:
        server.end(process)
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


def _wait_healthy(server: Server, process: ProcessRef, port: int, *, log_start_bytes: int) -> None:
    deadline = time.monotonic() + _HEALTH_TIMEOUT.total_seconds()
    while (problem := server.problem(port)) is not None:
        if not process.is_alive():
            reason = "ended while it started"
        elif time.monotonic() >= deadline:
            reason = f"does not answer after {_HEALTH_TIMEOUT.total_seconds():.0f} s ({problem})"
        else:
            time.sleep(_POLL_S)
            continue
        log_tail = logs.tail(server.log_file, since_bytes=log_start_bytes)
        raise ServerFailedError(server.name, reason=reason, log_file=server.log_file, log_tail=log_tail)
