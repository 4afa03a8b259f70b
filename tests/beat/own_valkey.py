"""Servers of one test alone, with options of their own; those of `tests.conftest` are shared."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from packages.infra.embedded.binaries import valkey_binary
from packages.infra.embedded.ports import LOOPBACK, choose_port

PATIENCE_S = 20.0


@contextmanager
def own_valkey(*options: str) -> Iterator[int]:
    """The port of a server with these options of the command line, inside the block."""
    port = choose_port(None)
    command = [str(valkey_binary()), "--port", str(port), "--bind", LOOPBACK, "--save", "", *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not _listens(port):
            assert server.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.02)
        yield port
    finally:
        server.kill()
        server.wait()


def client_of(port: int, **options: object) -> redis.Redis:
    """A client that tries nothing twice and does not wait long."""
    limits = {"host": LOOPBACK, "socket_timeout": 5.0, "socket_connect_timeout": 5.0, "retry": Retry(NoBackoff(), 0)}
    return redis.Redis(port=port, **{**limits, **options})  # type: ignore[arg-type]  # any of redis' options


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True
