"""A real `minsy up` (or single commands) in a var directory of one test, driven and watched from outside."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from apps.cli.supervisor.record import end_leftovers, read_record
from packages.infra.embedded.endpoints import read_endpoints
from packages.infra.embedded.services import EmbeddedServices
from packages.shared_settings.layers import ROOT
from packages.shared_settings.loading import KNOWN_VARIABLES

PATIENCE_S = 150.0


class Running:
    """One var directory and the commands that run on it."""

    def __init__(self, var_dir: Path, variables: Mapping[str, str]) -> None:
        self.var_dir = var_dir
        foreign = {*KNOWN_VARIABLES, "MINSY_ENV", "MINSY_ENV_DIR", "MINSY_ENV_FILE", "MINSY_SERVICE"}
        kept = {name: value for name, value in os.environ.items() if name not in foreign}
        self.environment = {**kept, "MINSY_VAR_DIR": str(var_dir), "PYTHONUNBUFFERED": "1", **variables}
        self._started: list[subprocess.Popen[bytes]] = []

    def minsy(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run one `minsy` command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "apps.cli.main", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, name: str, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command that goes on; its output is `log(name)`."""
        with self._log_path(name).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def log(self, name: str) -> str:
        """What a started command has printed so far."""
        return self._log_path(name).read_text(errors="replace")

    def status(self) -> dict[str, Any]:
        """What `minsy status --json` prints; without jobs while there is no broker."""
        answer: dict[str, Any] = json.loads(self.minsy("status", "--json").stdout or "{}")
        return {"processes": [], "queues": [], "jobs": [], **answer}

    def jobs(self) -> dict[str, dict[str, Any]]:
        """The rows of the jobs by name."""
        return {job["name"]: job for job in self.status()["jobs"]}

    def pid_of(self, name: str) -> int:
        """The process that has this name in the status."""
        [pid] = [row["pid"] for row in self.status()["processes"] if row["name"] == name]
        return int(pid)

    def rows(self, query: str) -> Sequence[Any]:
        """What a query on the embedded database gives."""
        endpoints = read_endpoints(self.var_dir)
        assert endpoints is not None
        assert endpoints.database_url is not None
        engine = sa.create_engine(endpoints.database_url)
        with engine.connect() as connection:
            found = connection.execute(sa.text(query)).all()
        engine.dispose()
        return found

    def wait_for(self, condition: Callable[[], object], what: str, log: str) -> None:
        """Wait until the condition holds; fail with the log of a command otherwise."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"no {what}. The log ends:\n{self.log(log)[-6000:]}"
            time.sleep(0.5)

    def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(10)
        end_leftovers(self.var_dir, grace=timedelta(seconds=1))
        record = read_record(self.var_dir)
        assert record is None or not any(entry.state == "running" for entry in record.processes)
        services = EmbeddedServices(self.var_dir)
        services.stop(force=True)
        services.delete_data()

    def _log_path(self, name: str) -> Path:
        return self.var_dir.parent / f"{name}.log"


@contextmanager
def running(**variables: str) -> Iterator[Running]:
    """A var directory of its own, cleaned up afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="minsy-e2e-"))
    # As root, PostgreSQL's account has to pass through.
    directory.chmod(0o755)
    service = Running(directory / "var", variables)
    try:
        yield service
    finally:
        service.close()
        shutil.rmtree(directory)
