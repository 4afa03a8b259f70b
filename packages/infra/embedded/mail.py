"""The embedded mail sink as a server beside the others: a process that keeps every mail as a file and delivers none.

It has no password, so it listens on loopback only; what it keeps stands below `<var>/mail`.
"""

import os
import signal
import smtplib
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Literal

import psutil

from packages.infra.embedded import logs
from packages.infra.embedded.errors import ServerFailedError
from packages.infra.embedded.ports import LOOPBACK
from packages.infra.embedded.process import ProcessRef, end, end_all
from packages.infra.embedded.waiting import Problem
from packages.shared_settings.layers import ROOT

_MODULE = "packages.infra.channels.smtp_sink_process"
_STOP_GRACE = timedelta(seconds=5)
_ANSWER_TIMEOUT_S = 3.0


class MailServer:
    """The sink over `<var>/mail`; one `.eml` file for each mail in its `data` directory."""

    name: Literal["mail"] = "mail"
    stop_signal = signal.SIGTERM
    stop_grace = _STOP_GRACE

    def __init__(self, var_dir: Path) -> None:
        self.home = var_dir.absolute() / "mail"
        self.data_dir = self.home / "data"
        self.log_file = self.home / "server.log"

    def prepare(self) -> None:
        """Make the directories."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data_dir.mkdir(mode=0o700, exist_ok=True)

    def launch(self, port: int) -> ProcessRef:
        """Start it as a daemon of its own session.

        Raises:
            ServerFailedError: it ended at once.
        """
        log_start = logs.size(self.log_file)
        finished = subprocess.run(
            [sys.executable, "-m", _MODULE, str(self.data_dir), str(port), str(self.log_file)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            umask=0o077,
            check=False,
        )
        found = ProcessRef.of(int(finished.stdout)) if finished.returncode == 0 else None
        if found is None:
            log_tail = f"{finished.stderr}{logs.tail(self.log_file, since_bytes=log_start)}"
            raise ServerFailedError(self.name, reason="did not start", log_file=self.log_file, log_tail=log_tail)
        return found

    def url(self, port: int) -> str:
        """Where mail is taken."""
        return f"smtp://{LOOPBACK}:{port}"

    def settle(self, port: int) -> None:
        """Nothing is to be made."""

    def problem(self, port: int) -> Problem | None:
        """Ask NOOP."""
        try:
            with smtplib.SMTP(LOOPBACK, port, timeout=_ANSWER_TIMEOUT_S) as client:
                client.noop()
        except (OSError, smtplib.SMTPException) as error:
            return Problem(str(error))
        return None

    def end(self, process: ProcessRef, *, grace: timedelta) -> None:
        """SIGTERM, then SIGKILL."""
        end(process, polite=self.stop_signal, grace=grace)

    def end_strays(self) -> None:
        """End sinks that keep their mail in our directory."""
        strays = []
        for candidate in psutil.process_iter(["cmdline", "uids"]):
            command, uids = candidate.info["cmdline"] or [], candidate.info["uids"]
            if uids and uids.effective == os.geteuid() and _MODULE in command and str(self.data_dir) in command:
                strays.append(ProcessRef.of(candidate.pid))
        end_all([stray for stray in strays if stray], polite=signal.SIGTERM, grace=_STOP_GRACE)
