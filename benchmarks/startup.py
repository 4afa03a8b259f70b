"""From exec of `celery -A ... beat` to the end of the first tick: this project beside an empty app. `make bench`.

Both run on one embedded server, in turn, so that a slow moment of the machine hits both. Prints one JSON line.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.first_tick import STAMP_VARIABLE
from packages.infra.embedded.services import EmbeddedServices
from packages.shared_settings.layers import ROOT

RUNS = 15


def first_tick_s(arguments: list[str], environment: dict[str, str], directory: Path) -> float:
    """Seconds from exec to the end of the first tick."""
    stamp = directory / "stamp"
    command = [sys.executable, "-m", "celery", "-A", *arguments, "--pidfile=", "-s", str(directory / "schedule")]
    began = time.time()
    subprocess.run(
        command,
        env={**environment, STAMP_VARIABLE: str(stamp)},
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    return float(stamp.read_text(encoding="ascii")) - began


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="minsy-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        services = EmbeddedServices(directory / "var")
        with services.hold(want={"valkey"}) as endpoints:
            environment = {**os.environ, "REDIS_URL": endpoints.redis_url or ""}
            plain = ["benchmarks.empty_app", "beat", "-S", "benchmarks.first_tick:Plain"]
            ours = ["apps.beat.celery_app", "beat", "-S", "benchmarks.first_tick_ours:Ours"]
            pairs = [
                (first_tick_s(ours, environment, directory), first_tick_s(plain, environment, directory))
                for _ in range(RUNS + 1)
            ][1:]  # the first pair warms the caches of the disk
        services.delete_data()
    print(
        json.dumps(
            {
                "benchmark": "startup",
                "runs": RUNS,
                "ours_s": round(statistics.median(pair[0] for pair in pairs), 3),
                "celery_beat_empty_app_s": round(statistics.median(pair[1] for pair in pairs), 3),
                "ratio": round(statistics.median(pair[0] / pair[1] for pair in pairs), 2),
            }
        )
    )


if __name__ == "__main__":
    main()
