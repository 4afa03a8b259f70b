"""What a killed PostgreSQL leaves behind: orphaned backends and a stale lock file.

PostgreSQL does not start while a backend of a killed server still has its shared memory, nor when its
lock file names a process id that an unrelated process has by now. Only processes of the account that owns
the data are touched, and only those that name this very data.
"""

import hashlib
import signal
from datetime import timedelta
from pathlib import Path

import psutil

from packages.infra.embedded.process import ProcessRef, end_all

_SERVER_GRACE = timedelta(seconds=30)


def cluster_name(data_dir: Path) -> str:
    """Stands in the title of every backend, so that the orphans of this very data are known."""
    return f"minsy-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]}"


def end_leftovers(data_dir: Path, *, uid: int, backend_grace: timedelta) -> None:
    """End a server that no state file knows, then orphaned backends, and remove the lock file."""
    servers, backends = _leftovers(data_dir, uid)
    end_all(servers, polite=signal.SIGINT, grace=_SERVER_GRACE)
    _, left = _leftovers(data_dir, uid)
    end_all(backends | left, polite=signal.SIGTERM, grace=backend_grace)
    (data_dir / "postmaster.pid").unlink(missing_ok=True)


def _leftovers(data_dir: Path, uid: int) -> tuple[set[ProcessRef], set[ProcessRef]]:
    servers: set[ProcessRef] = set()
    backends: set[ProcessRef] = set()
    title = f"postgres: {cluster_name(data_dir)}: "
    for candidate in psutil.process_iter(["cmdline", "uids"]):
        command, uids = candidate.info["cmdline"], candidate.info["uids"]
        if not command or not uids or uids.effective != uid:
            continue
        is_backend = " ".join(command).startswith(title)
        is_server = Path(command[0]).name == "postgres" and str(data_dir) in command
        process = ProcessRef.of(candidate.pid) if is_backend or is_server else None
        if process is not None:
            (backends if is_backend else servers).add(process)
    return servers, backends
