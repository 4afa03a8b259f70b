"""The server of one benchmark: Valkey on a free port of the loopback, which keeps nothing on disk."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from packages.infra.embedded.binaries import valkey_binary
from packages.infra.embedded.ports import LOOPBACK, choose_port

_STARTS_WITHIN_S = 10.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Server:
    """Database 0 is the broker; database 1 takes what a peer or a worker keeps beside."""

    port: int
    directory: Path

    def url(self, database: int = 0) -> str:
        """The address of a database."""
        return f"redis://{LOOPBACK}:{self.port}/{database}"

    def client(self, database: int = 0) -> redis.Redis:
        """A new client."""
        return redis.Redis(host=LOOPBACK, port=self.port, db=database)

    def empty(self) -> None:
        """Let nothing of the run before stay."""
        with self.client() as client:
            client.flushall()

    def cpu_s(self) -> float:
        """The seconds of CPU that it has used."""
        with self.client() as client:
            info = client.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


@contextmanager
def running_server() -> Iterator[Server]:
    """A server for the length of the block.

    Raises:
        SystemExit: it does not answer.
    """
    # In memory where there is such a directory, so that no disk is measured by accident.
    in_memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # a fresh directory is made in it
    with tempfile.TemporaryDirectory(prefix="minsy-bench-", dir=in_memory) as name:
        server = Server(choose_port(None), Path(name))
        options = {"port": str(server.port), "bind": LOOPBACK, "save": "", "appendonly": "no", "dir": name}
        command = [str(valkey_binary()), *(text for key, value in options.items() for text in (f"--{key}", value))]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for(server)
            yield server
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(server: Server) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    with server.client() as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError as error:
                if time.monotonic() > deadline:
                    raise SystemExit("the server does not answer") from error
                time.sleep(_POLL_S)
            else:
                return
