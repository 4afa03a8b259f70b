"""What `minsy up` runs, written to a file: `minsy status` reads it, and a later `up` finds what a killed one left."""

import os
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from packages.infra.embedded.private_files import read_private_json, write_private_json
from packages.infra.embedded.process import ProcessRef, end_all

# Stands in the environment of every process of `minsy up`, and names its var directory. Children inherit it.
MARK = "MINSY_UP"


@dataclass(frozen=True)
class ProcessRecord:
    """One supervised process: how often it was started again, its process while there is one, and whether it is done.

    Only a process that runs once is ever `finished`.
    """

    name: str
    restarts: int
    process: ProcessRef | None
    finished: bool = False

    @property
    def state(self) -> str:
        """`running`, `done` or `stopped`, looked up now."""
        if self.process is not None and self.process.is_alive():
            return "running"
        return "done" if self.finished else "stopped"


@dataclass(frozen=True)
class UpRecord:
    """The supervisor itself and its processes."""

    supervisor: ProcessRef
    processes: tuple[ProcessRecord, ...]


def record_path(var_dir: Path) -> Path:
    """Where the record of this var directory stands."""
    return var_dir / "run" / "up.json"


def is_up(var_dir: Path) -> bool:
    """Whether a `minsy up` runs on this var directory."""
    record = read_record(var_dir)
    return record is not None and record.supervisor.is_alive()


def write_record(var_dir: Path, record: UpRecord) -> None:
    """Replace the record.

    Raises:
        OSError: it could not be written; the old one stands.
    """
    record_path(var_dir).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private_json(record_path(var_dir), asdict(record))


def read_record(var_dir: Path) -> UpRecord | None:
    """The record as it was last written; None when there is none."""
    content: Any = read_private_json(record_path(var_dir))
    if content is None:
        return None
    return UpRecord(
        supervisor=ProcessRef(**content["supervisor"]),
        processes=tuple(
            ProcessRecord(
                name=process["name"],
                restarts=process["restarts"],
                process=ProcessRef(**process["process"]) if process["process"] else None,
                finished=bool(process.get("finished")),
            )
            for process in content["processes"]
        ),
    )


def end_leftovers(var_dir: Path, *, grace: timedelta) -> list[str]:
    """End the processes of a supervisor that was killed, and their children; one sentence for each that still ran."""
    record = read_record(var_dir)
    if record is None or record.supervisor.is_alive():
        return []
    left = [process for process in record.processes if process.state == "running"]
    end_all((process.process for process in left if process.process), polite=signal.SIGTERM, grace=grace)
    # A child that was inside a task outlives a parent that was killed, and would work beside the new worker.
    orphaned = []
    for process in record.processes:
        if process.process is not None and (children := list(_orphans_of(process.process, var_dir))):
            end_all(children, polite=signal.SIGKILL, grace=grace)
            if process not in left:
                orphaned.append(process)
    return [
        f"{process.name} was left running by an earlier `minsy up` that was killed; it was ended" for process in left
    ] + [
        f"children of {process.name} were left running by an earlier `minsy up` that was killed; they were ended"
        for process in orphaned
    ]


def _orphans_of(leader: ProcessRef, var_dir: Path) -> Iterator[ProcessRef]:
    """What is left of the group that `leader` led: processes in it that carry the mark of this var directory.

    The number of the group alone would not do. Once the group was empty the system gives it to another one.
    """
    import psutil

    for candidate in psutil.process_iter():
        try:
            if candidate.pid == leader.pid or os.getpgid(candidate.pid) != leader.pid:
                continue
            orphan = ProcessRef.of(candidate.pid)
            if orphan is not None and candidate.environ().get(MARK) == str(var_dir.resolve()):
                yield orphan
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue  # it has just ended, or is not ours
