"""What one run of a beat is to be like, handed to its process in the environment. Neutral: imports nothing of ours."""

import json
import os
from dataclasses import asdict, dataclass
from typing import Final

VARIABLE: Final = "BENCHMARK_RUN"

TASK: Final = "benchmark.note"
QUEUE: Final = "celery"
# The name of the app; this project's scheduler keeps what it keeps under it.
APP: Final = "bench"
# Sent once before the due moment, so that connecting and importing are not measured in it.
WARM_UP: Final = -1
EXECUTED: Final = "executed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run.

    `count` entries of the class `schedule`, each every `period_s`: "burst": all due at `due_at` (epoch, seconds);
    "spread": evenly over one period from `due_at` on; "idle": none due. `is_crontab`: crontabs, none due in the next
    two hours. `warms_up_s` before `due_at` one more message is sent. `has_receiver`: somebody is connected to
    `before_task_publish`. `longest_wait_s` is beat's `--max-interval`.
    """

    scheduler: str
    broker: str
    beside: str
    directory: str
    count: int
    kind: str
    due_at: float = 0.0
    period_s: float = 86_400.0
    is_crontab: bool = False
    warms_up_s: float | None = None
    has_receiver: bool = False
    longest_wait_s: float | None = None

    def environment(self) -> dict[str, str]:
        """What hands it over."""
        return {VARIABLE: json.dumps(asdict(self))}


def this_run() -> Run:
    """The run of this process."""
    return Run(**json.loads(os.environ[VARIABLE]))
