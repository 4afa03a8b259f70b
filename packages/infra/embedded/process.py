"""Which process is meant by a process id, and how to end it.

A process id is used again by the system sooner or later, so a process is named by its id and the
moment of its birth. This module never looks a process up by its name and starts none.
"""

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

_POLL_S = 0.02
_HAS_PROC = Path("/proc/self/stat").exists()


@dataclass(frozen=True)
class ProcessRef:
    """One process, still told apart when its id has gone to another one."""

    pid: int
    birth: str

    @classmethod
    def of(cls, pid: int) -> "ProcessRef | None":
        """The process that has this id now; None when there is none, or a dead one nobody reaped."""
        birth = _birth_of(pid)
        return None if birth is None else cls(pid=pid, birth=birth)

    def is_alive(self) -> bool:
        """True while this very process runs."""
        return _birth_of(self.pid) == self.birth

    def send(self, signal_number: signal.Signals) -> bool:
        """Signal the process; False when it was gone already."""
        if not self.is_alive():
            return False
        try:
            os.kill(self.pid, signal_number)
        except ProcessLookupError:
            return False
        return True

    def wait_gone(self, timeout: timedelta) -> bool:
        """Wait for the end of the process; False when it still runs after the timeout."""
        deadline = time.monotonic() + timeout.total_seconds()
        while self.is_alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        return True


def end(process: ProcessRef, *, polite: signal.Signals, grace: timedelta) -> bool:
    """Ask a process to end, then kill it after the grace period; True when asking was enough."""
    process.send(polite)
    if process.wait_gone(grace):
        return True
    process.send(signal.SIGKILL)
    process.wait_gone(timedelta(seconds=10))
    return False


def end_all(processes: Iterable[ProcessRef], *, polite: signal.Signals, grace: timedelta) -> None:
    """As `end`, for several processes that share one grace period."""
    remaining = list(processes)
    for process in remaining:
        process.send(polite)
    deadline = time.monotonic() + grace.total_seconds()
    for process in remaining:
        process.wait_gone(timedelta(seconds=max(0.0, deadline - time.monotonic())))
    for process in remaining:
        process.send(signal.SIGKILL)
    for process in remaining:
        process.wait_gone(timedelta(seconds=10))


def _birth_of(pid: int) -> str | None:
    return _birth_on_linux(pid) if _HAS_PROC else _birth_elsewhere(pid)


def _birth_on_linux(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the name in brackets, may hold spaces and brackets of its own.
    fields = stat.rpartition(")")[2].split()
    state, start_ticks = fields[0], fields[19]
    return None if state in {"Z", "X", "x"} else f"{_boot_id()}:{start_ticks}"


@cache
def _boot_id() -> str:
    """Ticks count from the start of the machine, so a restart of it must change the name of every process."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def _birth_elsewhere(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
