"""Who is measured: this project's scheduler in its own environment, the peers in theirs (`make .venv-bench`)."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packages.shared_settings.layers import ROOT

# Another environment that has what requirements/bench.in names.
PYTHON_VARIABLE: Final = "BENCHMARK_PEERS_PYTHON"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A scheduler class. Its process is ready after about `starts_s`, and `entry_s` more for each entry.

    `warms_up_s` before the due moment of a run its warm-up is due, which has to be sent by then.
    """

    name: str
    scheduler: str
    is_ours: bool = False
    starts_s: float = 2.0
    entry_s: float
    warms_up_s: float = 1.0

    def python(self) -> str:
        """The interpreter of its process."""
        return sys.executable if self.is_ours else peers_python()

    def lead_s(self, count: int) -> float:
        """How long before the due moment its process is to be started."""
        return self.starts_s + count * self.entry_s


OURS: Final = Contender(
    name="ours", scheduler="packages.infra.beat.scheduler:AdaptiveScheduler", is_ours=True, entry_s=60e-6
)
CELERY_BEAT: Final = Contender(name="celery.beat", scheduler="celery.beat:PersistentScheduler", entry_s=80e-6)
# The one that keeps nothing on disk.
CELERY_IN_MEMORY: Final = Contender(name="celery.beat.Scheduler", scheduler="celery.beat:Scheduler", entry_s=50e-6)
REDBEAT: Final = Contender(name="redbeat", scheduler="redbeat:RedBeatScheduler", entry_s=0.7e-3, warms_up_s=3.0)
APSCHEDULER: Final = Contender(
    name="apscheduler", scheduler="benchmarks.throughput.apscheduler_beat:ApschedulerBeat", entry_s=150e-6
)
PEERS: Final = (CELERY_BEAT, REDBEAT, APSCHEDULER)


def peers_python() -> str:
    """The interpreter of the peers' environment.

    Raises:
        SystemExit: there is none.
    """
    path = Path(os.environ.get(PYTHON_VARIABLE) or ROOT / ".venv-bench" / "bin" / "python")
    if not path.exists():
        raise SystemExit(f"The peers are not installed: there is no {path}. `make bench` installs them.")
    return str(path)
