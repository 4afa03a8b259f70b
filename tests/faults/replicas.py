"""Real `celery beat` processes, each by its own way to the server, started and hit from outside."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from packages.shared_settings.layers import ROOT
from tests.faults.proxy import Proxy

_PATIENCE_S: Final = 30.0


class Replica:
    """One beat. `variables` are those that `tests.faults.app` reads. Not started yet."""

    def __init__(self, name: str, server_url: str, directory: Path, variables: Mapping[str, str]) -> None:
        self.name = name
        self.proxy = Proxy(server_url)
        self._directory = directory
        self._log = directory / f"{name}.log"
        self._variables = dict(variables)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **variables: str) -> None:
        """Start it, or start it again after it ended; `variables` hold from now on."""
        self._variables |= variables
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FAULTS_", "CELERY"))}
        environment = {
            **kept,
            **self._variables,
            "FAULTS_BROKER": self.proxy.url,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "tests.faults.app", "beat", "-l", "info"],
                cwd=self._directory,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def lives(self) -> bool:
        """Whether it runs, be it frozen."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """All that it has printed, of all its starts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def kill(self) -> None:
        """SIGKILL; it is gone when this returns."""
        self._send(signal.SIGKILL)
        self.wait()

    def freeze(self) -> None:
        """SIGSTOP."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM; it may still run when this returns."""
        self._send(signal.SIGTERM)

    def wait(self, patience_s: float = _PATIENCE_S) -> int:
        """Wait for its end; its exit code.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        assert self._process is not None
        return self._process.wait(patience_s)

    def close(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(_PATIENCE_S)
        self.proxy.close()

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} ended by itself:\n{self.log[-4000:]}"
        self._process.send_signal(number)
