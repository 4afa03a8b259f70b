"""Servers of one test alone, to be stopped and killed; other processes that use them; questions to both."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from packages.infra.embedded.endpoints import Endpoints
from packages.infra.embedded.services import EmbeddedServices

_HOLDER = """
import json, sys
from pathlib import Path
from packages.infra.embedded.endpoints import Endpoints
from packages.infra.embedded.services import EmbeddedServices
services = EmbeddedServices(Path(sys.argv[1]))
with services.hold(want=set(sys.argv[2].split(","))):
    running = [(s.name, s.pid, s.port) for s in services.status() if s.state == "running"]
    print(json.dumps(running), flush=True)
    sys.stdin.read()
"""

ALL_STOPPED = {"valkey": "stopped", "postgres": "stopped", "mail": "stopped"}

Holder = Callable[[EmbeddedServices, str], subprocess.Popen[str]]


@pytest.fixture
def own() -> Iterator[EmbeddedServices]:
    """Durable servers over a var directory of this test; nothing runs yet."""
    directory = Path(tempfile.mkdtemp(prefix="minsy-own-"))
    directory.chmod(0o755)
    services = EmbeddedServices(directory / "var")
    yield services
    services.stop(force=True)
    services.delete_data()
    shutil.rmtree(directory)


@pytest.fixture
def holder() -> Iterator[Holder]:
    """Start another process that holds the servers until its input is closed."""
    started: list[subprocess.Popen[str]] = []

    def begin(services: EmbeddedServices, want: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(services.var_dir), want],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def states(services: EmbeddedServices) -> dict[str, str]:
    return {server.name: server.state for server in services.status()}


def pids(services: EmbeddedServices) -> dict[str, int | None]:
    return {server.name: server.pid for server in services.status()}


def answers(url: str | None) -> bool:
    assert url is not None
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def write(endpoints: Endpoints) -> None:
    assert endpoints.redis_url is not None
    assert endpoints.database_url is not None
    with redis.Redis.from_url(endpoints.redis_url) as client:
        client.set("word", "kept")
    with psycopg.connect(libpq(endpoints.database_url)) as connection:
        connection.execute("CREATE TABLE fact AS SELECT 7 AS value")


def read(endpoints: Endpoints) -> tuple[str, int]:
    assert endpoints.redis_url is not None
    assert endpoints.database_url is not None
    with redis.Redis.from_url(endpoints.redis_url, decode_responses=True) as client:
        word = client.get("word")
    with psycopg.connect(libpq(endpoints.database_url)) as connection:
        row = connection.execute("SELECT value FROM fact").fetchone()
    assert row is not None
    return str(word), int(row[0])


def libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")
