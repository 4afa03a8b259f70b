"""What `minsy up` runs, written to a file: `minsy status` reads it, and a later `up` finds what a killed one left."""

import signal
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from packages.infra.embedded.private_files import read_private_json, write_private_json
from packages.infra.embedded.process import ProcessRef, end_all


@dataclass(frozen=True)
class ProcessRecord:
    """One supervised process: how often it was started again, and its process while there is one."""

    name: str
    restarts: int
    process: ProcessRef | None

    @property
    def state(self) -> str:
        """`running` or `stopped`, looked up now."""
        return "running" if self.process is not None and self.process.is_alive() else "stopped"


@dataclass(frozen=True)
class UpRecord:
    """The supervisor itself and its processes."""

    supervisor: ProcessRef
    processes: tuple[ProcessRecord, ...]


def record_path(var_dir: Path) -> Path:
    """Where the record of this var directory stands."""
    return var_dir / "run" / "up.json"


def write_record(var_dir: Path, record: UpRecord) -> None:
    """Replace the record."""
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
            )
            for process in content["processes"]
        ),
    )


def end_leftovers(var_dir: Path, *, grace: timedelta) -> list[str]:
    """End the processes of a supervisor that was killed; one sentence for each that still ran."""
    record = read_record(var_dir)
    if record is None or record.supervisor.is_alive():
        return []
    left = [process for process in record.processes if process.state == "running"]
    end_all((process.process for process in left if process.process), polite=signal.SIGTERM, grace=grace)
    return [
        f"{process.name} was left running by an earlier `minsy up` that was killed; it was ended" for process in left
    ]
