"""A real Valkey server of one test, to be stopped, killed, frozen, emptied and set back.

Two users: the default one, whose password is in `url`, and one for the test itself that stays whatever happens to it.
"""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from packages.infra.embedded.binaries import valkey_binary
from packages.infra.embedded.ports import LOOPBACK, choose_port

PASSWORD: Final = "of-the-replicas"
_OWN_USER: Final = "watcher"
_OWN_PASSWORD: Final = "of-the-test"
_PATIENCE_S: Final = 20.0


class Server:
    """`durable`: writes an append-only file. Not started yet."""

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._data = directory / "data"
        self._log = directory / "server.log"
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._data.mkdir(parents=True)
        self.port = choose_port(None)

    @property
    def url(self) -> str:
        """Where the replicas find it."""
        return f"redis://:{PASSWORD}@{LOOPBACK}:{self.port}/0"

    def client(self) -> "redis.Redis":
        """A client of the test's own; the caller closes it. Does not try again by itself."""
        return redis.Redis(
            host=LOOPBACK,
            port=self.port,
            username=_OWN_USER,
            password=_OWN_PASSWORD,
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )

    def start(self) -> None:
        """Start it with the data that is there; wait until it answers."""
        self.port = choose_port(self.port)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(valkey_binary()), "-"], stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, cwd=self._data
            )
        assert self._process.stdin is not None
        # By its standard input: what is on a command line can be seen by everybody.
        self._process.stdin.write(self._configuration().encode())
        self._process.stdin.close()
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < deadline, self._log.read_text()[-2000:]
            time.sleep(0.02)

    def stop(self, *, how: signal.Signals = signal.SIGTERM) -> None:
        """End it. With SIGTERM it writes out what it holds first, if it is durable."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait(_PATIENCE_S)
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Delete its data; it has to be stopped."""
        assert self._process is None
        shutil.rmtree(self._data)
        self._data.mkdir()

    def copy(self) -> Path:
        """Its data as they are on the disk now, beside them."""
        copied = self._data.with_name(f"copy-{time.monotonic_ns()}")
        shutil.copytree(self._data, copied)
        return copied

    def set_back(self, copied: Path) -> None:
        """Put a copy in the place of its data; it has to be stopped."""
        self.wipe()
        shutil.copytree(copied, self._data, dirs_exist_ok=True)

    def _answers(self) -> bool:
        client = self.client()
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def _configuration(self) -> str:
        lines = [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            f"requirepass {PASSWORD}",
            f"user {_OWN_USER} on >{_OWN_PASSWORD} ~* &* +@all",
            f"appendonly {'yes' if self._durable else 'no'}",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
        ]
        return "\n".join(lines) + "\n"


@contextmanager
def serving(directory: Path, *, durable: bool = True) -> Iterator[Server]:
    """A server that runs inside the block."""
    server = Server(directory, durable=durable)
    server.start()
    try:
        yield server
    finally:
        server.stop(how=signal.SIGKILL)
